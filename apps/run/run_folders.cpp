#include "apps/run/run_folders.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "apps/cli/program.h"
#include "apps/run/train_flags.h"
#include "cks/core/io/utf8.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"

namespace cks::apps {
namespace {

namespace fs = std::filesystem;

/// Where runs go that name no folder.
constexpr const char* kRunsFolder = "runs";

fs::path latest() { return fs::path(kRunsFolder) / "latest"; }

std::string time_stamp() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y%m%d-%H%M%S", &parts);
  return text.data();
}

/// Takes a folder for this program until its end.
void keep_locked(const RunFolder& folder) {
  static std::vector<std::shared_ptr<const void>> locks;
  locks.push_back(folder.lock());
  link_latest(folder.path());
}

/// The folder that a bare --resume means: --output-dir, or the newest run named after this program
/// that no other process is writing.
std::string newest_run(const std::string& program, const std::string& output_dir) {
  if (!output_dir.empty()) {
    return output_dir;
  }
  std::string newest;
  fs::file_time_type newest_time;
  std::string running;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(kRunsFolder, ignored)) {
    const bool is_ours = entry.path().filename().string().starts_with(program + "-");
    if (!is_ours || !fs::exists(entry.path() / "config.json", ignored)) {
      continue;
    }
    if (const std::string writer = RunFolder::writer_of(entry.path().string()); !writer.empty()) {
      running += formatted("\n  {} is being written by {}", entry.path().string(), writer);
      continue;
    }
    // The folder's own time does not tell of a log that grew, all that a group of runs may get.
    const fs::file_time_type time = std::max(
        entry.last_write_time(ignored), fs::last_write_time(entry.path() / "run.log", ignored));
    if (newest.empty() || time > newest_time) {
      newest = entry.path().string();
      newest_time = time;
    }
  }
  if (newest.empty()) {
    throw IoError(formatted(
        "--resume: there is no {}run {}-* in {}; name its folder: --resume DIR{}",
        running.empty() ? "" : "other ", program, fs::absolute(kRunsFolder).string(), running));
  }
  return newest;
}

bool is_same_folder(const std::string& a, const std::string& b) {
  std::error_code ignored;
  return fs::weakly_canonical(fs::path(a) / "", ignored) ==
         fs::weakly_canonical(fs::path(b) / "", ignored);
}

/// A run keeps its flags in config.json, which holds UTF-8 alone.
void require_utf8(const Flags& parser) {
  for (const auto& [name, text] : parser.values()) {
    if (!is_utf8(text)) {
      throw UsageError(formatted(
          "--{} is '{}', which is not UTF-8; a run cannot keep it in its config.json", name, text));
    }
  }
}

/// Text as a shell reads it back.
std::string shell_word(const std::string& text) {
  const auto is_plain = [](unsigned char c) {
    return std::isalnum(c) != 0 || c >= 0x80 || std::strchr("_./-+=:,@%", c) != nullptr;
  };
  if (!text.empty() && all_of(text, is_plain)) {
    return text;
  }
  return "'" + replaced(text, "'", "'\\''") + "'";
}

/// Throws Error for a run of another program, whose flags are not this one's.
void require_program(const RunFolder& folder, const std::string& program) {
  if (!folder.has_config()) {
    return;
  }
  ConfigSections config = folder.read_config();
  if (const std::string& other = config["build"].emplace("program", program).first->second;
      other != program) {
    throw Error(formatted("--resume: {} is a run of {}, not of {}", folder.path(), other, program));
  }
}

void restore_flags(const RunFolder& folder, Flags& parser) {
  if (!folder.has_config()) {
    throw IoError(formatted(
        "--resume: {} has no config.json to take the flags from: the run saved nothing; remove the "
        "folder and begin again",
        folder.path()));
  }
  ConfigSections config = folder.read_config();
  const TextFields& flags = config["flags"];
  const TextFields given = parser.values();
  std::string differing;
  const auto take = [&](const std::string& name, const std::string& text) {
    try {
      parser.set(name, text);
    } catch (const Error& error) {
      throw IoError(formatted("--resume: {}: {}", folder.config_file(), error.what()));
    }
  };
  const auto scheduler = flags.find("lr-scheduler");
  const bool spans = scheduler != flags.end() && spans_run(scheduler->second);
  for (const auto& [name, text] : flags) {
    const bool is_free = flags_free_on_resume().count(name) > 0 && !(spans && name == "epochs");
    if (is_free || given.count(name) == 0) {
      if (parser.has(name) && !parser.given(name) && name != "resume" && name != "output-dir") {
        take(name, text);
      }
    } else if (!parser.given(name)) {
      take(name, text);
    } else if (given.at(name) != text) {
      differing += formatted("\n  --{} {} then, {} now", name, text, given.at(name));
      if (name == "epochs") {
        differing +=
            formatted(": its schedule, {}, spans all epochs of the run", scheduler->second);
      }
    }
  }
  if (!differing.empty()) {
    throw Error(
        formatted("--resume: the run in {} was begun with other flags:{}\n  leave them out, or "
                  "begin a new run",
                  folder.path(), differing));
  }
}

/// Throws IoError if there is no run, or one that cannot go on.
RunFolder open_run(const std::string& path) {
  RunFolder folder = RunFolder::open(path);
  if (!folder.has_state() && fs::exists(folder.last_file())) {
    throw IoError(formatted(
        "--resume: {} is missing, but {} is there: the run cannot go on where it stopped, and "
        "beginning anew would overwrite its results; begin a new run",
        folder.state_file(), folder.last_file()));
  }
  return folder;
}

}  // namespace

std::optional<RunFolder> open_resumed_run(const std::string& program, Flags& parser,
                                          const std::optional<std::string>& resume,
                                          std::string& output_dir) {
  require_utf8(parser);
  if (!resume) {
    return std::nullopt;
  }
  if (!resume->empty() && !output_dir.empty() && !is_same_folder(*resume, output_dir)) {
    throw UsageError(formatted(
        "--resume {} goes on in that folder, --output-dir {} names another; leave one of them out",
        *resume, output_dir));
  }
  const std::string path = resume->empty() ? newest_run(program, output_dir) : *resume;
  const RunFolder folder = open_run(path);
  require_program(folder, program);
  keep_locked(folder);
  restore_flags(folder, parser);
  output_dir = path;
  return folder;
}

RunFolder create_run_folder(const std::string& name, const std::string& output_dir) {
  const std::string first = output_dir.empty()
                                ? (fs::path(kRunsFolder) / (name + "-" + time_stamp())).string()
                                : output_dir;
  const int tries = output_dir.empty() ? 999 : 1;  // numbers tell apart runs begun in one second
  std::string path;
  for (int number = 1; number <= tries; ++number) {
    path = number == 1 ? first : first + "-" + std::to_string(number);
    if (const std::optional<RunFolder> folder = RunFolder::try_create(path)) {
      keep_locked(*folder);
      return *folder;
    }
  }
  throw IoError(formatted(
      "output folder {0} already holds a run (absolute: {1}); give another --output-dir, or "
      "continue it with --resume {0}",
      path, fs::absolute(path).lexically_normal().string()));
}

void link_latest(const std::string& run) {
  std::error_code ignored;
  const fs::path folder = fs::weakly_canonical(run, ignored);
  if (!fs::equivalent(folder.parent_path(), kRunsFolder, ignored) ||
      (fs::exists(latest(), ignored) && !fs::is_symlink(latest(), ignored))) {
    return;
  }
  const fs::path made = latest().string() + formatted(".tmp-{}", ::getpid());
  fs::create_directory_symlink(folder.filename(), made, ignored);
  fs::rename(made, latest(), ignored);  // in one step: it always leads somewhere
}

std::string latest_weights() {
  std::error_code missing;
  const fs::path run = fs::path(kRunsFolder) / fs::read_symlink(latest(), missing);
  if (missing) {
    throw IoError(formatted("--latest: there is no link {} to a run; name the file",
                            fs::absolute(latest()).string()));
  }
  for (const char* name : {"best.safetensors", "last.safetensors"}) {
    if (std::error_code ignored; fs::exists(run / name, ignored)) {
      return (run / name).string();
    }
  }
  std::string inside;
  for (const auto& entry : fs::directory_iterator(run, missing)) {
    inside += entry.is_directory() ? "\n  " + entry.path().string() : "";
  }
  throw IoError(formatted("--latest: {} has no weights yet{}{}", run.string(),
                          inside.empty() ? "" : "; name the file in one of", inside));
}

std::string resume_command(const std::string& program, const std::string& path) {
  return program + " --resume " + shell_word(path);
}

void require_storable(const TrainTest& data) {
  for (const ImageDataset* half : {&data.train, &data.test}) {
    if (!is_utf8(half->source.path)) {
      throw Error(formatted(
          "the data lie in '{}', which is not UTF-8; a run cannot keep that in its config.json",
          half->source.path));
    }
  }
}

std::optional<RunFolder> open_if_begun(const std::string& path) {
  return RunFolder::holds_run(path) ? std::optional(open_run(path)) : std::nullopt;
}

void append_flags(Error& error, const Flags& parser) {
  std::vector<std::string> helpful;
  if (dynamic_cast<const NonFiniteError*>(&error) != nullptr) {
    helpful = {"lr", "lr-warmup-epochs", "clip-grad-norm"};
  } else if (dynamic_cast<const OutOfMemoryError*>(&error) != nullptr) {
    helpful = {"batch-size", "eval-batch-size", "accum"};
  } else if (dynamic_cast<const CaptureError*>(&error) != nullptr) {
    helpful = {"no-graph"};
  }
  std::erase_if(helpful, [&](const std::string& name) { return !parser.has(name); });
  error.append(helpful.empty() ? "" : "\n  flags that help: --" + list_text(helpful, ", --"));
}

TrainSummary fit_with_advice(const Flags& parser, Console& console, const TrainTask& task,
                             const TrainOptions& options) {
  try {
    TrainSummary summary = fit(task, options);
    console.progress().clear();
    return summary;
  } catch (Error& error) {
    append_flags(error, parser);
    console.progress().clear();
    try {
      console.log(std::string("error: ") + error.what());
    } catch (const IoError&) {  // the disk may be what failed; the first error is the one to show
    }
    throw;
  }
}

void write_config_on_start(const RunFolder& folder, const ConfigSections& config, bool is_resumed,
                           TrainCallbacks& callbacks) {
  if (!is_resumed) {
    folder.write_config(config);
    return;
  }
  callbacks.on_step = [report = std::move(callbacks.on_step), &folder, config,
                       written = false](const StepEvent& event) mutable {
    if (!written) {
      folder.write_config(config);
      written = true;
    }
    report(event);
  };
}

}  // namespace cks::apps
