#include "cks/core/log.h"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

#include "cks/core/io/file.h"
#include "tests/core/test_ops.h"
#include "tests/support/scratch_folder.h"

namespace cks {
namespace {

using testing::contains;

TEST_CASE("log: nothing is written until a place is named, then from its level on") {
  const testing::ScratchFolder folder;
  const std::string path = folder / "run.log";
  log_error("into the void");
  log_to_file(path, LogLevel::info);
  log_debug("too fine");
  log_info("started");
  log_warning("odd {} %s");  // no format string
  flush_log();
  std::string text = read_file(path);
  CHECK_FALSE(contains(text, "void"));
  CHECK_FALSE(contains(text, "too fine"));
  CHECK(contains(text, "info: started\n"));
  CHECK(contains(text, "warning: odd {} %s\n"));
  log_to_file(path, LogLevel::debug);  // appends
  log_debug("fine enough");
  close_log();
  log_error("too late");
  text = read_file(path);
  CHECK(contains(text, "started"));
  CHECK(contains(text, "debug: fine enough\n"));
  CHECK_FALSE(contains(text, "too late"));
  CHECK_THROWS_AS(log_to_file(folder.path()), IoError);
}

TEST_CASE("log: lines of several threads stay whole") {
  const testing::ScratchFolder folder;
  const std::string path = folder / "run.log";
  log_to_file(path);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([] {
      for (int i = 0; i < 100; ++i) {
        log_info("abcdefghij");
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  close_log();
  const std::string text = read_file(path);
  int lines = 0;
  for (std::size_t at = 0; (at = text.find("info: abcdefghij\n", at)) != std::string::npos; ++at) {
    ++lines;
  }
  CHECK(lines == 400);
}

}  // namespace
}  // namespace cks
