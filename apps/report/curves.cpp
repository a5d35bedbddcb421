#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "apps/report/figures.h"
#include "cks/core/error.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::apps {
namespace {

constexpr double kWidth = 440.0;
constexpr double kHeight = 270.0;
constexpr double kLeft = 48.0;  // of the axes
constexpr double kRight = 428.0;
constexpr double kTop = 44.0;
constexpr double kBottom = 232.0;
constexpr double kMostTicks = 7.0;
constexpr std::size_t kMarkedPoints = 40;  // more would hide the line
constexpr double kPercent = 100.0;

/// Beyond this, an axis' ends would be no numbers.
bool is_drawn(double value) { return std::abs(value) <= 1e300; }

/// One number of each epoch.
using Column = double EpochMetrics::*;

struct Panel {
  std::string title{};
  Column train{};
  Column test{};
  bool is_share = false;  // in percent

  double value(const EpochMetrics& row, Column column) const {
    return is_share ? kPercent * row.*column : row.*column;
  }
};

/// From `begin` to `end` on the paper; of a logarithmic one low and high are logarithms.
struct Axis {
  double begin = 0.0;
  double end = 0.0;
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  bool logarithmic = false;

  void take_in(double value) {
    if (is_drawn(value)) {
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  /// After the last value: never empty, and with some air.
  void close() {
    if (low > high) {
      low = 0.0;
      high = 1.0;
    }
    if (logarithmic) {
      low = std::log10(low);
      high = std::log10(high);
    }
    const double air = high > low ? 0.05 * (high - low) : std::max(0.1 * std::abs(high), 1e-6);
    low -= air;
    high += air;
  }
  double place(double value) const {
    return begin + ((logarithmic ? std::log10(value) : value) - low) / (high - low) * (end - begin);
  }
  /// 1, 2 or 5 times a power of ten apart. On a logarithmic axis these numbers themselves or, where
  /// it is long, powers of ten, or every second, third, ... of them.
  std::vector<double> ticks() const {
    std::vector<double> ticks;
    if (logarithmic) {
      constexpr double kShort = 2.0;
      const double every = std::ceil((high - low) / kMostTicks);
      for (double power = every * std::floor(low / every); power <= high; power += every) {
        for (const double factor : {1.0, 2.0, 5.0}) {
          const double at = power + std::log10(factor);
          if (at >= low && at <= high && (factor == 1.0 || high - low < kShort)) {
            ticks.push_back(std::pow(10.0, at));
          }
        }
      }
      return ticks;
    }
    double step = std::pow(10.0, std::floor(std::log10(high - low)) - 1.0);
    for (int i = 0; high - low > (kMostTicks - 1.0) * step; ++i) {
      step *= i % 3 == 1 ? 2.5 : 2.0;
    }
    const double first = std::ceil(low / step);
    for (int i = 0; i < kMostTicks && (first + i) * step <= high; ++i) {
      ticks.push_back((first + i) * step + 0.0);  // never -0
    }
    return ticks;
  }
};

struct Axes {
  Axis x{.begin = kLeft, .end = kRight};
  Axis y{.begin = kBottom, .end = kTop};
  double x_of(const EpochMetrics& row) const { return x.place(static_cast<double>(row.epoch)); }
};

std::string number_text(const Panel& panel, double value) {
  return panel.is_share ? formatted("{:.2f} %", value) : formatted("{:.4g}", value);
}

std::string draw_axes(const Axes& axes) {
  std::string body;
  for (const double tick : axes.y.ticks()) {
    const double y = axes.y.place(tick);
    body += formatted("<path d=\"M{:.1f} {:.1f}H{:.1f}\" class=\"rule\"/>\n", kLeft, y, kRight) +
            text_at(kLeft - 8.0, y + 4.0, "muted end", formatted("{:g}", tick));
  }
  for (const double tick : axes.x.ticks()) {
    if (tick == std::floor(tick) && tick > 0.0) {  // there is no half epoch, nor one before 1
      body += text_at(axes.x.place(tick), kBottom + 18.0, "muted middle", formatted("{:g}", tick));
    }
  }
  return body + text_at((kLeft + kRight) / 2.0, kBottom + 34.0, "muted middle", "epoch");
}

/// A line through what is drawn, broken where a value is not.
std::string draw_series(const Axes& axes, const std::vector<EpochMetrics>& rows, const Panel& panel,
                        Column column, const std::string& colour) {
  std::string line;
  std::string marks;
  bool goes_on = false;
  for (const EpochMetrics& row : rows) {
    const double value = panel.value(row, column);
    if (is_drawn(value)) {
      const double x = axes.x_of(row);
      const double y = axes.y.place(value);
      line += formatted("{}{:.1f} {:.1f}", goes_on ? "L" : "M", x, y);
      if (rows.size() <= kMarkedPoints) {
        marks += formatted("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.5\" class=\"{}\"/>\n", x, y,
                           colour);
      }
    }
    goes_on = is_drawn(value);
  }
  return formatted("<path d=\"{}\" class=\"{} line\"/>\n{}", line, colour, marks);
}

/// Both lines' samples with their last numbers.
std::string draw_legend(const EpochMetrics& last, const Panel& panel) {
  std::string body;
  double x = kLeft;
  for (const auto& [name, column, colour] :
       {std::tuple{last.on_validation ? "validation " : "test ", panel.test, "orange"},
        std::tuple{"train ", panel.train, "blue"}}) {
    const std::string text = name + number_text(panel, panel.value(last, column));
    body += formatted("<path d=\"M{:.1f} 8H{:.1f}\" class=\"{} line\"/>\n", x, x + 20.0, colour) +
            text_at(x + 28.0, 12.0, "ink", text);
    x += 52.0 + text_width(text);
  }
  return body;
}

std::string draw_best(const Axes& axes, const EpochMetrics& best, const Panel& panel) {
  const double x = axes.x_of(best);
  const double value = panel.value(best, panel.test);
  std::string body =
      formatted("<path d=\"M{0:.1f} {1:.1f}V{2:.1f}\" class=\"best\" stroke-dasharray=\"2 3\"/>\n",
                x, kTop - 6.0, kBottom);
  if (is_drawn(value)) {
    body += formatted("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"5.5\" class=\"best\"/>\n", x,
                      axes.y.place(value));
  }
  const bool is_left = x < (kLeft + kRight) / 2.0;
  return body + text_at(x + (is_left ? -3.0 : 3.0), kTop - 11.0, is_left ? "muted" : "muted end",
                        formatted("best epoch {}: {}", best.epoch, number_text(panel, value)));
}

Figure draw_panel(const std::vector<EpochMetrics>& rows, std::int64_t best_epoch, Panel panel) {
  Axes axes;
  for (const EpochMetrics& row : rows) {
    axes.x.take_in(static_cast<double>(row.epoch));
    axes.y.take_in(panel.value(row, panel.train));
    axes.y.take_in(panel.value(row, panel.test));
  }
  // A spike at the beginning would flatten the rest.
  constexpr double kLinearSpan = 10.0;
  if (!panel.is_share && axes.y.low > 0.0 && axes.y.high > kLinearSpan * axes.y.low) {
    axes.y.logarithmic = true;
    panel.title += ", log scale";
  }
  axes.x.close();
  axes.y.close();
  if (panel.is_share) {
    axes.y.low = std::max(axes.y.low, 0.0);
    axes.y.high = std::min(axes.y.high, kPercent);
  }
  Figure figure{.title = panel.title, .width = kWidth, .height = kHeight};
  figure.body = draw_axes(axes);
  for (const EpochMetrics& row : rows) {
    if (row.epoch == best_epoch) {
      figure.body += draw_best(axes, row, panel);
    }
  }
  figure.body += draw_series(axes, rows, panel, panel.train, "blue") +
                 draw_series(axes, rows, panel, panel.test, "orange") +
                 draw_legend(rows.back(), panel);
  return figure;
}

}  // namespace

std::vector<Figure> curve_figures(const std::vector<EpochMetrics>& rows, std::int64_t best_epoch,
                                  bool has_accuracy) {
  if (rows.empty()) {
    throw Error("curve_figures: there are no epochs");
  }
  std::vector<Figure> figures{
      draw_panel(rows, best_epoch, {"Loss", &EpochMetrics::train_loss, &EpochMetrics::test_loss})};
  if (has_accuracy) {
    figures.push_back(draw_panel(rows, best_epoch,
                                 {"Accuracy", &EpochMetrics::train_accuracy,
                                  &EpochMetrics::test_accuracy, /*is_share=*/true}));
  }
  return figures;
}

}  // namespace cks::apps
