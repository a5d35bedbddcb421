#pragma once
#include <string>
#include <vector>

namespace cks::apps {

/// What --help calls a path.
constexpr const char* kPathType = "PATH";

/// One flag, or a word that needs none, as a manual page and the completion of a shell need it.
struct FlagDescription {
  std::string name;        // "--epochs"; of a word without a flag "picture"
  std::string short_name;  // "-b"; empty: none
  std::string group;       // title of the flags that it stands among
  std::string help;
  bool is_word = false;              // positional: no flag
  bool repeats = false;              // of a word: as many as one likes
  bool stands_alone = false;         // its value may be left out
  std::string type;                  // of the value: "INT", kPathType; empty: it takes none
  std::string range;                 // "in [1, 100]"; empty: any
  std::vector<std::string> choices;  // the only lawful values; empty: others
  std::string default_text;          // empty: none
};

/// A program and its flags in the order of --help.
struct ProgramDescription {
  std::string name;     // what it was started as: "train_mnist"
  std::string summary;  // one sentence; behind an empty line examples, as they are to be printed
  std::string notes;    // lines for the end of the page; those that begin with blanks make a list
  std::vector<FlagDescription> flags;
};

/// A page for man(1), in the macros of man(7), of section 1. `date` is YYYY-MM-DD.
std::string manual_page(const ProgramDescription& program, const std::string& version,
                        const std::string& date);
/// What a shell sources, or finds in its folder of completions, to complete the program's flags,
/// the values of those with choices, and paths.
std::string bash_completion(const ProgramDescription& program);
std::string zsh_completion(const ProgramDescription& program);

}  // namespace cks::apps
