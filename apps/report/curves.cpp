#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <utility>

#include "apps/cli/format.h"
#include "apps/report/chart.h"
#include "cks/core/error.h"

namespace cks::apps {
namespace {

constexpr std::int64_t kPanelWidth = 560;
constexpr std::int64_t kPanelHeight = 420;
constexpr Area kPlot{76, 44, 460, 310};  // within a panel
constexpr std::int64_t kMarkedPoints = 60;
constexpr double kLinearSpan = 10.0;  // of losses; wider ones get a logarithmic axis
constexpr Colour kGrid{225, 225, 225};
constexpr Colour kTrainColour{31, 95, 180};
constexpr Colour kTestColour{214, 84, 0};

struct Series {
  std::string name;
  Colour colour;
  std::vector<double> values;  // one an epoch
};

/// What an axis shows.
struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  bool logarithmic = false;  // low and high are then logarithms

  void take_in(double value) {
    if (std::isfinite(value)) {
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  /// Never empty, and with some air.
  void widen() {
    if (low > high) {
      low = 0.0;
      high = 1.0;
    }
    const double air = high > low ? 0.05 * (high - low) : std::max(0.1 * std::abs(high), 1e-6);
    low -= air;
    high += air;
  }
  /// Before widen().
  void take_logarithms() {
    logarithmic = true;
    low = std::log10(low);
    high = std::log10(high);
  }
  std::vector<double> ticks(int most) const {
    return logarithmic ? log_ticks(std::pow(10.0, low), std::pow(10.0, high), most)
                       : round_ticks(low, high, most);
  }
  std::int64_t place(double value, std::int64_t begin, std::int64_t end) const {
    const double at = logarithmic ? std::log10(value) : value;
    return begin + std::llround((at - low) / (high - low) * static_cast<double>(end - begin));
  }
};

/// Short enough for the margin: 250000 is 250k.
std::string tick_text(double tick) {
  constexpr double kMillion = 1e6;
  constexpr double kTenThousand = 1e4;
  const double size = std::abs(tick);
  if (size >= 1000.0 * kMillion) {
    return format("%.1e", tick);
  }
  if (size >= kMillion) {
    return format("%gM", tick / kMillion);
  }
  return size >= kTenThousand ? format("%gk", tick / 1000.0) : format("%g", tick);
}

void draw_axes(Canvas& canvas, const Area& plot, const Range& x, const Range& y) {
  constexpr int kMostTicks = 7;
  const std::int64_t bottom = plot.y + plot.height - 1;
  const std::int64_t half_text = Canvas::text_height() / 2;
  for (const double tick : y.ticks(kMostTicks)) {
    const std::int64_t at = y.place(tick, bottom, plot.y);
    const std::string label = tick_text(tick);
    canvas.fill({plot.x, at, plot.width, 1}, kGrid);
    canvas.text({plot.x - 8 - Canvas::text_width(label), at - half_text}, label, kBlack);
  }
  for (const double tick : x.ticks(kMostTicks)) {
    if (tick != std::floor(tick)) {
      continue;  // there is no half epoch
    }
    const std::int64_t at = x.place(tick, plot.x, plot.x + plot.width - 1);
    const std::string label = format("%g", tick);
    canvas.fill({at, plot.y, 1, plot.height}, kGrid);
    canvas.text({at - Canvas::text_width(label) / 2, bottom + 8}, label, kBlack);
  }
  canvas.frame(plot, kBlack);
}

void draw_series(Canvas& canvas, const Area& plot, const Range& x, const Range& y,
                 const std::vector<double>& epochs, const Series& series) {
  const bool marked = series.values.size() <= static_cast<std::size_t>(kMarkedPoints);
  Point before;
  bool has_before = false;
  for (std::size_t i = 0; i < series.values.size(); ++i) {
    if (!std::isfinite(series.values[i])) {
      has_before = false;
      continue;
    }
    const Point now{x.place(epochs[i], plot.x, plot.x + plot.width - 1),
                    y.place(series.values[i], plot.y + plot.height - 1, plot.y)};
    if (has_before) {
      canvas.line(before, now, series.colour, 2);
    }
    if (marked) {
      canvas.fill({now.x - 3, now.y - 3, 6, 6}, series.colour);
    }
    before = now;
    has_before = true;
  }
}

enum class Scale { linear, by_span };

void draw_panel(Canvas& canvas, std::int64_t left, std::string title, Scale scale,
                const std::vector<double>& epochs, const std::array<Series, 2>& all) {
  const Area plot{left + kPlot.x, kPlot.y, kPlot.width, kPlot.height};
  Range x;
  Range y;
  for (const double epoch : epochs) {
    x.take_in(epoch);
  }
  for (const Series& series : all) {
    for (const double value : series.values) {
      y.take_in(value);
    }
  }
  if (scale == Scale::by_span && y.low > 0.0 && y.high > kLinearSpan * y.low) {
    y.take_logarithms();
    title += ", log scale";
  }
  x.widen();
  y.widen();
  draw_axes(canvas, plot, x, y);
  canvas.text({plot.x, plot.y - Canvas::text_height() - 10}, title, kBlack);
  const std::string label = "epoch";
  canvas.text({plot.x + (plot.width - Canvas::text_width(label)) / 2,
               plot.y + plot.height + Canvas::text_height() + 16},
              label, kBlack);
  std::int64_t legend = plot.x + plot.width;
  for (const Series& series : all) {
    draw_series(canvas, plot, x, y, epochs, series);
    legend -= Canvas::text_width(series.name) + 24;
    canvas.text({legend, plot.y - Canvas::text_height() - 10}, series.name, series.colour);
  }
}

void require_range(const char* operation, double low, double high, int most) {
  if (!(std::isfinite(low) && std::isfinite(high) && low < high) || most < 2) {
    throw Error(format("%s: low %g must be below high %g, both finite, and most %d at least 2",
                       operation, low, high, most));
  }
}

}  // namespace

std::vector<double> round_ticks(double low, double high, int most) {
  require_range("round_ticks", low, high, most);
  constexpr double kRounding = 1.0 - 1e-9;
  const double least = kRounding * (high - low) / static_cast<double>(most - 1);
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  double step = 10.0 * power;
  for (const double factor : {5.0, 2.0, 1.0}) {
    if (factor * power >= least) {
      step = factor * power;
    }
  }
  std::vector<double> ticks;
  for (auto i = static_cast<std::int64_t>(std::ceil(low / step));
       static_cast<double>(i) * step <= high; ++i) {
    ticks.push_back(static_cast<double>(i) * step);
  }
  return ticks;
}

std::vector<double> log_ticks(double low, double high, int most) {
  require_range("log_ticks", low, high, most);
  if (!(low > 0.0)) {
    throw Error(format("log_ticks: low %g must be above 0", low));
  }
  const auto first = static_cast<int>(std::floor(std::log10(low)));
  const auto last = static_cast<int>(std::ceil(std::log10(high)));
  const auto ticks_at = [&](std::initializer_list<double> factors, int every) {
    std::vector<double> ticks;
    for (int power = first; power <= last; ++power) {
      for (const double factor : factors) {
        const double tick = factor * std::pow(10.0, power);
        if (power % every == 0 && tick >= low && tick <= high) {
          ticks.push_back(tick);
        }
      }
    }
    return ticks;
  };
  std::vector<double> ticks = ticks_at({1.0, 2.0, 5.0}, 1);
  for (int every = 1; ticks.size() > static_cast<std::size_t>(most); ++every) {
    ticks = ticks_at({1.0}, every);
  }
  return ticks;
}

Tensor draw_curves(const std::vector<EpochMetrics>& rows) {
  if (rows.empty()) {
    throw Error("draw_curves: there are no epochs");
  }
  std::vector<double> epochs;
  std::array<Series, 2> losses{{{"train", kTrainColour, {}}, {"test", kTestColour, {}}}};
  std::array<Series, 2> accuracies = losses;
  for (const EpochMetrics& row : rows) {
    epochs.push_back(static_cast<double>(row.epoch));
    losses[0].values.push_back(row.train_loss);
    losses[1].values.push_back(row.test_loss);
    accuracies[0].values.push_back(100.0 * row.train_accuracy);
    accuracies[1].values.push_back(100.0 * row.test_accuracy);
  }
  Canvas canvas(2 * kPanelWidth, kPanelHeight);
  draw_panel(canvas, 0, "loss", Scale::by_span, epochs, losses);
  draw_panel(canvas, kPanelWidth, "accuracy %", Scale::linear, epochs, accuracies);
  return canvas.image();
}

}  // namespace cks::apps
