#include "apps/cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

#include "cks/kernels/common/formatted_impl.h"

namespace cks::apps {
namespace {

constexpr std::int64_t kWidestBar = 24;
constexpr std::int64_t kNarrowestBar = 8;
constexpr auto kRedrawInterval = std::chrono::milliseconds(100);
constexpr auto kLineInterval = std::chrono::seconds(2);  // of pictures, without a terminal

// The cursor waits at the line's beginning: a terminal that is made narrower breaks the line behind
// it, and all of it is erased from there. No text wraps, should that happen while it is written.
constexpr const char* kErase = "\r\x1b[J";
constexpr const char* kNoWrap = "\x1b[?7l";
constexpr const char* kWrap = "\x1b[?7h";

std::string draw_bar(double share, std::int64_t width, bool colour) {
  const std::int64_t done = std::clamp<std::int64_t>(
      static_cast<std::int64_t>(share * static_cast<double>(width)), 0, width);
  std::string bar(static_cast<std::size_t>(done), '=');
  if (done < width) {
    bar += '>';
  }
  bar.resize(static_cast<std::size_t>(width), ' ');
  return colour ? " [\x1b[32m" + bar + "\x1b[0m]" : " [" + bar + "]";
}

/// A part of a progress line. `order`: which is left out first where there is no room; 0: none is.
struct Part {
  std::string text;
  int order = 0;
};

constexpr int kBarOrder = 3;
constexpr int kLastOrder = 7;

/// Where a bar is drawn once its width is known.
void add_bar(std::vector<Part>& parts, const ProgressStyle& style) {
  if (style.bar) {
    parts.push_back({std::string(static_cast<std::size_t>(kNarrowestBar + 3), ' '), kBarOrder});
  }
}

double share(std::int64_t done, std::int64_t all) {
  return all > 0 ? static_cast<double>(done) / static_cast<double>(all) : 0.0;
}

/// Parts in a line that fits, with a bar that shows how much is done.
std::string fitted(std::vector<Part> parts, double done, const ProgressStyle& style) {
  std::int64_t width = 0;
  for (const Part& part : parts) {
    width += static_cast<std::int64_t>(part.text.size());
  }
  for (int order = 1; style.columns > 0 && width > style.columns && order <= kLastOrder; ++order) {
    std::erase_if(parts, [&](const Part& part) {
      width -= part.order == order ? static_cast<std::int64_t>(part.text.size()) : 0;
      return part.order == order;
    });
  }
  const std::int64_t bar_width =
      style.columns == 0 ? kWidestBar : std::min(kWidestBar, kNarrowestBar + style.columns - width);
  std::string line;
  for (const Part& part : parts) {
    line += part.order == kBarOrder ? draw_bar(done, bar_width, style.colour) : part.text;
  }
  if (style.columns > 0 && width > style.columns) {  // the first part alone: no colours are in it
    line.resize(static_cast<std::size_t>(style.columns));
  }
  return line;
}

}  // namespace

std::string format_duration(double seconds) {
  const long long whole = std::llround(std::max(seconds, 0.0));
  const long long hours = whole / 3600;
  const long long minutes = whole / 60 % 60;
  return hours > 0 ? formatted("{}:{:02}:{:02}", hours, minutes, whole % 60)
                   : formatted("{}:{:02}", minutes, whole % 60);
}

std::string format_count(double count) {
  if (count >= 1e6) {
    return formatted("{:.1f}M", count / 1e6);
  }
  return count >= 1e3 ? formatted("{:.1f}k", count / 1e3) : formatted("{:.0f}", count);
}

std::string format_progress(const StepEvent& event, const ProgressStyle& style, bool has_accuracy) {
  std::vector<Part> parts{{formatted("epoch {:2}/{}", event.epoch, event.epochs)}};
  add_bar(parts, style);
  parts.push_back({formatted(" {}/{}", event.step, event.steps_per_epoch), kLastOrder});
  parts.push_back({formatted("  loss {:.4f}", event.loss), 6});
  if (has_accuracy) {
    parts.push_back({formatted("  acc {:.2f} %", 100.0 * event.accuracy), 4});
  }
  parts.push_back({formatted("  lr {:.3g}", event.learning_rate), 1});
  parts.push_back({formatted("  {} img/s", format_count(event.images_per_second)), 2});
  parts.push_back({formatted("  ETA {}", format_duration(event.seconds_left)), 5});
  return fitted(std::move(parts), share(event.step, event.steps_per_epoch), style);
}

std::string format_progress(const ReadingProgress& read, double seconds,
                            const ProgressStyle& style) {
  std::vector<Part> parts{{"pictures"}};
  add_bar(parts, style);
  parts.push_back({formatted(" {}/{}", read.done, read.total), kLastOrder});
  const double rate = static_cast<double>(read.done) / std::max(seconds, 1e-9);
  parts.push_back({formatted("  {} pictures/s", format_count(rate)), 2});
  const double left = static_cast<double>(read.total - read.done) / std::max(rate, 1e-9);
  parts.push_back({formatted("  ETA {}", format_duration(left)), 5});
  return fitted(std::move(parts), share(read.done, read.total), style);
}

std::int64_t terminal_columns(std::FILE* file) {
  constexpr std::int64_t kUsual = 80;
  winsize size{};
  if (isatty(fileno(file)) != 1) {
    return 0;
  }
  const bool is_known = ioctl(fileno(file), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return is_known ? size.ws_col : kUsual;
}

Progress::Progress(Options options, std::FILE* out) : options_(options), out_(out) {
  const auto environment = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string_view(value == nullptr ? "" : value);
  };
  redraws_ = options.bar && terminal_columns(out) > 0 && environment("TERM") != "dumb";
  colour_ = redraws_ && environment("NO_COLOR").empty();
}

ProgressStyle Progress::style() const {
  // The last column stays free: some terminals begin a new line once it is written.
  const std::int64_t columns = terminal_columns(out_);
  return {.bar = redraws_,
          .colour = colour_,
          .columns = columns == 0 ? 0 : std::max<std::int64_t>(columns - 1, 1)};
}

void Progress::show(const std::function<std::string()>& line, bool is_last, bool is_due) {
  const auto now = std::chrono::steady_clock::now();
  const bool is_early = drawn_ && !is_last && now - last_draw_ < kRedrawInterval;
  if (!options_.enabled || (redraws_ ? is_early : !is_due)) {
    return;
  }
  last_draw_ = now;
  drawn_ = redraws_;
  const std::string text = line();
  std::fputs((redraws_ ? kErase + (kNoWrap + text) + kWrap + "\r" : text + "\n").c_str(), out_);
  std::fflush(out_);
}

void Progress::update(const ReadingProgress& read, double seconds) {
  const auto now = std::chrono::steady_clock::now();
  if (last_draw_ == std::chrono::steady_clock::time_point()) {
    last_draw_ = now;  // the first line comes after a while: there may be nothing to wait for
  }
  show([&] { return format_progress(read, seconds, style()); }, read.done == read.total,
       options_.interval > 0 && now - last_draw_ >= kLineInterval);
}

void Progress::update(const StepEvent& event, bool has_accuracy) {
  // A GPU reports some of its steps: the first at or behind each multiple of the interval.
  std::int64_t before = event.epoch == last_epoch_ ? last_step_ : 0;
  if (last_epoch_ == 0) {
    before = event.step - 1;  // a resumed run begins anywhere
  }
  last_epoch_ = event.epoch;
  last_step_ = event.step;
  show([&] { return format_progress(event, style(), has_accuracy); },
       event.step == event.steps_per_epoch,
       options_.interval > 0 && event.step / options_.interval != before / options_.interval);
}

void Progress::clear() {
  if (drawn_) {
    std::fputs(kErase, out_);
    std::fflush(out_);
    drawn_ = false;
  }
}

}  // namespace cks::apps
