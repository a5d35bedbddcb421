#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "apps/report/figures.h"
#include "apps/report/text_table.h"
#include "cks/core/error.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::apps {
namespace {

constexpr std::int64_t kMostNumbered = 20;  // classes whose squares hold their counts
constexpr std::size_t kLongestName = 20;    // characters
constexpr double kLongestSide = 1000.0;     // of the squares of many classes
constexpr double kDark = 0.72;              // opacity that asks for light text

/// Where things lie, and how names are written above the columns.
struct Layout {
  double cell = 10.0;
  double left = 0.0;
  double top = 0.0;
  double angle = 0.0;         // of the names of columns, in degrees
  std::int64_t labelled = 1;  // every so many rows and columns have room for a name
};

Layout lay_out(std::int64_t classes, double longest_name, double longest_count) {
  Layout layout;
  if (classes <= kMostNumbered) {
    layout.cell = std::max(36.0, longest_count + 12.0);
    layout.angle = longest_name > layout.cell - 4.0 ? -45.0 : 0.0;
  } else {
    constexpr double kLine = 10.0;
    layout.cell = std::min(kLine, kLongestSide / static_cast<double>(classes));
    layout.angle = -90.0;
    for (int i = 0; static_cast<double>(layout.labelled) * layout.cell < kLine; ++i) {
      layout.labelled = i % 3 == 1 ? layout.labelled / 2 * 5 : layout.labelled * 2;  // 1 2 5 10
    }
  }
  layout.left = longest_name + 10.0;
  layout.top = 20.0 - std::sin(layout.angle / 180.0 * M_PI) * longest_name;
  return layout;
}

std::string draw_names(const Layout& layout, const std::vector<std::string>& names) {
  const std::string style = layout.angle == -90.0 ? "ink small" : "ink";
  std::string body;
  for (std::size_t i = 0; i < names.size(); i += static_cast<std::size_t>(layout.labelled)) {
    const std::string name = shortened(names[i], kLongestName);
    const double middle = (static_cast<double>(i) + 0.5) * layout.cell;
    body += text_at(layout.left - 8.0, layout.top + middle + 4.0, style + " end", name);
    const double x = layout.left + middle + (layout.angle == 0.0 ? 0.0 : 3.0);
    const double y = layout.top - 7.0;
    body += text_at(x, y, style + (layout.angle == 0.0 ? " middle" : ""), name,
                    formatted("transform=\"rotate({:g} {:.1f} {:.1f})\"", layout.angle, x, y));
  }
  return body;
}

/// Of a square: all those of a class's images that were recognised are as dark as can be, and
/// mistakes by the root of their share.
double opacity_of(const ConfusionMatrix& confusion, std::int64_t truth, std::int64_t predicted,
                  std::int64_t images) {
  const double share =
      static_cast<double>(confusion.at(truth, predicted)) / static_cast<double>(images);
  return truth == predicted ? share : std::sqrt(share);
}

std::string draw_squares(const Layout& layout, const ConfusionMatrix& confusion) {
  constexpr double kShades = 20.0;
  const std::int64_t classes = confusion.classes();
  const double side = static_cast<double>(classes) * layout.cell;
  std::map<std::pair<bool, int>, std::string> paths;      // by being right, and shade
  const double size = std::max(0.95, 2.0 / layout.cell);  // seen even where squares are tiny
  std::string counts;
  for (std::int64_t truth = 0; truth < classes; ++truth) {
    const std::int64_t images = confusion.images_of(truth);
    const double baseline = layout.top + (static_cast<double>(truth) + 0.5) * layout.cell + 4.0;
    for (std::int64_t predicted = 0; predicted < classes; ++predicted) {
      const std::int64_t count = confusion.at(truth, predicted);
      if (count == 0) {
        continue;
      }
      const double opacity = opacity_of(confusion, truth, predicted, images);
      paths[{truth == predicted, static_cast<int>(std::ceil(kShades * opacity))}] +=
          formatted("M{0} {1}h{2:.3g}v{2:.3g}h-{2:.3g}z", predicted, truth, size);
      if (classes <= kMostNumbered) {
        counts +=
            text_at(layout.left + (static_cast<double>(predicted) + 0.5) * layout.cell, baseline,
                    opacity > kDark ? "inverse middle" : "ink middle", std::to_string(count));
      }
    }
    if (classes <= kMostNumbered && images > 0) {
      counts += text_at(layout.left + side + 8.0, baseline, "muted",
                        percent(opacity_of(confusion, truth, truth, images)));
    }
  }
  std::string body = box_at(layout.left, layout.top, side, side, "track") +
                     formatted("<g transform=\"translate({:.1f} {:.1f}) scale({:g})\">\n",
                               layout.left, layout.top, layout.cell);
  for (const auto& [key, path] : paths) {
    body += formatted("<path d=\"{}\" class=\"{}\" fill-opacity=\"{:.2f}\"/>\n", path,
                      key.first ? "blue" : "orange", key.second / kShades);
  }
  return body + "</g>\n" + counts;
}

}  // namespace

Figure confusion_figure(const ConfusionMatrix& confusion, const std::vector<std::string>& names) {
  const std::int64_t classes = confusion.classes();
  if (classes != static_cast<std::int64_t>(names.size())) {
    throw Error(
        formatted("confusion_figure: there are {} names of {} classes", names.size(), classes));
  }
  const bool is_numbered = classes <= kMostNumbered;
  double longest_name = 0.0;
  double longest_count = 0.0;
  for (std::int64_t i = 0; i < classes; ++i) {
    const std::string name = shortened(names[static_cast<std::size_t>(i)], kLongestName);
    longest_name = std::max(longest_name, text_width(name));
    longest_count = std::max(longest_count, text_width(std::to_string(confusion.images_of(i))));
  }
  const Layout layout = lay_out(classes, longest_name, longest_count);
  const double side = static_cast<double>(classes) * layout.cell;
  Figure figure{
      .title = "Confusion matrix, accuracy " + percent(confusion.accuracy()),
      .note = is_numbered
                  ? "Rows: truth, with the share recognised; columns: prediction. Orange: mistakes."
                  : "Rows: truth; columns: prediction. Orange: mistakes.",
      .width =
          layout.left + side + std::max(64.0, layout.angle == -45.0 ? longest_name * 0.71 : 0.0),
      .height = layout.top + side + 2.0};
  figure.body = draw_squares(layout, confusion) + draw_names(layout, names);
  return figure;
}

}  // namespace cks::apps
