#include "apps/cli/flags.h"

#include <doctest/doctest.h>

#include "apps/cli/nearest_name.h"
#include "apps/run/run_folders.h"
#include "cks/core/error.h"
#include "tests/apps/captured.h"

namespace {

using cks::apps::Flags;
using cks::apps::nearest_name;
using cks::testing::captured;

struct Values {
  std::string name = "a";
  std::int64_t count = 10;
  double rate = 1e-3;
  bool on = false;
  std::string choice = "x";
  std::optional<std::string> maybe;
  std::string file;
  std::string path;
  std::string checked = "good";
};

void add_all(Flags& flags, Values& values) {
  flags.add("name", values.name, "a text");
  flags.add("count", values.count, "a number", 1, 100);
  flags.add("rate", values.rate, "a real number");
  flags.add_switch("on", values.on, "a switch");
  flags.add_choice("choice", values.choice, {"x", "y"}, "one of two");
  flags.add_optional("maybe", values.maybe, "a flag that may stand alone");
  flags.add_positional("file", values.file, "a file", false);
  flags.add_path("path", values.path, "a path");
  flags.add("checked", values.checked, "a text that is checked", [](const std::string& text) {
    if (text.find("bad") != std::string::npos) {
      throw cks::Error("it is bad");
    }
  });
}

std::optional<int> parse(Values& values, std::vector<const char*> arguments) {
  Flags flags("program", "Tests flags.");
  add_all(flags, values);
  arguments.insert(arguments.begin(), "program");
  return flags.parse(static_cast<int>(arguments.size()), arguments.data());
}

TEST_CASE("flags land in the caller's variables") {
  Values values;
  CHECK_FALSE(parse(values, {"--name", "b", "--count=20", "--rate", "2.5e-2", "--on", "--choice",
                             "y", "--maybe", "z"}));
  CHECK(values.name == "b");
  CHECK(values.count == 20);
  CHECK(values.rate == 2.5e-2);
  CHECK(values.on);
  CHECK(values.choice == "y");
  CHECK(values.maybe == "z");
  CHECK(values.file.empty());
  CHECK_FALSE(parse(values, {"f.txt", "--on"}));
  CHECK(values.file == "f.txt");
}

TEST_CASE("short flags: -b, -o, -q; a long one with a single dash is refused") {
  struct {
    std::int64_t batch_size = 1;
    std::string output_dir;
    bool quiet = false;
  } values;
  const auto parse_short = [&](std::vector<const char*> arguments) {
    values = {};
    Flags flags("program", "Tests flags.");
    flags.add("batch-size", values.batch_size, "a number", 1);
    flags.add("output-dir", values.output_dir, "a folder");
    flags.add_switch("quiet", values.quiet, "a switch");
    arguments.insert(arguments.begin(), "program");
    const auto code = flags.parse(static_cast<int>(arguments.size()), arguments.data());
    CHECK((code || flags.given("batch-size")));
    CHECK(flags.values().at("output-dir") == values.output_dir);
    return code;
  };
  CHECK_FALSE(parse_short({"-b", "20", "-q", "-o", "runs/x"}));
  CHECK(values.batch_size == 20);
  CHECK(values.output_dir == "runs/x");
  CHECK(values.quiet);
  CHECK_FALSE(parse_short({"-b64", "-oruns", "--batch-size", "32"}));
  CHECK(values.batch_size == 32);
  CHECK(values.output_dir == "runs");
  CHECK_FALSE(values.quiet);
  const std::string help = "\n  see program --help\n";
  for (const auto& [arguments, why] : std::vector<std::pair<std::vector<const char*>, std::string>>{
           {{"-out=x"}, "there is no flag -out; the nearest is --output-dir"},
           {{"-batch-size", "3"}, "there is no flag -batch-size; the nearest is --batch-size"},
           {{"-quiet"}, "there is no flag -quiet; the nearest is --quiet"},
           {{"-b", "0"}, "--batch-size: '0' is not a number >= 1"},
           {{"-b", "-1.5"}, "--batch-size: '-1.5' is not a number >= 1"},
           {{"-b"}, "--batch-size needs a value"},
           {{"-x", "3"}, "there is no flag -x"}}) {
    CAPTURE(why);
    CHECK(captured(std::cerr, [&, &given = arguments] { CHECK(parse_short(given) == 2); }) ==
          "error: " + why + help);
  }
}

TEST_CASE("a positional list takes every word that is no flag's value") {
  std::vector<std::string> files{};
  std::string name;
  bool on = false;
  Flags flags("program", "Tests flags.");
  flags.add("name", name, "a text");
  flags.add_positional("files", files, "files");
  flags.add_switch("on", on, "a switch");
  const std::vector<const char*> arguments{"program", "a", "--name", "b", "c", "--on", "d"};
  CHECK_FALSE(flags.parse(static_cast<int>(arguments.size()), arguments.data()));
  CHECK(files == std::vector<std::string>{"a", "c", "d"});
  CHECK(name == "b");
  CHECK(on);
  CHECK(flags.values().count("files") == 0);
}

TEST_CASE("defaults stay, an optional flag may stand alone, the last of two wins") {
  Values values;
  CHECK_FALSE(parse(values, {"--maybe", "--count", "3", "--count", "4"}));
  CHECK(values.maybe == "");
  CHECK(values.count == 4);
  CHECK(values.name == "a");
  Values others;
  CHECK_FALSE(parse(others, {}));
  CHECK_FALSE(others.maybe.has_value());
}

TEST_CASE("what is no flag or no lawful value is a usage error") {
  for (const std::vector<const char*>& arguments :
       std::vector<std::vector<const char*>>{{"--nonsense"},
                                             {"--count", "0"},
                                             {"--count", "101"},
                                             {"--count", "3.5"},
                                             {"--count", "99999999999999999999"},
                                             {"--rate", "-1"},
                                             {"--rate", "nan"},
                                             {"--rate", "1x"},
                                             {"--choice", "z"},
                                             {"--count"},
                                             {"--checked", "too bad"},
                                             {"--path", ""},
                                             {""},
                                             {"f.txt", "g.txt"}}) {
    Values values;
    CAPTURE(arguments.front());
    CHECK(parse(values, arguments) == 2);
  }
  Values values;
  CHECK(parse(values, {"--help"}) == 0);
  CHECK_FALSE(parse(values, {"--name", ""}));  // a text may be empty
}

/// What the parser says on stderr of wrong arguments.
std::string refusal(const std::vector<const char*>& arguments) {
  return captured(std::cerr, [&] {
    Values values;
    CHECK(parse(values, arguments) == 2);
  });
}

TEST_CASE("--man and --completion print the flags, whatever stands in their texts") {
  Values values;
  const auto printed = [&](std::vector<const char*> arguments) {
    Flags flags("program", "Tests 'flags'.\n\n  program --count 1   so\n");
    flags.add_choice("choice", values.choice, {"x", "y"}, "one's [own] \\ choice\n.second: line");
    flags.add("count", values.count, "a number", 1, 100);
    flags.add_positional("file", values.file, "a file", true);
    flags.footer("Models:\n  one: small");
    arguments.insert(arguments.begin(), "/usr/bin/other");  // what it was started as
    return captured(std::cout, [&] {
      CHECK(flags.parse(static_cast<int>(arguments.size()), arguments.data()) == 0);
      CHECK(flags.program() == "other");
    });
  };
  const auto contains = [](const std::string& text, const std::string& part) {
    CAPTURE(text);
    CHECK(text.find(part) != std::string::npos);
  };
  const std::string page = printed({"--man"});
  contains(page, "other \\- tests 'flags'\n");
  contains(page,
           ".TP\n\\fB\\-\\-choice\\fR {\\fBx\\fR | \\fBy\\fR}\none's [own] \\e choice\n.br\n"
           "\\&.second: line; default x\n");
  contains(page, "\\fB\\-\\-count\\fR \\fIINT\\fR\na number; in [1, 100]; default 10\n");
  contains(page, ".SH EXAMPLES\n.nf\n  other \\-\\-count 1   so\n.fi\n");
  contains(page, ".SH NOTES\nModels:\n.IP \\(bu 2\none: small\n");
  const std::string bash = printed({"--completion", "bash"});
  contains(bash,
           "    --choice) mapfile -t COMPREPLY < <(compgen -W 'x y' -- \"$word\"); return ;;\n");
  contains(bash, "    --count) return ;;\n");
  contains(bash, "\ncomplete -F _cks_complete_other other\n");
  const std::string zsh = printed({"--completion", "zsh"});
  contains(zsh, "#compdef other\n");
  contains(zsh, "'--choice=[one'\\''s \\[own\\] \\\\ choice .second: line]:TEXT:(x y)'");
  contains(zsh, "':file:_files'");
  CHECK(parse(values, {"--completion", "fish"}) == 2);
}

TEST_CASE("--help breaks long texts between words and keeps their own breaks") {
  std::string value;
  Flags flags("program", "Tests flags.");
  flags.add("name", value, "twelve words that are more than fits into what 80 columns leave");
  flags.add("kind", value, "one of these\na: the first\nb: the last");
  const std::vector<const char*> arguments{"program", "--help"};
  const std::string help =
      captured(std::cout, [&] { CHECK(flags.parse(2, arguments.data()) == 0); });
  CHECK(help.find(
            "  --name TEXT                     twelve words that are more than fits into what\n" +
            std::string(34, ' ') + "80 columns leave\n") != std::string::npos);
  const std::string indent = "\n" + std::string(34, ' ');
  CHECK(help.find("one of these" + indent + "a: the first" + indent + "b: the last\n") !=
        std::string::npos);
}

TEST_CASE("a mistyped flag is named, and the nearest one") {
  const std::string help = "\n  see program --help\n";
  CHECK(refusal({"--cuont", "3"}) ==
        "error: there is no flag --cuont; the nearest is --count" + help);
  CHECK(refusal({"--on", "--counts=3", "--choise", "y"}) ==
        "error: there is no flag --counts; the nearest is --count" + help);
  CHECK(refusal({"-count", "3"}) ==
        "error: there is no flag -count; the nearest is --count" + help);
  CHECK(refusal({"--real-number", "3"}) ==
        "error: there is no flag --real-number; the nearest is --rate" + help);
  CHECK(refusal({"--nonsense", "3"}) == "error: there is no flag --nonsense" + help);
  CHECK(refusal({"--hlep"}) == "error: there is no flag --hlep; the nearest is --help" + help);
  CHECK(refusal({"f.txt", "g.txt", "h.txt"}) == "error: 'g.txt' was not expected" + help);
}

TEST_CASE("a flag without its value, and one that is none of its choices") {
  const std::string help = "\n  see program --help\n";
  CHECK(refusal({"--count"}) == "error: --count needs a value" + help);
  CHECK(refusal({"--name"}) == "error: --name needs a value" + help);
  CHECK(refusal({"--choice", "xx"}) ==
        "error: --choice: 'xx' is not one of {x,y}; the nearest is x" + help);
  CHECK(refusal({"--choice", "nonsense"}) ==
        "error: --choice: 'nonsense' is not one of {x,y}" + help);
}

TEST_CASE("nearest_name: by the name, a word of it, or what it means") {
  const std::map<std::string, std::string> names{{"batch-size", "images of one step"},
                                                 {"epochs", "passes over the images"},
                                                 {"lr", "learning rate; the highest one"},
                                                 {"lr-gamma", "of step: factor of each cut"},
                                                 {"lr-warmup-epochs", "in which the rate rises"},
                                                 {"wd", "weight decay, of all parameters"}};
  for (const auto& [typed, expected] : {std::pair{"epoch", "epochs"},
                                        {"epohcs", "epochs"},
                                        {"batch", "batch-size"},
                                        {"batchsize", "batch-size"},
                                        {"learning-rate", "lr"},
                                        {"leraning-rate", "lr"},
                                        {"weight-decay", "wd"},
                                        {"lr-gama", "lr-gamma"},
                                        {"gamma", "lr-gamma"},
                                        {"warmup", "lr-warmup-epochs"},
                                        {"warm-up", "lr-warmup-epochs"},
                                        {"x", ""},
                                        {"", ""},
                                        {"nonsense", ""}}) {
    CAPTURE(typed);
    CHECK(nearest_name(typed, names) == expected);
  }
}

TEST_CASE("values as text set another parser to the same") {
  Values values;
  Flags flags("program", "");
  add_all(flags, values);
  const std::vector<const char*> arguments{"program", "--rate", "0.1", "--on"};
  REQUIRE_FALSE(flags.parse(static_cast<int>(arguments.size()), arguments.data()));
  CHECK(flags.given("rate"));
  CHECK_FALSE(flags.given("count"));
  CHECK(flags.values().at("rate") == "0.1");
  CHECK(flags.values().count("maybe") == 0);

  Values copy;
  Flags other("program", "");
  add_all(other, copy);
  for (const auto& [name, text] : flags.values()) {
    other.set(name, text);
  }
  CHECK(copy.rate == 0.1);
  CHECK(copy.on);
  CHECK(copy.count == 10);
  CHECK_THROWS_AS(other.set("count", "1000"), cks::Error);
  CHECK_THROWS_AS(other.set("choice", "z"), cks::Error);
  CHECK_THROWS_WITH_AS(other.set("on", "yes"), "flag --on: 'yes' is neither true nor false",
                       cks::Error);
  CHECK(copy.on);
  CHECK_THROWS_WITH_AS(other.set("checked", "bad"), "flag --checked: it is bad", cks::Error);
  other.set("checked", "better");
  CHECK(copy.checked == "better");
  CHECK_THROWS_WITH_AS(other.set("coutn", "1"), "there is no flag --coutn; the nearest is --count",
                       cks::Error);
}

/// What is added to an error of a program with three flags.
template <class Exception>
std::string advice() {
  double lr = 0.0;
  std::int64_t batch_size = 0;
  bool no_graph = false;
  Flags flags("program", "");
  flags.add("lr", lr, "");
  flags.add("batch-size", batch_size, "");
  flags.add_switch("no-graph", no_graph, "");
  Exception error("it");
  cks::apps::append_flags(error, flags);
  return error.what();
}

TEST_CASE("flags that help are named where the program has them") {
  CHECK(advice<cks::NonFiniteError>() == "it\n  flags that help: --lr");
  CHECK(advice<cks::OutOfMemoryError>() == "it\n  flags that help: --batch-size");
  CHECK(advice<cks::CaptureError>() == "it\n  flags that help: --no-graph");
  CHECK(advice<cks::ShapeError>() == "it");
}

}  // namespace
