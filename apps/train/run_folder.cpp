#include "cks/train/run_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>
#include <system_error>

#include "cks/core/io/file.h"
#include "cks/core/io/json_impl.h"
#include "cks/core/io/utf8.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/train/number_text_impl.h"

namespace cks {
namespace {

namespace fs = std::filesystem;

std::string metrics_header(bool on_validation) {
  return formatted(
      "epoch,step,seconds,train_loss,train_acc,{0}_loss,{0}_acc,lr,images_per_s,peak_mib\n",
      on_validation ? "val" : "test");
}

// Any of these makes a folder the folder of a run.
constexpr std::array kRunFiles = {"run.log",         "config.json",      "metrics.csv",
                                  "summary.json",    "last.safetensors", "last.state.safetensors",
                                  "best.safetensors"};

// epoch-0012.safetensors
constexpr std::string_view kEpochFile = "epoch-";
constexpr std::string_view kWeightsEnding = ".safetensors";

/// The epoch of such a name; nothing for other names.
std::optional<std::int64_t> epoch_of(std::string name) {
  if (!name.starts_with(kEpochFile) || !name.ends_with(kWeightsEnding)) {
    return std::nullopt;
  }
  name.erase(name.size() - kWeightsEnding.size());
  name.erase(0, kEpochFile.size());
  std::int64_t epoch = 0;
  return detail::parse_number(name, epoch) ? std::optional(epoch) : std::nullopt;
}

constexpr const char* kLockFile = "run.lock";

struct OpenFile {
  int descriptor;
  OpenFile(const std::string& path, int flags)
      : descriptor(open(path.c_str(), flags | O_CLOEXEC, 0666)) {}
  ~OpenFile() {
    if (descriptor >= 0) {
      close(descriptor);
    }
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
};

/// A lock of the open file, which goes with it; not of the process, which loses its locks with any
/// descriptor of the file.
struct flock whole_file() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

std::string absolute(const std::string& path) {
  std::error_code ignored;
  return fs::absolute(path, ignored).lexically_normal().string();
}

bool there_is(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

/// Calls visit(field) for the columns of metrics.csv, in order.
void visit_columns(auto& row, auto&& visit) {
  visit(row.epoch);
  visit(row.step);
  visit(row.seconds);
  visit(row.train_loss);
  visit(row.train_accuracy);
  visit(row.test_loss);
  visit(row.test_accuracy);
  visit(row.learning_rate);
  visit(row.images_per_second);
  visit(row.peak_mib);
}

std::string format_row(const EpochMetrics& row) {
  std::string text;
  visit_columns(
      row, [&](auto field) { text += (text.empty() ? "" : ",") + detail::number_text(field); });
  return text + "\n";
}

bool parse_row(const std::string& line, EpochMetrics& row) {
  std::istringstream cells(line);
  bool is_whole = true;
  visit_columns(row, [&](auto& field) {
    std::string cell;
    is_whole = is_whole && std::getline(cells, cell, ',') && detail::parse_number(cell, field);
  });
  return is_whole;
}

}  // namespace

bool RunFolder::holds_run(const std::string& path) {
  return any_of(kRunFiles, [&](const char* name) { return there_is(fs::path(path) / name); });
}

RunFolder RunFolder::create(const std::string& path) {
  if (std::optional<RunFolder> folder = try_create(path)) {
    return *folder;
  }
  throw IoError(formatted(
      "output folder {} already holds a run (absolute: {}); give another, or continue the "
      "run: RunFolder::open(), TrainFiles::resume",
      path, absolute(path)));
}

std::optional<RunFolder> RunFolder::try_create(const std::string& path) {
  if (holds_run(path)) {
    return std::nullopt;
  }
  std::error_code failure;
  fs::create_directories(path, failure);
  if (failure || !fs::is_directory(path)) {
    throw IoError(formatted("output folder {} cannot be made (absolute: {}): {}", path,
                            absolute(path), failure ? failure.message() : "it is not a folder"));
  }
  RunFolder folder(path);
  // Made exclusively: of two runs begun at the same time in one folder the second is refused. Also
  // finds out now, not after an hour of training, whether the folder can be written.
  std::FILE* log = std::fopen(folder.file("run.log").c_str(), "wx");
  if (log == nullptr && errno == EEXIST) {
    return std::nullopt;
  }
  if (log == nullptr) {
    const std::string reason = std::strerror(errno);
    throw IoError(formatted("cannot write {} (absolute: {}): {}", folder.log_file(),
                            absolute(folder.log_file()), reason));
  }
  std::fclose(log);
  return folder;
}

RunFolder RunFolder::open(const std::string& path) {
  if (!holds_run(path)) {
    throw IoError(
        formatted("folder {} holds no run to resume (absolute: {})", path, absolute(path)));
  }
  RunFolder folder(path);
  folder.append("run.log", "");
  return folder;
}

std::shared_ptr<const void> RunFolder::lock() const {
  if (std::shared_ptr<const void> held = lock_->lock()) {
    return held;
  }
  const std::string name = file(kLockFile);
  const auto held = std::make_shared<const OpenFile>(name, O_RDWR | O_CREAT);
  struct flock whole = whole_file();
  if (fcntl(held->descriptor, F_OFD_SETLK, &whole) != 0 && (errno == EAGAIN || errno == EACCES)) {
    throw IoError(
        formatted("run folder {} is being written by {} (absolute: {}): wait for it, or end it",
                  path_, writer_of(path_), absolute(path_)));
  }  // a file system without locks has nothing to say
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  const std::string who = formatted("{}, process {} on host {}\n", program_invocation_short_name,
                                    getpid(), host.data());
  if (held->descriptor >= 0 &&
      (ftruncate(held->descriptor, 0) != 0 ||
       pwrite(held->descriptor, who.data(), who.size(), 0) != static_cast<ssize_t>(who.size()))) {
    throw IoError(formatted("cannot write {}: {}", name, std::strerror(errno)));
  }
  if (held->descriptor >= 0) {
    remove_temporary_files(path_);
  }
  *lock_ = held;
  return held;
}

std::string RunFolder::writer_of(const std::string& path) {
  const OpenFile file((fs::path(path) / kLockFile).string(), O_RDWR);
  struct flock whole = whole_file();
  if (file.descriptor < 0 || fcntl(file.descriptor, F_OFD_GETLK, &whole) != 0 ||
      whole.l_type == F_UNLCK) {
    return {};
  }
  std::array<char, 512> text{};
  const ssize_t count = pread(file.descriptor, text.data(), text.size(), 0);
  const std::string who(text.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  return who.empty() ? "another process" : who.substr(0, who.find('\n'));
}

std::string RunFolder::file(const std::string& name) const {
  return (fs::path(path_) / name).string();
}

std::string RunFolder::epoch_file(std::int64_t epoch) const {
  return file(formatted("{}{:04}{}", kEpochFile, epoch, kWeightsEnding));  // sorted as epochs are
}

void RunFolder::remove_epoch_files(std::int64_t last_epoch) const {
  for (const std::string& name : names_in(path_)) {
    const std::optional<std::int64_t> epoch = epoch_of(name);
    std::error_code failure;
    if (epoch && *epoch <= last_epoch && !fs::remove(file(name), failure) && failure) {
      throw IoError(formatted("cannot remove {}: {}", file(name), failure.message()));
    }
  }
}

bool RunFolder::has_state() const { return there_is(state_file()); }
bool RunFolder::has_config() const { return there_is(config_file()); }

ConfigSections RunFolder::read_config() const {
  constexpr std::uint64_t kMostBytes = std::uint64_t{1}
                                       << 26;  // conv_plans has a line for each problem
  try {
    return parse_json(read_file(config_file(), kMostBytes)).get<ConfigSections>();
  } catch (const nlohmann::json::exception& error) {
    throw IoError(formatted("{} is not what a run writes: {}", config_file(), error.what()));
  }
}

void RunFolder::write_config(const ConfigSections& sections) const {
  for (const auto& [section, fields] : sections) {
    for (const auto& [name, text] : fields) {
      if (!is_utf8(name) || !is_utf8(text)) {
        throw IoError(formatted("cannot write {}: {} {} is '{}', which is not UTF-8", config_file(),
                                section, name, text));
      }
    }
  }
  write_file_atomically(config_file(), nlohmann::json(sections).dump(2) + "\n");
}

void RunFolder::append(const std::string& name, const std::string& text) const {
  std::ofstream out(file(name), std::ios::app | std::ios::binary);
  out << text;
  out.flush();
  if (!out) {
    throw IoError(
        formatted("cannot write {} (absolute: {}): the folder is not writable or the disk is full",
                  file(name), absolute(file(name))));
  }
}

void RunFolder::append_metrics(const EpochMetrics& row) const {
  std::error_code failure;
  const auto size = fs::file_size(metrics_file(), failure);
  const bool is_new = failure || size == 0;
  append("metrics.csv", (is_new ? metrics_header(row.on_validation) : "") + format_row(row));
}

std::vector<EpochMetrics> RunFolder::read_metrics() const {
  std::vector<EpochMetrics> rows;
  std::ifstream in(metrics_file());
  std::string line;
  std::getline(in, line);
  const bool on_validation = line + "\n" == metrics_header(true);
  while (std::getline(in, line)) {
    EpochMetrics row{.on_validation = on_validation};
    if (!in.eof() && parse_row(line, row)) {  // a line without its end was cut off
      rows.push_back(row);
    }
  }
  return rows;
}

void RunFolder::truncate_metrics(std::int64_t last_epoch) const {
  std::string text;
  for (const EpochMetrics& row : read_metrics()) {
    if (row.epoch <= last_epoch) {
      text += (text.empty() ? metrics_header(row.on_validation) : "") + format_row(row);
    }
  }
  write_file_atomically(metrics_file(), text);  // empty, it is as a new one
}

void RunFolder::log(const std::string& line) const {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  std::array<char, 32> stamp{};
  std::strftime(stamp.data(), stamp.size(), "%Y-%m-%d %H:%M:%S", &parts);
  append("run.log", formatted("{}  {}\n", stamp.data(), line));
}

}  // namespace cks
