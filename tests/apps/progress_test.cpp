#include "apps/cli/progress.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <regex>

#include "apps/cli/program.h"
#include "apps/report/text_table.h"

namespace {

using cks::StepEvent;
using cks::apps::Progress;

StepEvent some_state() {
  return {.epoch = 3,
          .epochs = 10,
          .step = 50,
          .steps_per_epoch = 100,
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
  CHECK(cks::apps::format_progress(some_state(), {}) ==
        "epoch  3/10 50/100  loss 0.6123  acc 81.20 %  lr 0.001  21.4k img/s  ETA 1:23");
  CHECK(
      cks::apps::format_progress(some_state(), {.bar = true}).find("[============>           ]") !=
      std::string::npos);
  CHECK(cks::apps::format_progress(some_state(), {.bar = true, .colour = true}).find("\x1b[32m") !=
        std::string::npos);
  CHECK(cks::apps::format_progress(some_state(), {}, /*has_accuracy=*/false) ==
        "epoch  3/10 50/100  loss 0.6123  lr 0.001  21.4k img/s  ETA 1:23");
  StepEvent done = some_state();
  done.step = done.steps_per_epoch;
  CHECK(cks::apps::format_progress(done, {.bar = true}).find("[========================]") !=
        std::string::npos);
}

TEST_CASE("a progress line of pictures that are read shows how many, the rate and the time left") {
  const cks::ReadingProgress state{.done = 250, .total = 1000};
  CHECK(cks::apps::format_progress(state, 10.0, {}) ==
        "pictures 250/1000  25 pictures/s  ETA 0:30");
  CHECK(cks::apps::format_progress(state, 10.0, {.bar = true, .columns = 79}) ==
        "pictures [======>                 ] 250/1000  25 pictures/s  ETA 0:30");
  CHECK(cks::apps::format_progress(state, 10.0, {.bar = true, .columns = 40}) ==
        "pictures [==>       ] 250/1000  ETA 0:30");
  CHECK(cks::apps::format_progress(state, 10.0, {.columns = 20}) == "pictures 250/1000");
  CHECK(cks::apps::format_progress(cks::ReadingProgress{}, 0.0, {.columns = 20}) == "pictures 0/0");
  for (std::int64_t columns = 1; columns < 140; ++columns) {
    CHECK(static_cast<std::int64_t>(
              cks::apps::format_progress(state, 10.0, {.bar = true, .columns = columns}).size()) <=
          columns);
  }
}

std::string shown(Progress::Options options, std::int64_t stride = 1) {
  std::FILE* file = std::tmpfile();
  REQUIRE(file != nullptr);
  Progress progress(options, file);
  for (std::int64_t step = 1; step <= 100; step += stride) {
    StepEvent state = some_state();
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

TEST_CASE("a progress line leaves parts out, one after the other, until it fits") {
  const auto fitted = [](std::int64_t columns) {
    return cks::apps::format_progress(some_state(), {.bar = true, .columns = columns});
  };
  const std::string whole = fitted(0);
  CHECK(fitted(200) == whole);
  CHECK(fitted(static_cast<std::int64_t>(whole.size())) == whole);
  CHECK(
      fitted(99) ==
      "epoch  3/10 [=========>         ] 50/100  loss 0.6123  acc 81.20 %  lr 0.001  21.4k img/s  "
      "ETA 1:23");
  CHECK(fitted(79) ==
        "epoch  3/10 [====>    ] 50/100  loss 0.6123  acc 81.20 %  21.4k img/s  ETA 1:23");
  CHECK(fitted(59) == "epoch  3/10 50/100  loss 0.6123  acc 81.20 %  ETA 1:23");
  CHECK(fitted(45) == "epoch  3/10 50/100  loss 0.6123  ETA 1:23");
  CHECK(fitted(39) == "epoch  3/10 50/100  loss 0.6123");
  CHECK(fitted(20) == "epoch  3/10 50/100");
  CHECK(fitted(5) == "epoch");
  for (std::int64_t columns = 1; columns < 140; ++columns) {
    CAPTURE(columns);
    const std::string line = fitted(columns);
    CHECK(static_cast<std::int64_t>(line.size()) <= columns);
    CHECK_FALSE(line.empty());
    // Colours take no room.
    CHECK(std::regex_replace(cks::apps::format_progress(
                                 some_state(), {.bar = true, .colour = true, .columns = columns}),
                             std::regex("\x1b\\[[0-9]*m"), "") == line);
  }
}

/// A terminal that remembers what was written to it.
class Terminal {
 public:
  Terminal() : master_(posix_openpt(O_RDWR | O_NOCTTY)) {
    REQUIRE(grantpt(master_) == 0);
    REQUIRE(unlockpt(master_) == 0);
    file_ = std::fopen(ptsname(master_), "w");
    REQUIRE(file_ != nullptr);
  }
  ~Terminal() {
    std::fclose(file_);
    close(master_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  std::FILE* file() const { return file_; }
  void resize(unsigned short columns) const {
    const winsize size{.ws_row = 24, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
    REQUIRE(ioctl(master_, TIOCSWINSZ, &size) == 0);
  }
  /// What was written since the last call.
  std::string read() const {
    std::fflush(file_);
    std::array<char, 4096> bytes{};
    const ssize_t count = ::read(master_, bytes.data(), bytes.size());
    REQUIRE(count > 0);
    return {bytes.data(), static_cast<std::size_t>(count)};
  }

 private:
  int master_;
  std::FILE* file_ = nullptr;
};

TEST_CASE("the terminal's width is asked for each time a line is drawn") {
  const Terminal terminal;
  setenv("TERM", "xterm", 1);
  setenv("NO_COLOR", "1", 1);
  Progress progress({}, terminal.file());
  setenv("TERM", "dumb", 1);
  Progress plain({.interval = 1}, terminal.file());
  unsetenv("TERM");
  StepEvent state = some_state();
  state.step = state.steps_per_epoch;  // such a step is always drawn
  for (const unsigned short columns : {40, 60, 80, 100, 200, 60, 0, 1}) {
    CAPTURE(columns);
    terminal.resize(columns);
    const std::int64_t most = columns == 0 ? 79 : std::max(columns - 1, 1);  // unknown: 80
    progress.update(state);
    const std::string line = cks::apps::format_progress(state, {.bar = true, .columns = most});
    CHECK(terminal.read() == "\r\x1b[J\x1b[?7l" + line + "\x1b[?7h\r");
    state.epoch += 1;
    plain.update(state);
    CHECK(terminal.read() == cks::apps::format_progress(state, {.columns = most}) + "\r\n");
  }
  progress.clear();
  CHECK(terminal.read() == "\r\x1b[J");
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
