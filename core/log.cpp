// The only file that includes spdlog.
#include "cks/core/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <memory>
#include <mutex>
#include <utility>

#include "cks/core/error.h"

namespace cks {
namespace {

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::error:
      break;
  }
  return spdlog::level::err;
}

/// The two places a message may go to. The lock makes their sinks' own ones needless.
class Log {
 public:
  // Never destroyed: a destructor of static storage duration may still log.
  static Log& instance() {
    static auto& log = *new Log();
    return log;
  }

  void write(LogLevel level, const std::string& message) {
    const std::lock_guard lock(mutex_);
    for (const auto& sink : {stderr_, file_}) {
      if (sink != nullptr && sink->should_log(to_spdlog(level))) {
        // A full disk must not stop the run through a message about it.
        try {
          sink->log({"cks", to_spdlog(level), message});
        } catch (const spdlog::spdlog_ex&) {
          continue;
        }
      }
    }
  }

  void open_stderr(LogLevel lowest) {
    const std::lock_guard lock(mutex_);
    stderr_ = std::make_shared<spdlog::sinks::stderr_sink_st>();
    stderr_->set_pattern("%l: %v");
    stderr_->set_level(to_spdlog(lowest));
  }

  void open_file(const std::string& path, LogLevel lowest) {
    const std::lock_guard lock(mutex_);
    try {
      auto sink = std::make_shared<spdlog::sinks::basic_file_sink_st>(path);
      sink->set_pattern("%Y-%m-%d %H:%M:%S.%e %l: %v");
      sink->set_level(to_spdlog(lowest));
      file_ = std::move(sink);
    } catch (const spdlog::spdlog_ex& error) {
      throw IoError("log_to_file: cannot open \"" + path + "\": " + error.what());
    }
  }

  void flush() {
    const std::lock_guard lock(mutex_);
    if (file_ != nullptr) {
      try {
        file_->flush();
      } catch (const spdlog::spdlog_ex& error) {
        throw IoError(std::string("flush_log: ") + error.what());
      }
    }
  }

  void close() {
    const std::lock_guard lock(mutex_);
    stderr_ = nullptr;
    file_ = nullptr;
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<spdlog::sinks::sink> stderr_;
  std::shared_ptr<spdlog::sinks::sink> file_;
};

}  // namespace

void log_debug(const std::string& message) { Log::instance().write(LogLevel::debug, message); }

void log_info(const std::string& message) { Log::instance().write(LogLevel::info, message); }

void log_warning(const std::string& message) { Log::instance().write(LogLevel::warning, message); }

void log_error(const std::string& message) { Log::instance().write(LogLevel::error, message); }

void log_to_stderr(LogLevel lowest) { Log::instance().open_stderr(lowest); }

void log_to_file(const std::string& path, LogLevel lowest) {
  Log::instance().open_file(path, lowest);
}

void flush_log() { Log::instance().flush(); }

void close_log() { Log::instance().close(); }

}  // namespace cks
