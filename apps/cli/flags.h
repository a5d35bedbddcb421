#pragma once
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/cli/program.h"

namespace cks::apps {

/// Values of flags as text, by name without the dashes.
using FlagValues = std::map<std::string, std::string>;

/// Command-line flags of one program, --help, --version, --man and --completion among them: GNU
/// long flags, of which batch-size, output-dir and quiet are also -b, -o and -q, defaults in
/// --help, exit code 2 for anything that is not a flag or not a lawful value. The values land in
/// variables of the caller, which must outlive the parser and hold the defaults when they are
/// added.
class Flags {
 public:
  Flags(const std::string& program, const std::string& description);
  ~Flags();
  Flags(const Flags&) = delete;
  Flags& operator=(const Flags&) = delete;

  /// Title of the flags that follow, in --help.
  void group(const std::string& title);

  /// `help`, here and below, is wrapped; its own line breaks stay.
  /// `check`, unless empty, throws Error for a text that is no lawful value.
  void add(const std::string& name, std::string& value, const std::string& help,
           const std::function<void(const std::string&)>& check = {});
  /// Numbers are checked against [low, high].
  void add(const std::string& name, std::int64_t& value, const std::string& help,
           std::int64_t low = 0, std::int64_t high = std::numeric_limits<std::int64_t>::max());
  void add(const std::string& name, double& value, const std::string& help, double low = 0.0,
           double high = std::numeric_limits<double>::max());
  /// A path, of which values() has the absolute one: a run may be resumed from another folder.
  void add_path(const std::string& name, std::string& value, const std::string& help);
  void add_choice(const std::string& name, std::string& value,
                  const std::vector<std::string>& choices, const std::string& help);
  void add_switch(const std::string& name, bool& value, const std::string& help);
  /// A path that may stand alone (the value becomes "") or with a value; absent: nullopt.
  void add_optional(const std::string& name, std::optional<std::string>& value,
                    const std::string& help);
  void add_positional(const std::string& name, std::string& value, const std::string& help,
                      bool required);
  /// All words that are neither flags nor their values. No part of values().
  void add_positional(const std::string& name, std::vector<std::string>& values,
                      const std::string& help);
  /// Printed below the flags in --help.
  void footer(const std::string& text);

  /// On the command line the flag needs another one, or does not go with one.
  void needs(const std::string& name, const std::string& other);
  void excludes(const std::string& name, const std::string& other);
  /// The flag has an effect only with this value of another one, or only with others. Asked by
  /// require_effects(), when all flags are final; a switch that is off needs none.
  void only_with(const std::string& name, const std::string& other, const std::string& value);
  void not_with(const std::string& name, const std::string& other, const std::string& value);
  /// Throws UsageError for a flag on the command line that has no effect.
  void require_effects() const;

  /// Reads the command line. Returns the exit code if the program should end now: 0 after --help
  /// and the like, 2 after a wrong flag, which has then been explained on stderr.
  std::optional<int> parse(int argc, const char* const* argv);

  /// What the program was started as: the last part of argv[0]; before parse() the name given.
  std::string program() const;
  /// What to throw for flags that do not go together: the message and where --help is.
  UsageError usage_error(const std::string& message) const;

  /// True if there is such a flag.
  bool has(const std::string& name) const;
  /// True if the flag stood on the command line.
  bool given(const std::string& name) const;
  /// Every flag with its value; absent optional ones are left out.
  FlagValues values() const;
  /// Sets a flag from the text that values() returned. Throws Error, naming it, if the text is not
  /// a lawful value or there is no such flag.
  void set(const std::string& name, const std::string& text);

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace cks::apps
