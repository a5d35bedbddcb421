#include "apps/cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "cks/kernels/common/formatted_impl.h"

namespace cks::apps {
namespace {

constexpr std::int64_t kBarWidth = 24;
constexpr auto kRedrawInterval = std::chrono::milliseconds(100);

std::string draw_bar(std::int64_t step, std::int64_t steps, bool colour) {
  const std::int64_t done =
      steps > 0 ? std::clamp<std::int64_t>(kBarWidth * step / steps, 0, kBarWidth) : 0;
  std::string bar(static_cast<std::size_t>(done), '=');
  if (done < kBarWidth) {
    bar += '>';
  }
  bar.resize(static_cast<std::size_t>(kBarWidth), ' ');
  return colour ? "[\x1b[32m" + bar + "\x1b[0m]" : "[" + bar + "]";
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

std::string format_progress(const ProgressState& state, bool bar, bool colour) {
  return formatted("epoch {:2}/{} {}{}/{}  loss {:.4f}  {}lr {:.3g}  {} img/s  ETA {}", state.epoch,
                   state.epochs, bar ? draw_bar(state.step, state.steps, colour) + " " : "",
                   state.step, state.steps, state.loss,
                   state.accuracy ? formatted("acc {:.2f} %  ", 100.0 * *state.accuracy) : "",
                   state.learning_rate, format_count(state.images_per_second),
                   format_duration(state.seconds_left));
}

Progress::Progress(Options options, std::FILE* out)
    : options_(options), out_(out), terminal_(options.bar && isatty(fileno(out)) == 1) {
  const char* no_color = std::getenv("NO_COLOR");
  colour_ = terminal_ && (no_color == nullptr || *no_color == '\0');
}

void Progress::update(const ProgressState& state) {
  if (!options_.enabled) {
    return;
  }
  if (terminal_) {
    const auto now = std::chrono::steady_clock::now();
    if (drawn_ && state.step != state.steps && now - last_draw_ < kRedrawInterval) {
      return;
    }
    last_draw_ = now;
    drawn_ = true;
    const std::string line = format_progress(state, true, colour_);
    std::fprintf(out_, "\r\x1b[K%s", line.c_str());
    std::fflush(out_);
    return;
  }
  // A GPU reports some of its steps: the first at or behind each multiple of the interval.
  std::int64_t before = state.epoch == last_epoch_ ? last_step_ : 0;
  if (last_epoch_ == 0) {
    before = state.step - 1;  // a resumed run begins anywhere
  }
  last_epoch_ = state.epoch;
  last_step_ = state.step;
  if (options_.interval > 0 && state.step / options_.interval != before / options_.interval) {
    std::fprintf(out_, "%s\n", format_progress(state, false, false).c_str());
  }
}

void Progress::clear() {
  if (drawn_) {
    std::fprintf(out_, "\r\x1b[K");
    std::fflush(out_);
    drawn_ = false;
  }
}

}  // namespace cks::apps
