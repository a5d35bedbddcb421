#include "apps/cli/progress.h"

#include <doctest/doctest.h>

#include "apps/cli/program.h"
#include "apps/report/text_table.h"

namespace {

using cks::apps::Progress;
using cks::apps::ProgressState;

ProgressState some_state() {
  return {.epoch = 3,
          .epochs = 10,
          .step = 50,
          .steps = 100,
          .loss = 0.6123,
          .accuracy = 0.812,
          .learning_rate = 1e-3,
          .images_per_second = 21432.0,
          .seconds_left = 83.4};
}

TEST_CASE("numbers for people") {
  CHECK(cks::apps::format_duration(0.4) == "0:00");
  CHECK(cks::apps::format_duration(83.4) == "1:23");
  CHECK(cks::apps::format_duration(3661) == "1:01:01");
  CHECK(cks::apps::format_duration(-5) == "0:00");
  CHECK(cks::apps::format_count(812) == "812");
  CHECK(cks::apps::format_count(21432) == "21.4k");
  CHECK(cks::apps::format_count(2.5e6) == "2.5M");
  CHECK(cks::apps::with_commas(0) == "0");
  CHECK(cks::apps::with_commas(999) == "999");
  CHECK(cks::apps::with_commas(61706) == "61,706");
  CHECK(cks::apps::with_commas(-1234567) == "-1,234,567");
  CHECK(cks::apps::percent(0.0893) == "8.93 %");
}

TEST_CASE("a progress line shows epoch, loss, rate and time left") {
  CHECK(cks::apps::format_progress(some_state(), false, false) ==
        "epoch  3/10 50/100  loss 0.6123  acc 81.20 %  lr 0.001  21.4k img/s  ETA 1:23");
  CHECK(cks::apps::format_progress(some_state(), true, false).find("[============>           ]") !=
        std::string::npos);
  CHECK(cks::apps::format_progress(some_state(), true, true).find("\x1b[32m") != std::string::npos);
  ProgressState without = some_state();
  without.accuracy.reset();
  CHECK(cks::apps::format_progress(without, false, false) ==
        "epoch  3/10 50/100  loss 0.6123  lr 0.001  21.4k img/s  ETA 1:23");
  ProgressState done = some_state();
  done.step = done.steps;
  CHECK(cks::apps::format_progress(done, true, false).find("[========================]") !=
        std::string::npos);
}

std::string shown(Progress::Options options, std::int64_t stride = 1) {
  std::FILE* file = std::tmpfile();
  REQUIRE(file != nullptr);
  Progress progress(options, file);
  for (std::int64_t step = 1; step <= 100; step += stride) {
    ProgressState state = some_state();
    state.step = step;
    progress.update(state);
  }
  progress.clear();
  std::string text(static_cast<std::size_t>(std::ftell(file)), '\0');
  std::rewind(file);
  REQUIRE(std::fread(text.data(), 1, text.size(), file) == text.size());
  std::fclose(file);
  return text;
}

TEST_CASE("a file gets plain lines at intervals, or nothing") {
  const std::string text = shown({.interval = 50});
  CHECK(std::count(text.begin(), text.end(), '\n') == 2);
  // Of the steps 1, 8, 15 ... the first at or behind 50 and 100; the latter is not reached.
  const std::string some = shown({.interval = 50}, 7);
  CHECK(std::count(some.begin(), some.end(), '\n') == 1);
  CHECK(some.find(" 50/100") != std::string::npos);
  CHECK(shown({.interval = 50}, 9).find(" 55/100") != std::string::npos);
  CHECK(text.find('\r') == std::string::npos);
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(shown({.enabled = false}).empty());
  CHECK(shown({.interval = 0}).empty());
}

TEST_CASE("a table pads its columns") {
  cks::apps::TextTable table({"name", "count"}, {false, true});
  table.add({"a", "1"});
  table.rule();
  table.add({"total", "1,234"});
  CHECK(table.to_string() ==
        "name   count\n-----  -----\na          1\n-----  -----\ntotal  1,234\n");
}

}  // namespace
