#include "apps/cli/manual.h"

#include <algorithm>
#include <cctype>
#include <sstream>

#include "apps/cli/program.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"

namespace cks::apps {
namespace {

/// For text between macros: a hyphen that can be copied, a backslash that is one.
std::string escaped(const std::string& text) {
  return replaced(replaced(text, "\\", "\\e"), "-", "\\-");
}

std::string bold(const std::string& text) { return "\\fB" + escaped(text) + "\\fR"; }
std::string italic(const std::string& text) { return "\\fI" + escaped(text) + "\\fR"; }

/// Text as input lines: none begins with a macro's dot or quote, or goes on after the end of a
/// sentence, where the formatter puts the space of its own language.
std::string filled(const std::string& text) {
  constexpr std::size_t kColumns = 78;
  std::string lines;
  std::size_t column = 0;
  bool ends = true;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const bool is_macro = word[0] == '.' || word[0] == '\'';
    const std::string safe = (is_macro ? "\\&" : "") + escaped(word);
    if (ends || column + 1 + safe.size() > kColumns) {
      lines += lines.empty() ? "" : "\n";
      column = 0;
    } else {
      lines += ' ';
      ++column;
    }
    lines += safe;
    column += safe.size();
    ends = word.ends_with('.') || word.ends_with('!') || word.ends_with('?');
  }
  return lines + "\n";
}

/// " INT", " [PATH]", " {adam|sgd}" behind a flag's name.
std::string value_of(const FlagDescription& flag) {
  if (flag.type.empty()) {
    return {};
  }
  std::string text = italic(flag.type);
  if (!flag.choices.empty()) {
    text = "{" + list_text(mapped(flag.choices, bold), " | ") + "}";
  }
  return " " + (flag.stands_alone ? "[" + text + "]" : text);
}

std::string paragraph(const FlagDescription& flag) {
  const std::string names = (flag.short_name.empty() ? "" : bold(flag.short_name) + ", ") +
                            bold(flag.name) + value_of(flag);
  std::string text = ".TP\n" + (flag.is_word ? italic(flag.name) : names) + "\n";
  const std::string help = flag.help + (flag.range.empty() ? "" : "; " + flag.range) +
                           (flag.default_text.empty() ? "" : "; default " + flag.default_text);
  return text + list_text(mapped(split(help, '\n'), filled), ".br\n");
}

/// Inside single quotes of a shell.
std::string quoted(const std::string& text) { return "'" + replaced(text, "'", "'\\''") + "'"; }

/// A function's name in both shells.
std::string function_name(const std::string& program) {
  std::string name = "_cks_complete_" + program;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

std::string one_line(const std::string& text) { return replaced(text, "\n", " "); }

/// For an explanation within _arguments' brackets.
std::string bracketed(const std::string& text) {
  std::string safe = replaced(one_line(text), "\\", "\\\\");
  return replaced(replaced(safe, "[", "\\["), "]", "\\]");
}

/// ":INT:action" of a specification for _arguments.
std::string zsh_value(const FlagDescription& flag) {
  std::string action = " ";  // nothing to offer, but a word is expected
  if (flag.type == kPathType) {
    action = "_files";
  } else if (!flag.choices.empty()) {
    const auto safe = [](const std::string& choice) { return replaced(choice, ":", "\\:"); };
    action = "(" + list_text(mapped(flag.choices, safe), " ") + ")";
  }
  const std::string what = flag.range.empty() ? flag.type : flag.type + " " + flag.range;
  return (flag.stands_alone ? "::" : ":") + replaced(what, ":", "\\:") + ":" + action;
}

}  // namespace

std::string manual_page(const ProgramDescription& program, const std::string& version,
                        const std::string& date) {
  std::string upper = program.name;
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  const std::string sentence = program.summary.substr(0, program.summary.find("\n\n"));
  std::string examples = program.summary.substr(sentence.size());
  examples.erase(0, examples.find_first_not_of('\n'));
  std::string summary = sentence;
  if (summary.ends_with('.')) {
    summary.pop_back();
  }
  std::string text = ".\\\" Written by " + program.name + " --man.\n.TH " + escaped(upper) + " 1 " +
                     date + " \"CKS " + version + "\" \"User Commands\"\n.SH NAME\n" +
                     escaped(program.name) + " \\- " +
                     static_cast<char>(std::tolower(static_cast<unsigned char>(summary[0]))) +
                     escaped(summary.substr(1)) + "\n.SH SYNOPSIS\n" + bold(program.name) + " [" +
                     italic("OPTION") + " ...]";
  for (const FlagDescription& flag : program.flags) {
    if (flag.is_word) {
      text += " [" + italic(flag.name) + (flag.repeats ? " ...]" : "]");
    }
  }
  text += "\n.SH DESCRIPTION\n" + filled(sentence);
  const auto add = [&](bool words, const std::string& group) {
    for (const FlagDescription& flag : program.flags) {
      if (flag.is_word == words && (words || flag.group == group)) {
        text += paragraph(flag);
      }
    }
  };
  add(true, "");
  text += ".SH OPTIONS\n";
  std::vector<std::string> groups;
  for (const FlagDescription& flag : program.flags) {
    if (!flag.is_word && !contains(groups, flag.group)) {
      groups.push_back(flag.group);
    }
  }
  for (const std::string& group : groups) {
    text += groups.size() > 1 ? ".SS " + escaped(group) + "\n" : "";
    add(false, group);
  }
  if (!examples.empty()) {
    text += ".SH EXAMPLES\n.nf\n" + escaped(examples) + (examples.ends_with('\n') ? "" : "\n") +
            ".fi\n";
  }
  text += program.notes.empty() ? "" : ".SH NOTES\n";
  for (const std::string& line : split(program.notes, '\n')) {
    text += (line.starts_with(' ')           ? ".IP \\(bu 2\n"
             : text.ends_with(".SH NOTES\n") ? ""
                                             : ".PP\n") +
            filled(line);
  }
  return text;
}

std::string bash_completion(const ProgramDescription& program) {
  std::string cases;
  std::vector<std::string> flags;
  bool takes_words = false;
  for (const FlagDescription& flag : program.flags) {
    if (flag.is_word) {
      takes_words = true;
      continue;
    }
    flags.push_back(flag.name);
    if (flag.type.empty()) {
      continue;
    }
    std::string action;  // nothing to offer
    if (flag.type == kPathType) {
      action = "compopt -o default";
    } else if (!flag.choices.empty()) {
      action = "mapfile -t COMPREPLY < <(compgen -W " + quoted(list_text(flag.choices, " ")) +
               " -- \"$word\")";
    }
    cases += "    " + (flag.short_name.empty() ? "" : flag.short_name + " | ") + flag.name + ")";
    if (flag.stands_alone) {  // another flag may follow instead of a value
      cases += " [[ $word == -* ]] || { " + (action.empty() ? ":" : action) + "; return; } ;;\n";
    } else {
      cases += " " + (action.empty() ? "" : action + "; ") + "return ;;\n";
    }
  }
  const std::string name = function_name(program.name);
  return "# Completion of " + program.name + " in bash, written by " + program.name +
         " --completion bash.\n" + name +
         "() {\n"
         "  local word=${COMP_WORDS[COMP_CWORD]} flag=${COMP_WORDS[COMP_CWORD - 1]}\n"
         "  # --flag=value is three words to readline.\n"
         "  if [[ $word == = ]]; then\n"
         "    word=\n"
         "  elif [[ $flag == = ]]; then\n"
         "    flag=${COMP_WORDS[COMP_CWORD - 2]}\n"
         "  fi\n"
         "  COMPREPLY=()\n"
         "  case $flag in\n" +
         cases +
         "  esac\n"
         "  if [[ $word == -* ]]; then\n"
         "    mapfile -t COMPREPLY < <(compgen -W " +
         quoted(list_text(flags, " ")) + " -- \"$word\")\n" +
         (takes_words ? "  else\n    compopt -o default\n" : "") +
         "  fi\n"
         "}\n"
         "complete -F " +
         name + " " + program.name + "\n";
}

std::string zsh_completion(const ProgramDescription& program) {
  std::string specifications;
  for (const FlagDescription& flag : program.flags) {
    if (flag.is_word) {
      specifications += " \\\n    " + quoted((flag.repeats ? "*:" : ":") + flag.name + ":_files");
      continue;
    }
    const bool has_value = !flag.type.empty();
    const std::string& brief = flag.short_name;
    const std::string rest =
        formatted("[{}]{}", bracketed(flag.help), has_value ? zsh_value(flag) : "");
    const std::string once = brief.empty() ? "" : formatted("({} {})", brief, flag.name);
    const auto add = [&](const std::string& name, const char* before_value) {
      const std::string text =
          formatted("{}{}{}{}", once, name, has_value ? before_value : "", rest);
      specifications += formatted(" \\\n    {}", quoted(text));
    };
    add(flag.name, "=");
    if (!brief.empty()) {
      add(brief, "+");
    }
  }
  const std::string name = function_name(program.name);
  // Sourced, it names the function; as a file of the folder of completions, it is its body.
  return "#compdef " + program.name + "\n# Completion of " + program.name + " in zsh, written by " +
         program.name + " --completion zsh.\n" + name + "() {\n  _arguments -s" + specifications +
         "\n}\n"
         "if [[ $funcstack[1] == _" +
         program.name + " ]]; then\n  " + name + " \"$@\"\nelse\n  compdef " + name + " " +
         program.name + "\nfi\n";
}

}  // namespace cks::apps
