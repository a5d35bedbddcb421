#pragma once
#include <string>
#include <vector>

#include "cks/core/error.h"

namespace cks::apps {

/// Exit codes of every application.
constexpr int kExitOk = 0;
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr int kExitTargetNotReached = 3;
/// After a signal 128 and its number: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP.
int interrupted_exit_code();

/// Flags that do not go together: exit code 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// Runs the body of a program; an exception becomes "error: ..." on stderr and exit code 1, or 2.
/// So does, with 1, what stdout does not take: a full disk, a pipe that nobody reads. A file that
/// the program opens never takes the place of a closed stdin, stdout or stderr.
int run_program(int (*body)(int, char**), int argc, char** argv);

/// From now on SIGINT, SIGTERM and, unless the process was started to ignore it, SIGHUP end the
/// process with a line on stderr and interrupted_exit_code().
void install_interrupt_handler();
/// From now on the first of them makes interrupted() true, which ends the run after its step, and a
/// second one ends the process at once. Both are answered on stderr, the second one with the
/// command that goes on with the run, unless that is empty.
void defer_interrupts(const std::string& resume_command);
bool interrupted();

/// "0.1.0".
std::string version();
/// "Release".
std::string build_type();
/// The instructions that the CPU's kernels use: "x86-64-v4 (AVX-512)" (kernels/common/cpu_level.h).
std::string instruction_set();
/// Where something is kept from one start to the next: cks/NAME in XDG_CACHE_HOME, or else in the
/// home folder's .cache. Empty where there is neither.
std::string cache_path(const std::string& name);
/// A text with `to` in place of each `from`.
std::string replaced(std::string text, const std::string& from, const std::string& to);
/// The parts of a text between separators; there is none behind the last one: "a,b," -> a, b.
std::vector<std::string> split(const std::string& text, char separator);
/// 61706 -> "61,706".
std::string with_commas(long long value);

}  // namespace cks::apps
