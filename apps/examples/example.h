#pragma once
// What the examples of several flags share: reading them, and how a program ends.
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <string>
#include <type_traits>
#include <vector>

#include "cks/core/error.h"

namespace example {

/// A wrong flag: exit code 2.
class UsageError : public cks::Error {
 public:
  using Error::Error;
};

/// --name VALUE or --name=VALUE, with what it is without, and what --help says.
struct Flag {
  std::string name;
  std::string value;
  std::string help;
};

class Flags {
 public:
  explicit Flags(std::vector<Flag> flags) : flags_(std::move(flags)) {}

  const std::vector<Flag>& all() const { return flags_; }
  /// Throws UsageError, listing all flags, if there is none of this name.
  Flag& find(const std::string& name) {
    std::string names;
    for (Flag& flag : flags_) {
      if (flag.name == name) {
        return flag;
      }
      names += " " + flag.name;
    }
    throw UsageError(name + ": there is no such flag, there are" + names);
  }
  const std::string& text(const std::string& name) { return find(name).value; }
  /// Throws UsageError, listing them, for any other.
  const std::string& choice(const std::string& name, const std::vector<std::string>& choices) {
    std::string list;
    for (const std::string& choice : choices) {
      if (text(name) == choice) {
        return text(name);
      }
      list += " " + choice;
    }
    throw UsageError(name + ": '" + text(name) + "' is none of" + list);
  }
  /// An integer or, with T = double, a number. Throws UsageError unless it is one from `low` on.
  template <class T = std::int64_t>
  T number(const std::string& name, std::type_identity_t<T> low) {
    const std::string& digits = text(name);
    const char* const last = digits.data() + digits.size();
    T value = 0;
    const auto [end, error] = std::from_chars(digits.data(), last, value);
    if (error != std::errc() || end != last || !(value >= low)) {
      throw UsageError(name + ": '" + digits + "' is no number from " +
                       std::to_string(static_cast<int>(low)) + " on");
    }
    return value;
  }

 private:
  std::vector<Flag> flags_;
};

/// std::printf that is seen at once. Throws cks::Error if stdout does not take it: a full disk,
/// say.
__attribute__((format(printf, 1, 2))) inline void print(const char* format, ...) {
  std::va_list values;
  va_start(values, format);
  errno = 0;
  const int written = std::vprintf(format, values);
  va_end(values);
  if (written < 0 || std::fflush(stdout) != 0) {
    throw cks::Error(std::string("cannot write to stdout: ") + std::strerror(errno));
  }
}

inline void require_finite(double loss) {
  if (!std::isfinite(loss)) {
    throw cks::Error("a loss is not finite");
  }
}

/// Reads the command line and runs the body. Exit code: the body's; 0 after --help; 1 after an
/// error and 2 after a wrong flag, each with a line on stderr.
inline int run(int argc, char** argv, std::vector<Flag> defaults,
               const std::function<int(Flags&)>& body) try {
  Flags flags(std::move(defaults));
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--help" || word == "-h") {
      for (const Flag& flag : flags.all()) {
        print("  %-14s %s%s%s\n", flag.name.c_str(), flag.help.c_str(),
              flag.value.empty() ? "" : "; default: ", flag.value.c_str());
      }
      return 0;
    }
    const std::size_t equals = word.find('=');
    Flag& flag = flags.find(word.substr(0, equals));
    if (equals == std::string::npos && i + 1 == argc) {
      throw UsageError(flag.name + " wants a value");
    }
    flag.value = equals == std::string::npos ? argv[++i] : word.substr(equals + 1);
  }
  return body(flags);
} catch (const UsageError& error) {
  std::fprintf(stderr, "error: %s\nsee %s --help\n", error.what(), argv[0]);
  return 2;
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}

}  // namespace example
