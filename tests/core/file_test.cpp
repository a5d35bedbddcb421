#include "cks/core/io/file.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/core/test_ops.h"
#include "tests/support/scratch_folder.h"

namespace cks {
namespace {

using testing::contains;
using testing::message_of;
using testing::ScratchFolder;

int entries(const ScratchFolder& folder) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    static_cast<void>(entry);
    ++count;
  }
  return count;
}

/// Files of this process end at `bytes` until the end of the scope, as if the disk were full.
struct FileSizeLimit {
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before);
    rlimit limit = before;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
    handler = std::signal(SIGXFSZ, SIG_IGN);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
  }
  rlimit before{};
  void (*handler)(int) = nullptr;
};

TEST_CASE("files: written at once, read back, replaced") {
  const ScratchFolder folder;
  const std::string path = folder / "a.bin";
  const std::string bytes("one\0two", 7);
  write_file_atomically(path, bytes);
  CHECK(read_file(path) == bytes);
  write_file_atomically(path, "");
  CHECK(read_file(path).empty());
  CHECK(entries(folder) == 1);  // no temporary file stays
}

TEST_CASE("files: without commit the old file stays, the temporary one goes") {
  const ScratchFolder folder;
  const std::string path = folder / "a.bin";
  write_file_atomically(path, "old");
  {
    AtomicFile file(path);
    file.write("new", 3);
    CHECK(read_file(path) == "old");
    CHECK(entries(folder) == 2);
  }
  CHECK(read_file(path) == "old");
  CHECK(entries(folder) == 1);
  AtomicFile file(path);
  file.commit();
  CHECK_THROWS_AS(file.write("x", 1), IoError);
  CHECK_THROWS_AS(file.commit(), IoError);
}

TEST_CASE("files: a full disk gives an error and leaves the old file") {
  const ScratchFolder folder;
  const std::string path = folder / "a.bin";
  write_file_atomically(path, "old");
  const std::string large(100'000, 'x');
  std::string message;
  {
    const FileSizeLimit limit(4096);
    message = message_of<IoError>([&] { write_file_atomically(path, large); });
  }
  CHECK(contains(message, path));
  CHECK(contains(message, "cannot be written"));
  CHECK(read_file(path) == "old");
  CHECK(entries(folder) == 1);
}

TEST_CASE("files: what killed processes left half-written goes, names like it stay") {
  const ScratchFolder folder;
  AtomicFile(folder / "kept");  // a process that ends in order removes its own
  for (const char* name :
       {"a.bin.tmp-4711-0", "a.bin.tmp-4711-12", "notes.tmp-of-mine", "b.tmp-", "c.tmp"}) {
    write_file_atomically(folder / name, "half");
  }
  remove_temporary_files(folder.path());
  std::vector<std::string> left = names_in(folder.path());
  std::sort(left.begin(), left.end());
  CHECK(left == std::vector<std::string>{"b.tmp-", "c.tmp", "notes.tmp-of-mine"});
  CHECK_NOTHROW(remove_temporary_files(folder / "none"));
}

TEST_CASE("files: bytes that cannot be read are an error, never bytes of another kind") {
  const ScratchFolder folder;
  const std::string path = folder / "a.bin";
  write_file_atomically(path, "0123456789");
  const InputFile file(path);
  std::string bytes(4, ' ');
  file.read(3, bytes.data(), bytes.size());
  CHECK(bytes == "3456");
  std::filesystem::resize_file(path, 5);  // by somebody else, while it is open
  CHECK(message_of<IoError>([&] { file.read(3, bytes.data(), bytes.size()); }) ==
        path + ": ended at byte 5 of 10 while it was read");
  const InputFile memory("/proc/self/mem");  // whose first page no process has
  CHECK(contains(message_of<IoError>([&] { memory.read(0, bytes.data(), bytes.size()); }),
                 "/proc/self/mem: cannot be read: "));
}

TEST_CASE("files: what cannot be opened, written or read is named with the reason") {
  const ScratchFolder folder;
  const std::string missing = folder / "none/a.bin";
  CHECK(contains(message_of<IoError>([&] { write_file_atomically(missing, "x"); }),
                 missing + ": cannot be written: No such file"));
  CHECK(contains(message_of<IoError>([&] { read_file(missing); }), "cannot be opened"));
  CHECK(contains(message_of<IoError>([&] { read_file(folder.path()); }), "not a regular file"));
  CHECK_THROWS_AS(read_file("/dev/zero"), IoError);
  // A folder in the place of the file.
  CHECK_THROWS_AS(write_file_atomically(folder.path(), "x"), IoError);
  CHECK(entries(folder) == 0);
  write_file_atomically(folder / "a.bin", "12345");
  CHECK(contains(message_of<IoError>([&] { read_file(folder / "a.bin", 4); }), "at most 4"));
  if (::geteuid() != 0) {  // root may write anywhere
    std::filesystem::permissions(
        folder.path(), std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
    CHECK(contains(message_of<IoError>([&] { write_file_atomically(folder / "b.bin", "x"); }),
                   "Permission denied"));
    std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_all);
  }
}

}  // namespace
}  // namespace cks
