#include "apps/cli/flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <sstream>

#include "apps/cli/manual.h"
#include "apps/cli/nearest_name.h"
#include "cks/core/error.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/train/number_text_impl.h"

namespace cks::apps {
namespace {

/// How a flag's value is read as text, and set from one, which throws Error if it is not lawful.
struct FlagText {
  std::function<std::optional<std::string>()> get;
  std::function<void(const std::string&)> set;
};

/// All spellings of a flag; the short ones are the same in every program.
std::string names_of(const std::string& name) {
  static const std::map<std::string, std::string> kShort{
      {"batch-size", "-b"}, {"output-dir", "-o"}, {"quiet", "-q"}};
  const auto found = kShort.find(name);
  return (found == kShort.end() ? "" : found->second + ",") + "--" + name;
}

/// What a number may be, for --help and for errors: "in [1, 100]" or ">= 0".
template <class Number>
std::string describe_range(Number low, Number high) {
  const std::string least = detail::number_text(low);
  return high == std::numeric_limits<Number>::max()
             ? ">= " + least
             : formatted("in [{}, {}]", least, detail::number_text(high));
}

/// Of a number in a range.
template <class Number>
FlagText number_text(Number& value, Number low, Number high) {
  return {[&value] { return std::optional(detail::number_text(value)); },
          [&value, low, high](const std::string& text) {
            Number number{};
            // Written so that NaN is refused.
            if (!detail::parse_number(text, number) || !(number >= low && number <= high)) {
              throw Error(formatted("'{}' is not a number {}", text, describe_range(low, high)));
            }
            value = number;
          }};
}

/// Of any text that `check`, unless empty, does not throw for.
FlagText plain_text(std::string& value, const std::function<void(const std::string&)>& check = {}) {
  return {[&value] { return std::optional(value); },
          [&value, check](const std::string& text) {
            if (check) {
              check(text);
            }
            value = text;
          }};
}

/// "{sgd,adam}", as --help shows it.
std::string braced(const std::vector<std::string>& choices) {
  return "{" + list_text(choices, ",") + "}";
}

void require_choice(const std::string& text, const std::vector<std::string>& choices) {
  if (!contains(choices, text)) {
    std::map<std::string, std::string> meanings;  // none: the names need no explanation
    for (const std::string& choice : choices) {
      meanings.emplace(choice, "");
    }
    const std::string nearest = nearest_name(text, meanings);
    throw Error(formatted("'{}' is not one of {}{}", text, braced(choices),
                          nearest.empty() ? "" : "; the nearest is " + nearest));
  }
}

/// "" stays as it is.
std::string absolute_path(const std::string& path) {
  return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
}

/// What is wrong with a path on the command line: "" is what a script's unset variable gives, and
/// would go unnoticed.
std::string describe_path(const std::string& path) {
  return path.empty() ? "is empty, expected a path" : "";
}

constexpr std::size_t kNameColumns = 34;
constexpr std::size_t kHelpColumns = 80 - kNameColumns;

/// Breaks a line between words, so that none is longer than a terminal of 80 columns leaves room
/// for.
std::string wrapped(const std::string& line) {
  std::string text;
  std::size_t column = 0;
  std::istringstream words(line);
  for (std::string word; words >> word; column += word.size()) {
    if (column > 0 && column + 1 + word.size() > kHelpColumns) {
      text += '\n';
      column = 0;
    } else if (column > 0) {
      text += ' ';
      ++column;
    }
    text += word;
  }
  return text;
}

/// Wraps the lines of each text; --help indents what follows a break.
class WrappingFormatter : public CLI::Formatter {
 public:
  WrappingFormatter() { column_width(kNameColumns); }
  std::string make_option_desc(const CLI::Option* option) const override {
    std::string text;
    for (const std::string& line : split(CLI::Formatter::make_option_desc(option), '\n')) {
      text += (text.empty() ? "" : "\n") + wrapped(line);
    }
    return text;
  }
};

}  // namespace

struct Flags::Implementation {
  struct Entry {
    CLI::Option* option = nullptr;
    FlagText text;
  };

  explicit Implementation(const std::string& program, const std::string& description)
      : app(description, program) {
    app.formatter(std::make_shared<WrappingFormatter>());
    app.set_help_flag("-h,--help", "Print this and exit");
    app.set_version_flag("--version", program + " of CKS " + version(),
                         "Print the version and exit");
    const auto print = [this](std::string text) {
      printed = std::move(text);
      throw CLI::CallForHelp();
    };
    app.add_flag_callback(
        "--man", [=, this] { print(manual_page(describe(), version(), CKS_RELEASE_DATE)); },
        "Print a manual page and exit; man -l - shows it");
    const std::vector<std::string> shells = choices["--completion"] = {"bash", "zsh"};
    app.add_option_function<std::string>(
           "--completion",
           [=, this](const std::string& shell) {
             set_or_refuse("--completion", [&] { require_choice(shell, shells); });
             print(shell == "bash" ? bash_completion(describe()) : zsh_completion(describe()));
           },
           "Print what completes these flags in a shell, which sources it, and exit")
        ->type_name("SHELL:" + braced(shells));
  }

  /// A flag without effect unless another one has this value, or if it has.
  struct Condition {
    std::string name, other, value;
    bool is_needed;
  };

  CLI::App app;
  std::string printed;  // what --man or --completion asks for; empty: --help
  std::map<std::string, std::vector<std::string>> choices;  // by name with the dashes
  std::string current_group = "Options";
  std::map<std::string, Entry> entries;
  std::vector<Condition> conditions;

  void enter(const std::string& name, CLI::Option* option, FlagText text) {
    option->group(current_group);
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);  // a later one wins, for scripts
    entries.emplace(name, Entry{option, std::move(text)});
  }
  /// Calls what may throw Error, as CLI11 is told of a value that is not lawful.
  static void set_or_refuse(const std::string& flag, const std::function<void()>& set) {
    try {
      set();
    } catch (const Error& error) {
      throw CLI::ValidationError(flag, error.what());
    }
  }
  /// A flag with a value of one word; `type` is what --help says of it.
  void add_value(const std::string& name, const std::string& type, const std::string& help,
                 const FlagText& text) {
    const auto set = [name, text](const std::string& word) {
      set_or_refuse("--" + name, [&] { text.set(word); });
    };
    auto* option = app.add_option_function<std::string>(names_of(name), set, help);
    option->type_name(type)->default_str(text.get().value_or(""));
    enter(name, option, text);
  }
  /// What is wrong with a command line of which words were left over: the first flag among them,
  /// or else the first word.
  std::string describe_unexpected(const std::vector<std::string>& words) const {
    const std::vector<std::string> unexpected = app.remaining();
    const auto is_unexpected = [&](const std::string& word) { return contains(unexpected, word); };
    const auto flag = std::find_if(words.begin(), words.end(), [&](const std::string& word) {
      return word.starts_with("-") && is_unexpected(word);
    });
    if (flag == words.end()) {
      const auto word = std::find_if(words.begin(), words.end(), is_unexpected);
      return "'" + (word == words.end() ? unexpected.front() : *word) + "' was not expected";
    }
    return describe_unknown(flag->substr(0, flag->find('=')));
  }
  /// Of a flag with its dashes that there is not: names the nearest one.
  std::string describe_unknown(const std::string& text) const {
    std::map<std::string, std::string> meanings{{"help", ""}};
    for (const auto& [name, entry] : entries) {
      if (!entry.option->get_positional()) {
        meanings.emplace(name, entry.option->get_description());
      }
    }
    const std::string nearest =
        nearest_name(text.substr(std::min(text.find_first_not_of('-'), text.size())), meanings);
    return "there is no flag " + text + (nearest.empty() ? "" : "; the nearest is --" + nearest);
  }
  /// What is wrong with -out=DIR, which would mean the folder ut=DIR: a word with one dash that
  /// begins as a long flag does. Empty for other words.
  std::string describe_single_dash(const std::string& word) const {
    const std::string text = word.substr(0, word.find('='));
    if (text.size() < 3 || text[0] != '-' || text[1] == '-') {
      return {};
    }
    const auto flag = std::find_if(entries.begin(), entries.end(), [&](const auto& entry) {
      return !entry.second.option->get_positional() && entry.first.starts_with(text.substr(1));
    });
    return flag == entries.end() ? ""
                                 : "there is no flag " + text + "; the nearest is --" + flag->first;
  }
  /// Installed, a program may have another name, in the examples of its description as well.
  void rename(const std::string& name) {
    app.description(
        replaced(app.get_description(), "  " + app.get_name() + " ", "  " + name + " "));
    app.name(name);
  }
  ProgramDescription describe() const {
    ProgramDescription program{app.get_name(), app.get_description(), app.get_footer(), {}};
    for (const CLI::Option* option : app.get_options()) {
      FlagDescription flag;
      flag.name = option->get_name();
      flag.short_name = option->get_snames().empty() ? "" : "-" + option->get_snames().front();
      flag.group = option->get_group();
      flag.help = option->get_description();
      flag.default_text = option->get_default_str();
      flag.is_word = option->get_positional();
      flag.repeats = option->get_expected_max() > 1;
      flag.stands_alone = option->get_expected_min() == 0;
      const std::string type = option->get_type_name();  // "INT:in [1, 100]", "TEXT:{x,y}"
      const std::size_t colon = std::min(type.find(':'), type.size());
      flag.type = type.substr(0, colon);
      if (const auto found = choices.find(flag.name); found != choices.end()) {
        flag.choices = found->second;
      } else if (colon < type.size()) {
        flag.range = type.substr(colon + 1);
      }
      program.flags.push_back(std::move(flag));
    }
    return program;
  }
  const Entry& at(const std::string& name) const {
    const auto found = entries.find(name);
    if (found == entries.end()) {
      throw Error(describe_unknown("--" + name));
    }
    return found->second;
  }
};

Flags::Flags(const std::string& program, const std::string& description)
    : implementation_(std::make_unique<Implementation>(program, description)) {}

Flags::~Flags() = default;

void Flags::group(const std::string& title) { implementation_->current_group = title; }

void Flags::add(const std::string& name, std::string& value, const std::string& help,
                const std::function<void(const std::string&)>& check) {
  implementation_->add_value(name, "TEXT", help, plain_text(value, check));
}

void Flags::add(const std::string& name, std::int64_t& value, const std::string& help,
                std::int64_t low, std::int64_t high) {
  implementation_->add_value(name, "INT:" + describe_range(low, high), help,
                             number_text(value, low, high));
}

void Flags::add(const std::string& name, double& value, const std::string& help, double low,
                double high) {
  implementation_->add_value(name, "FLOAT:" + describe_range(low, high), help,
                             number_text(value, low, high));
}

void Flags::add_path(const std::string& name, std::string& value, const std::string& help) {
  FlagText text = plain_text(value);
  text.get = [&value] { return std::optional(absolute_path(value)); };
  implementation_->add_value(name, kPathType, help, text);
  implementation_->at(name).option->check(describe_path);
}

void Flags::add_choice(const std::string& name, std::string& value,
                       const std::vector<std::string>& choices, const std::string& help) {
  const auto check = [choices](const std::string& text) { require_choice(text, choices); };
  implementation_->add_value(name, "TEXT:" + braced(choices), help, plain_text(value, check));
  implementation_->choices["--" + name] = choices;
}

void Flags::add_switch(const std::string& name, bool& value, const std::string& help) {
  auto* option = implementation_->app.add_flag(names_of(name), value, help);
  implementation_->enter(name, option,
                         {[&value] { return std::optional<std::string>(value ? "true" : "false"); },
                          [&value](const std::string& text) {
                            if (text != "true" && text != "false") {
                              throw Error(formatted("'{}' is neither true nor false", text));
                            }
                            value = text == "true";
                          }});
}

void Flags::add_optional(const std::string& name, std::optional<std::string>& value,
                         const std::string& help) {
  auto* option = implementation_->app.add_option_function<std::vector<std::string>>(
      names_of(name),
      [&value](const std::vector<std::string>& given) {
        value = given.empty() ? std::string() : given.front();
      },
      help);
  option->expected(0, 1)->type_name(kPathType);
  implementation_->enter(
      name, option,
      {[&value] { return value ? std::optional(absolute_path(*value)) : std::nullopt; },
       [&value](const std::string& text) { value = text; }});
}

void Flags::add_positional(const std::string& name, std::string& value, const std::string& help,
                           bool required) {
  auto* option = implementation_->app.add_option(name, value, help)->required(required);
  option->check(describe_path);
  implementation_->enter(name, option, plain_text(value));
}

void Flags::add_positional(const std::string& name, std::vector<std::string>& values,
                           const std::string& help) {
  auto* option = implementation_->app.add_option(name, values, help);
  option->group(implementation_->current_group)->check(describe_path);
}

void Flags::needs(const std::string& name, const std::string& other) {
  implementation_->at(name).option->needs(implementation_->at(other).option);
}

void Flags::excludes(const std::string& name, const std::string& other) {
  implementation_->at(name).option->excludes(implementation_->at(other).option);
}

void Flags::only_with(const std::string& name, const std::string& other, const std::string& value) {
  implementation_->conditions.push_back({name, other, value, true});
}

void Flags::not_with(const std::string& name, const std::string& other, const std::string& value) {
  implementation_->conditions.push_back({name, other, value, false});
}

void Flags::require_effects() const {
  for (const auto& [name, other, value, is_needed] : implementation_->conditions) {
    const std::string now = implementation_->at(other).text.get().value_or("");
    if (given(name) && implementation_->at(name).text.get() != "false" &&
        (now == value) != is_needed) {
      throw usage_error(formatted("--{} does not go with --{} {}", name, other, now));
    }
  }
}

void Flags::footer(const std::string& text) { implementation_->app.footer(text); }

std::optional<int> Flags::parse(int argc, const char* const* argv) {
  const auto refuse = [this](const std::string& message) {
    std::cerr << "error: " << usage_error(message).what() << "\n";
    return kExitUsage;
  };
  if (argc > 0) {
    implementation_->rename(std::filesystem::path(argv[0]).filename().string());
  }
  for (int i = 1; i < argc; ++i) {
    if (const std::string message = implementation_->describe_single_dash(argv[i]);
        !message.empty()) {
      return refuse(message);
    }
  }
  try {
    implementation_->app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    const std::string& printed = implementation_->printed;
    std::cout << (printed.empty() ? implementation_->app.help() : printed);
    return 0;
  } catch (const CLI::CallForVersion& version) {
    std::cout << version.what() << "\n";
    return 0;
  } catch (const CLI::ExtrasError&) {
    return refuse(implementation_->describe_unexpected({argv + 1, argv + argc}));
  } catch (const CLI::ArgumentMismatch& error) {  // its text begins with the flag
    const std::string text = error.what();
    return refuse(text.substr(0, text.find(':')) + " needs a value");
  } catch (const CLI::ParseError& error) {
    return refuse(error.what());
  }
  return std::nullopt;
}

std::string Flags::program() const { return implementation_->app.get_name(); }

UsageError Flags::usage_error(const std::string& message) const {
  return UsageError(formatted("{}\n  see {} --help", message, program()));
}

bool Flags::has(const std::string& name) const { return implementation_->entries.count(name) > 0; }

bool Flags::given(const std::string& name) const {
  return implementation_->at(name).option->count() > 0;
}

FlagValues Flags::values() const {
  FlagValues values;
  for (const auto& [name, entry] : implementation_->entries) {
    if (auto text = entry.text.get()) {
      values.emplace(name, *std::move(text));
    }
  }
  return values;
}

void Flags::set(const std::string& name, const std::string& text) {
  const Implementation::Entry& entry = implementation_->at(name);
  try {
    entry.text.set(text);
  } catch (const Error& error) {
    throw Error(formatted("flag --{}: {}", name, error.what()));
  }
}

}  // namespace cks::apps
