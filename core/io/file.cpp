#include "cks/core/io/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "cks/core/error.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {
namespace {

constexpr std::string_view kTemporary = ".tmp-";  // behind it process and number

[[noreturn]] void fail(const std::string& path, const char* what, int reason) {
  throw IoError(formatted("{}: {}: {}", path, what, std::generic_category().message(reason)));
}

/// Closes a descriptor when a scope ends.
struct Descriptor {
  int value;
  ~Descriptor() {
    if (value >= 0) {
      ::close(value);
    }
  }
};

int open_file(const std::string& path, int flags) {
  return ::open(path.c_str(), flags | O_CLOEXEC, 0666);  // NOLINT(hicpp-vararg): the umask decides
}

/// A rename is on the disk only once its folder is.
void sync_folder(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const Descriptor folder{
      open_file(parent.empty() ? "." : parent.string(), O_RDONLY | O_DIRECTORY)};
  if (folder.value >= 0) {
    // Some file systems cannot; the file itself is complete either way.
    static_cast<void>(::fsync(folder.value));
  }
}

}  // namespace

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  static std::atomic<unsigned> count{0};
  temporary_ = formatted("{}{}{}-{}", path_, kTemporary, ::getpid(), count++);
  descriptor_ = open_file(temporary_, O_WRONLY | O_CREAT | O_TRUNC);
  if (descriptor_ < 0) {
    fail(path_, "cannot be written", errno);
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
  if (!temporary_.empty()) {
    ::unlink(temporary_.c_str());
  }
}

void AtomicFile::write(const void* bytes, std::size_t count) {
  if (descriptor_ < 0) {
    throw IoError(formatted("{}: written to after commit()", path_));
  }
  const char* next = static_cast<const char*>(bytes);
  while (count > 0) {
    const ssize_t written = ::write(descriptor_, next, count);
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written <= 0) {
      fail(path_, "cannot be written", written == 0 ? ENOSPC : errno);
    }
    next += written;
    count -= static_cast<std::size_t>(written);
  }
}

void AtomicFile::commit() {
  if (descriptor_ < 0) {
    throw IoError(formatted("{}: committed twice", path_));
  }
  if (::fsync(descriptor_) != 0) {
    fail(path_, "cannot be brought to the disk", errno);
  }
  if (::close(std::exchange(descriptor_, -1)) != 0) {
    fail(path_, "cannot be closed", errno);
  }
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    fail(path_, "cannot be renamed from its temporary name", errno);
  }
  temporary_.clear();
  sync_folder(path_);
}

void write_file_atomically(const std::string& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes.data(), bytes.size());
  file.commit();
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(folder.c_str()), ::closedir);
  while (const dirent* entry = entries ? ::readdir(entries.get()) : nullptr) {
    if (const std::string_view name = entry->d_name; name != "." && name != "..") {
      names.emplace_back(name);
    }
  }
  return names;
}

void remove_temporary_files(const std::string& folder) {
  for (const std::string& name : names_in(folder)) {
    const std::size_t at = name.rfind(kTemporary);
    if (at != std::string::npos && at + kTemporary.size() < name.size() &&
        name.find_first_not_of("0123456789-", at + kTemporary.size()) == std::string::npos) {
      ::unlink(formatted("{}/{}", folder, name).c_str());
    }
  }
}

InputFile::InputFile(std::string path) : path_(std::move(path)) {
  Descriptor file{open_file(path_, O_RDONLY)};
  if (file.value < 0) {
    fail(path_, "cannot be opened", errno);
  }
  struct stat info {};
  if (::fstat(file.value, &info) != 0) {
    fail(path_, "cannot be read", errno);
  }
  if (!S_ISREG(info.st_mode)) {
    throw IoError(formatted("{}: is not a regular file", path_));
  }
  size_ = static_cast<std::size_t>(info.st_size);
  descriptor_ = std::exchange(file.value, -1);
}

InputFile::~InputFile() { ::close(descriptor_); }

void InputFile::read(std::size_t offset, void* to, std::size_t count) const {
  char* next = static_cast<char*>(to);
  while (count > 0) {
    const ssize_t got = ::pread(descriptor_, next, count, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      fail(path_, "cannot be read", errno);
    }
    if (got == 0) {
      throw IoError(
          formatted("{}: ended at byte {} of {} while it was read", path_, offset, size_));
    }
    next += got;
    offset += static_cast<std::size_t>(got);
    count -= static_cast<std::size_t>(got);
  }
}

std::string read_file(const std::string& path, std::uint64_t limit) {
  const InputFile file(path);
  if (file.size() > limit) {
    throw IoError(
        formatted("{}: has {} bytes, at most {} were expected", path, file.size(), limit));
  }
  std::string bytes(file.size(), '\0');
  file.read(0, bytes.data(), bytes.size());
  return bytes;
}

}  // namespace cks
