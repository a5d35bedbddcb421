#include "apps/cli/console.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "tests/apps/captured.h"
#include "tests/support/process.h"

namespace {

using cks::RunFolder;
using cks::apps::Console;
using namespace cks::testing;

void say_all(Console& console) {
  console.say("said {} %v");
  console.warn("odd");
  console.log("for the record");
}

TEST_CASE("what a program says goes to stderr and, with the time, into the run's log") {
  const ScratchFolder scratch;
  const RunFolder folder = RunFolder::create(scratch / "run");
  Console console({}, &folder);
  CHECK(captured(std::cerr, [&] { say_all(console); }) == "said {} %v\nwarning: odd\n");
  const std::string log = slurp(folder.log_file());
  CHECK(log.find("  said {} %v\n") == 19);  // behind 2026-11-28 18:13:04
  CHECK(contains(log, "  warning: odd\n"));
  CHECK(contains(log, "  for the record\n"));
}

TEST_CASE("--quiet leaves warnings on stderr, and the log as it is") {
  const ScratchFolder scratch;
  const RunFolder folder = RunFolder::create(scratch / "run");
  Console console({.quiet = true}, &folder);
  CHECK(captured(std::cerr, [&] { say_all(console); }) == "warning: odd\n");
  CHECK(contains(slurp(folder.log_file()), "  said {} %v\n"));
  Console without_log({.quiet = true});
  CHECK(captured(std::cerr, [&] { say_all(without_log); }) == "warning: odd\n");
}

TEST_CASE("a log that cannot be written is an error that names it") {
  const ScratchFolder scratch;
  const RunFolder folder = RunFolder::create(scratch / "run");
  Console console({.quiet = true}, &folder);
  std::filesystem::remove_all(folder.path());
  CHECK_THROWS_WITH_AS(console.say("lost"), doctest::Contains("run.log"), cks::IoError);
}

}  // namespace
