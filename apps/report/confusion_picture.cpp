#include <algorithm>
#include <cmath>

#include "apps/cli/format.h"
#include "apps/report/chart.h"
#include "cks/core/error.h"

namespace cks::apps {
namespace {

constexpr std::int64_t kMostNumbered = 20;  // classes whose squares hold their counts
constexpr std::size_t kLongestName = 20;
constexpr std::int64_t kMargin = 12;
constexpr std::int64_t kSmallSquare = 10;    // has room for a row's label, not for a count
constexpr std::int64_t kLongestSide = 6000;  // of all squares; a PNG may have kMaxImageSide
constexpr std::int64_t kNumberWidth = 40;    // room for a column's number

/// White for none of a class, blue for all of it.
Colour shade(double share) {
  const auto mix = [&](int full) {
    return static_cast<std::uint8_t>(std::lround(255.0 + share * (full - 255)));
  };
  return {mix(8), mix(69), mix(148)};
}

std::string row_label(std::int64_t index, const std::string& name) {
  return name.substr(0, kLongestName) + " " + std::to_string(index);
}

}  // namespace

Tensor draw_confusion(const ConfusionMatrix& confusion, const std::vector<std::string>& names) {
  const std::int64_t classes = confusion.classes();
  if (classes != static_cast<std::int64_t>(names.size())) {
    throw Error("draw_confusion: there are " + std::to_string(names.size()) + " names of " +
                std::to_string(classes) + " classes");
  }
  const bool is_numbered = classes <= kMostNumbered;
  const std::int64_t scale = is_numbered ? 2 : 1;
  std::int64_t label_width = 0;
  std::int64_t longest_count = 0;
  for (std::int64_t truth = 0; truth < classes; ++truth) {
    label_width = std::max(
        label_width,
        Canvas::text_width(row_label(truth, names[static_cast<std::size_t>(truth)]), scale));
    for (std::int64_t predicted = 0; predicted < classes; ++predicted) {
      longest_count = std::max(
          longest_count, Canvas::text_width(std::to_string(confusion.at(truth, predicted)), scale));
    }
  }
  const std::int64_t cell = is_numbered
                                ? std::max<std::int64_t>(longest_count + 12, 36)
                                : std::clamp<std::int64_t>(kLongestSide / classes, 1, kSmallSquare);
  const std::int64_t text_height = Canvas::text_height(scale);
  const std::string title = "rows: truth, columns: prediction; accuracy " +
                            format("%.2f %%", 100.0 * confusion.accuracy());
  const std::int64_t left = kMargin + label_width + 8;
  const std::int64_t top = kMargin + Canvas::text_height() + 16 + text_height + 8;
  Canvas canvas(std::max(left + classes * cell, kMargin + Canvas::text_width(title)) + kMargin,
                top + classes * cell + kMargin);
  canvas.text({kMargin, kMargin}, title, kBlack);
  // Where squares are small, only every tenth column has room for its number, or every hundredth;
  // where they are smaller than a line of text, only such rows for their labels.
  std::int64_t labelled = 1;
  while (!is_numbered && labelled * cell < kNumberWidth) {
    labelled *= 10;
  }
  const std::int64_t labelled_rows = cell < kSmallSquare ? labelled : 1;
  for (std::int64_t truth = 0; truth < classes; ++truth) {
    const std::int64_t y = top + truth * cell;
    if (truth % labelled_rows == 0) {
      const std::string label = row_label(truth, names[static_cast<std::size_t>(truth)]);
      canvas.text({left - 8 - Canvas::text_width(label, scale), y + (cell - text_height) / 2},
                  label, kBlack, scale);
    }
    const std::string number = std::to_string(truth);
    if (truth % labelled == 0) {
      canvas.text({left + truth * cell + (cell - Canvas::text_width(number, scale)) / 2,
                   top - text_height - 8},
                  number, kBlack, scale);
    }
    std::int64_t images = 0;
    for (std::int64_t predicted = 0; predicted < classes; ++predicted) {
      images += confusion.at(truth, predicted);
    }
    for (std::int64_t predicted = 0; predicted < classes; ++predicted) {
      const std::int64_t count = confusion.at(truth, predicted);
      const double share =
          images == 0 ? 0.0 : static_cast<double>(count) / static_cast<double>(images);
      const std::int64_t x = left + predicted * cell;
      canvas.fill({x, y, cell, cell}, shade(share));
      if (is_numbered && count > 0) {
        const std::string text = std::to_string(count);
        canvas.text(
            {x + (cell - Canvas::text_width(text, scale)) / 2, y + (cell - text_height) / 2}, text,
            share > 0.5 ? kWhite : kBlack, scale);
      }
    }
  }
  canvas.frame({left - 1, top - 1, classes * cell + 2, classes * cell + 2}, kBlack);
  return canvas.image();
}

}  // namespace cks::apps
