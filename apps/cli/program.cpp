#include "apps/cli/program.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <filesystem>
#include <iostream>
#include <new>
#include <sstream>

#include "cks/kernels/common/cpu_level.h"
#include "cks/version.h"

namespace cks::apps {
namespace {

volatile std::sig_atomic_t g_interrupts = 0;
volatile std::sig_atomic_t g_signal = SIGINT;  // the first of them
volatile std::sig_atomic_t g_is_deferred = 0;
volatile std::sig_atomic_t g_is_terminal = 0;
std::atomic<const char*> g_last_words{""};
static_assert(std::atomic<const char*>::is_always_lock_free);  // for the signal handler

/// One write, as a signal handler may do it.
void say(const char* text) {
  [[maybe_unused]] const auto written = write(STDERR_FILENO, text, std::strlen(text));
}

extern "C" void on_interrupt(int signal) {
  const int error = errno;
  if (g_interrupts == 0) {
    g_signal = signal;
  }
  g_interrupts = g_interrupts + 1;
  if (g_is_terminal != 0) {
    say("\n");  // behind the progress bar and the ^C
  }
  if (g_is_deferred == 0) {
    say("interrupted before the run began\n");
    _exit(interrupted_exit_code());
  }
  if (g_interrupts > 1) {
    say(g_last_words.load());
    _exit(interrupted_exit_code());
  }
  say("stopping once everything is saved; again to leave at once\n");
  errno = error;
}

/// Whoever opens a file next would get the number of a standard stream that is closed.
void occupy_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(stream, F_GETFD) == -1) {
      // For reading alone, so that what is written is refused.
      [[maybe_unused]] const int opened = open("/dev/null", O_RDONLY);
    }
  }
}

}  // namespace

int run_program(int (*body)(int, char**), int argc, char** argv) {
  occupy_standard_streams();
  std::signal(SIGPIPE, SIG_IGN);  // a pipe that nobody reads is an error of the write,
  std::signal(SIGXFSZ, SIG_IGN);  // and so is a file that has become too large
  std::cout.exceptions(std::ios::badbit | std::ios::failbit);
  try {
    const int code = body(argc, argv);
    errno = 0;
    std::cout.flush();
    return code;
  } catch (const std::ios_base::failure&) {
    const std::string why = errno != 0 ? std::string(": ") + std::strerror(errno) : "";
    std::cout.exceptions(std::ios::goodbit);
    if (g_interrupts > 0 && g_signal == SIGHUP) {
      return interrupted_exit_code();  // the terminal is gone, and everything is saved
    }
    std::cerr << "error: cannot write to stdout" << why << std::endl;
  } catch (const UsageError& error) {
    std::cerr << "error: " << error.what() << std::endl;
    return kExitUsage;
  } catch (const std::bad_alloc&) {
    std::cerr << "error: out of memory; a smaller --batch-size or --eval-batch-size needs less"
              << std::endl;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << std::endl;
  }
  return kExitFailed;
}

void install_interrupt_handler() {
  g_is_terminal = isatty(STDERR_FILENO);
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;  // a checkpoint being written is finished
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction hangup {};
  if (sigaction(SIGHUP, nullptr, &hangup) == 0 && hangup.sa_handler != SIG_IGN) {  // else: nohup
    sigaction(SIGHUP, &action, nullptr);
  }
}

void defer_interrupts(const std::string& resume_command) {
  static auto& kept =
      *new std::deque<std::string>;  // never freed: the handler may read any of them
  kept.push_back("left at once" +
                 (resume_command.empty() ? "" : "; go on with: " + resume_command) + "\n");
  g_last_words = kept.back().c_str();
  g_is_deferred = 1;
}

int interrupted_exit_code() { return 128 + g_signal; }
bool interrupted() { return g_interrupts > 0; }

std::string version() { return CKS_VERSION; }
std::string build_type() { return CKS_BUILD_TYPE; }

std::string instruction_set() { return kernels::cpu_level_name(); }

std::string cache_path(const std::string& name) {
  namespace fs = std::filesystem;
  const auto folder = [](const char* variable) {
    const char* const value = std::getenv(variable);
    const fs::path path(value == nullptr ? "" : value);
    return path.is_absolute() ? path : fs::path();  // others are not lawful there
  };
  fs::path cache = folder("XDG_CACHE_HOME");
  if (const fs::path home = folder("HOME"); cache.empty() && !home.empty()) {
    cache = home / ".cache";
  }
  return cache.empty() ? "" : (cache / "cks" / name).string();
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) {
    parts.push_back(part);
  }
  return parts;
}

std::string with_commas(long long value) {
  std::string text = std::to_string(value);
  const std::size_t first_digit = value < 0 ? 1 : 0;
  for (std::size_t end = text.size(); end > first_digit + 3;) {
    end -= 3;
    text.insert(end, ",");
  }
  return text;
}

}  // namespace cks::apps
