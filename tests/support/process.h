#pragma once
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/scratch_folder.h"

namespace cks::testing {

using Arguments = std::vector<std::string>;

/// The arguments and more of them behind.
inline Arguments joined(Arguments arguments, const Arguments& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

/// A running program whose output goes into files of a scratch folder, as what it keeps in a cache
/// does. It sees no CKS_DATA_DIR.
class Process {
 public:
  Process(const std::string& program, const ScratchFolder& scratch, const Arguments& arguments)
      : out_(scratch / "stdout"), err_(scratch / "stderr") {
    const std::string cache = std::filesystem::absolute(scratch / "cache").string();
    Arguments all{program};
    all.insert(all.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& argument : all) {
      argv.push_back(argument.data());
    }
    argv.push_back(nullptr);
    child_ = fork();
    if (child_ == 0) {
      constexpr int kMode = 0600;
      dup2(open(out_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, kMode), STDOUT_FILENO);
      dup2(open(err_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, kMode), STDERR_FILENO);
      unsetenv("CKS_DATA_DIR");
      setenv("XDG_CACHE_HOME", cache.c_str(), 1);
      ::signal(SIGHUP, SIG_DFL);  // whatever the tests were started with
      execv(argv[0], argv.data());
      _exit(127);
    }
    if (child_ < 0) {
      throw std::runtime_error("cannot start " + program);
    }
  }
  ~Process() {
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t id() const { return child_; }
  void signal(int number) const { kill(child_, number); }
  /// Exit code; minus the signal that ended it.
  int wait() {
    int status = 0;
    waitpid(child_, &status, 0);
    child_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  std::string out() const { return slurp(out_); }
  std::string err() const { return slurp(err_); }

 private:
  std::string out_;
  std::string err_;
  pid_t child_ = 0;
};

/// What a program did.
struct Outcome {
  int code = 0;
  std::string out{};
  std::string err{};
};

/// Runs a program to its end.
inline Outcome run_process(const std::string& program, const ScratchFolder& scratch,
                           const Arguments& arguments) {
  Process process(program, scratch, arguments);
  const int code = process.wait();
  return {code, process.out(), process.err()};
}

/// What a line of the shell comes to in the scratch folder.
inline Outcome run_line(const ScratchFolder& scratch, const std::string& line) {
  return run_process("/bin/sh", scratch, {"-c", "cd " + scratch.path() + " && " + line});
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Waits until something holds; false after a minute, which a sanitizer may need.
inline bool eventually(const std::function<bool()>& holds) {
  for (int i = 0; i < 6000; ++i) {
    if (holds()) {
      return true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

}  // namespace cks::testing
