#include "cks/datasets/images/prepare_digit.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>
#include <span>
#include <vector>

#include "cks/core/error.h"
#include "cks/core/ops/rearrange.h"
#include "cks/datasets/images/image_io.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {
namespace {

constexpr const char* kOp = "prepare_digit";
constexpr std::int64_t kSide = 28;       // of MNIST's images
constexpr std::int64_t kInkSide = 20;    // of the box of their ink
constexpr std::int64_t kMostSide = 160;  // a picture's, once shrunk
constexpr double kLeastContrast = 0.12;  // of ink, as a share of the paper's brightness

/// Numbers of a picture's pixels, row by row.
struct Plane {
  std::int64_t height, width;
  std::vector<double> values;

  Plane(std::int64_t h, std::int64_t w)
      : height(h), width(w), values(static_cast<std::size_t>(h * w)) {}
  /// Of the values of value_at(y, x).
  template <class ValueAt>
  Plane(std::int64_t h, std::int64_t w, ValueAt&& value_at) : Plane(h, w) {
    double* next = values.data();
    for (std::int64_t y = 0; y < height; ++y) {
      for (std::int64_t x = 0; x < width; ++x) {
        *next++ = value_at(y, x);
      }
    }
  }
  double at(std::int64_t y, std::int64_t x) const {
    return values[static_cast<std::size_t>(y * width + x)];
  }
};

/// The value below which a share of all lie, which are then in another order.
double take_quantile(std::vector<double>& values, double share) {
  const auto nth =
      values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), nth, values.end());
  return *nth;
}
double quantile(std::vector<double> values, double share) { return take_quantile(values, share); }

/// Rows and columns, the last ones exclusive.
struct Box {
  std::int64_t top, bottom, left, right;
};

/// Around the values above a threshold; its bottom is 0 if there is none.
Box box_around(const Plane& plane, double threshold) {
  Box box{plane.height, 0, plane.width, 0};
  for (std::int64_t y = 0; y < plane.height; ++y) {
    for (std::int64_t x = 0; x < plane.width; ++x) {
      if (plane.at(y, x) > threshold) {
        box.top = std::min(box.top, y);
        box.bottom = std::max(box.bottom, y + 1);
        box.left = std::min(box.left, x);
        box.right = std::max(box.right, x + 1);
      }
    }
  }
  return box;
}

std::vector<double> border_of(const Plane& plane) {
  std::vector<double> border;
  for (std::int64_t y = 0; y < plane.height; ++y) {
    for (std::int64_t x = 0; x < plane.width; ++x) {
      if (y == 0 || x == 0 || y == plane.height - 1 || x == plane.width - 1) {
        border.push_back(plane.at(y, x));
      }
    }
  }
  return border;
}

Plane transposed(const Plane& plane) {
  return {plane.width, plane.height,
          [&](std::int64_t y, std::int64_t x) { return plane.at(x, y); }};
}

/// Of each pixel what its neighbours in the row, at most `reach` away, come to: reduce(begin, end).
template <class Reduce>
Plane reduced_rows(const Plane& plane, std::int64_t reach, Reduce&& reduce) {
  return {plane.height, plane.width, [&](std::int64_t y, std::int64_t x) {
            const double* row = plane.values.data() + y * plane.width;
            return reduce(row + std::max<std::int64_t>(0, x - reach),
                          row + std::min(plane.width, x + reach + 1));
          }};
}

/// The same over squares: along rows, then along columns.
template <class Reduce>
Plane reduced(const Plane& plane, std::int64_t reach, Reduce&& reduce) {
  return transposed(reduced_rows(transposed(reduced_rows(plane, reach, reduce)), reach, reduce));
}

double greatest(const double* begin, const double* end) { return *std::max_element(begin, end); }
double least(const double* begin, const double* end) { return *std::min_element(begin, end); }
double mean(const double* begin, const double* end) {
  return std::accumulate(begin, end, 0.0) / static_cast<double>(end - begin);
}

/// Without what is dark and thinner than 2 * reach + 1 (a grey closing). The picture goes on beyond
/// its border as it is there: a shadow in a corner stays one.
Plane closed(const Plane& plane, std::int64_t reach) {
  const std::int64_t margin = 2 * reach;
  Plane wide(plane.height + 2 * margin, plane.width + 2 * margin,
             [&](std::int64_t y, std::int64_t x) {
               return plane.at(std::clamp<std::int64_t>(y - margin, 0, plane.height - 1),
                               std::clamp<std::int64_t>(x - margin, 0, plane.width - 1));
             });
  wide = reduced(reduced(wide, reach, greatest), reach, least);
  return {plane.height, plane.width,
          [&](std::int64_t y, std::int64_t x) { return wide.at(y + margin, x + margin); }};
}

/// Channel c of uint8 [H,W,C], from 0 to 1.
Plane channel_of(const Tensor& picture, int c) {
  Plane plane(picture.size(0), picture.size(1));
  const auto* from = picture.data_as<std::uint8_t>() + c;
  for (std::size_t i = 0; i < plane.values.size(); ++i) {
    plane.values[i] = from[static_cast<std::int64_t>(i) * picture.size(2)] / 255.0;
  }
  return plane;
}

Tensor part_of(const Tensor& picture, std::int64_t top, std::int64_t bottom, std::int64_t left,
               std::int64_t right) {
  return slice(slice(picture, 0, top, bottom), 1, left, right);
}

/// A piece of paper that lies on nothing, by itself; another picture as it is. Ink on nothing has
/// one colour, or does not fill its box.
Tensor paper_on_nothing(const Tensor& picture) {
  const Plane alpha = channel_of(picture, 1);
  if (quantile(border_of(alpha), 0.5) >= 0.5) {
    return picture;
  }
  const Plane grey = channel_of(picture, 0);
  const auto [top, bottom, left, right] = box_around(alpha, 0.5);
  std::vector<double> opaque;
  for (std::size_t i = 0; i < alpha.values.size(); ++i) {
    if (alpha.values[i] > 0.5) {
      opaque.push_back(grey.values[i]);
    }
  }
  const bool is_paper = static_cast<double>(opaque.size()) >
                            0.8 * static_cast<double>((bottom - top) * (right - left)) &&
                        quantile(opaque, 0.98) - quantile(opaque, 0.02) > 0.3;
  return is_paper ? part_of(picture, top, bottom, left, right) : picture;
}

/// The rows at the top that are the edge of a scan, of a table, or a frame: an eighth at most, even
/// in themselves, and less like most of the picture than the even row that follows them.
std::int64_t edge_rows(const Plane& grey) {
  constexpr double kEven = 0.15;
  constexpr double kStep = 0.25;
  const double usual = quantile(grey.values, 0.5);
  double edge = 0.0;
  for (std::int64_t y = 0; y <= grey.height / 8; ++y) {
    const auto begin = grey.values.begin() + y * grey.width;
    const std::vector<double> row(begin, begin + grey.width);
    if (quantile(row, 0.92) - quantile(row, 0.08) > kEven) {
      return 0;
    }
    const double brightness = quantile(row, 0.5);
    edge = y == 0 ? brightness : edge;
    if (std::abs(edge - usual) > std::abs(brightness - usual) + kStep) {
      return y + 1;  // with the row in which they meet
    }
  }
  return 0;
}

Plane mirrored(const Plane& plane) {
  Plane result = plane;
  std::reverse(result.values.begin(), result.values.end());
  return result;
}

/// Without the edges that lie along its sides.
Tensor without_edges(const Tensor& picture) {
  Plane grey = channel_of(picture, 0);
  if (quantile(channel_of(picture, 1).values, 0.0) < 1.0) {
    return picture;
  }
  const std::int64_t top = edge_rows(grey), bottom = edge_rows(mirrored(grey));
  grey = transposed(grey);
  const std::int64_t left = edge_rows(grey), right = edge_rows(mirrored(grey));
  return part_of(picture, top, picture.size(0) - bottom, left, picture.size(1) - right);
}

/// A picture's brightness line by line, in one direction: light with straight edges, such as a band
/// of shadow or the rules of paper, is the same along each of its lines.
struct LinesOfLight {
  double across_y, across_x;   // of unit length, across the lines
  std::int64_t first = 0;      // the line with the least y * across_y + x * across_x
  std::vector<double> levels;  // the paper's brightness on each line
  double misfit = 0.0;         // mean distance of a pixel from its line's level, ink counted alike

  /// Over every `step`th row and column; angle in radians.
  LinesOfLight(const Plane& grey, double angle, std::int64_t step)
      : across_y(std::sin(angle)), across_x(std::cos(angle)) {
    const double y = static_cast<double>(grey.height - 1) * across_y;
    const double x = static_cast<double>(grey.width - 1) * across_x;
    first = std::lround(std::min({0.0, y, x, y + x}));
    const std::int64_t last = std::lround(std::max({0.0, y, x, y + x}));
    const auto for_pixels = [&](auto&& body) {
      for (std::int64_t row = 0; row < grey.height; row += step) {
        for (std::int64_t column = 0; column < grey.width; column += step) {
          body(line_at(row, column), grey.at(row, column));
        }
      }
    };
    // The pixels line by line: those of line i from begins[i] to begins[i + 1].
    levels.assign(static_cast<std::size_t>(last - first + 1), 0.0);
    std::vector<std::size_t> begins(levels.size() + 1);
    for_pixels([&](std::size_t line, double) { ++begins[line + 1]; });
    std::partial_sum(begins.begin(), begins.end(), begins.begin());
    std::vector<double> values(begins.back());
    std::vector<std::size_t> next = begins;
    for_pixels([&](std::size_t line, double value) { values[next[line]++] = value; });
    const auto enough = static_cast<std::size_t>(std::max(grey.height, grey.width) / (4 * step));
    std::vector<double> scratch;
    for (std::size_t i = 0; i < levels.size(); ++i) {
      const std::span line(values.data() + begins[i], begins[i + 1] - begins[i]);
      if (line.empty()) {
        continue;
      }
      scratch.assign(line.begin(), line.end());
      const double level = std::max(take_quantile(scratch, 0.75), 1.0 / 255.0);
      std::size_t on_paper = 0;
      for (const double value : line) {
        const double distance = std::abs(value / level - 1.0);
        misfit += std::min(distance, kInk);
        on_paper += distance < kInk ? 1 : 0;
      }
      // Short lines, and those on which ink is most, do not tell.
      levels[i] = line.size() > enough && 2 * on_paper > line.size() ? level : 0.0;
    }
    misfit /= static_cast<double>(std::max<std::size_t>(1, values.size()));
  }

  std::size_t line_at(std::int64_t y, std::int64_t x) const {
    return static_cast<std::size_t>(
        std::lround(static_cast<double>(y) * across_y + static_cast<double>(x) * across_x) - first);
  }

 private:
  static constexpr double kInk = 0.15;  // a pixel this far from its line's level is not paper
};

/// Without shadows whose edges are straight and cross the picture, of which `closed` would take
/// narrow ones for ink. They are told from ink by the ink in or beside them, which is darker still.
Plane without_bands(const Plane& grey) {
  constexpr double kPi = 3.14159265358979323846;
  constexpr int kAngles = 60;
  constexpr double kShadow = 0.88;  // of the light beside it
  constexpr double kEven = 0.08;
  constexpr double kInk = 0.75;       // of the darkest shadow
  constexpr double kLeastInk = 0.03;  // darker than that
  const auto better = [](const LinesOfLight& a, const LinesOfLight& b) {
    return a.misfit < b.misfit;
  };
  double angle = 0.0, least = 1.0;
  for (int i = 0; i < kAngles; ++i) {
    const double misfit = LinesOfLight(grey, kPi * i / kAngles, 2).misfit;
    angle = misfit < least ? kPi * i / kAngles : angle;
    least = std::min(least, misfit);
  }
  std::vector<LinesOfLight> close;
  for (int i = -6; i <= 6; ++i) {
    close.emplace_back(grey, angle + kPi * i / (6 * kAngles), 1);
  }
  LinesOfLight light = *std::min_element(close.begin(), close.end(), better);
  // Lines that do not tell are as the nearest before them that does, or the first.
  std::vector<double>& levels = light.levels;
  const auto tells = std::find_if(levels.begin(), levels.end(), [](double v) { return v > 0.0; });
  if (tells == levels.end()) {
    return grey;
  }
  const std::vector<double> told = levels;
  double level = *tells;
  for (double& value : levels) {
    level = value > 0.0 ? value : level;
    value = level;
  }
  // As a share of the light on both sides: `closed` knows shadows that end at the picture's border.
  std::vector<double> before(levels.size()), after(levels.size());
  const auto brighter = [](double a, double b) { return std::max(a, b); };
  std::partial_sum(levels.begin(), levels.end(), before.begin(), brighter);
  std::partial_sum(levels.rbegin(), levels.rend(), after.rbegin(), brighter);
  double darkest = 1.0;
  std::vector<double> shadow;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const double share = levels[i] / std::min(before[i], after[i]);
    if (share < kShadow && told[i] > 0.0) {
      darkest = std::min(darkest, levels[i]);
      shadow.push_back(share);
    }
    levels[i] = share;
  }
  // Lines along a stroke get lighter from its middle on; a shadow is even.
  const double usual = shadow.empty() ? 1.0 : quantile(shadow, 0.5);
  const auto even_lines = std::count_if(shadow.begin(), shadow.end(), [usual](double share) {
    return std::abs(share / usual - 1.0) < kEven;
  });
  if (30 * even_lines < std::max(grey.height, grey.width) ||
      5 * even_lines < 3 * static_cast<std::ptrdiff_t>(shadow.size()) ||
      quantile(grey.values, 0.003) > kInk * darkest - kLeastInk) {
    return grey;
  }
  return {grey.height, grey.width, [&](std::int64_t y, std::int64_t x) {
            return std::min(1.0, grey.at(y, x) / light.levels[light.line_at(y, x)]);
          }};
}

/// How much of each pixel is ink, about 0 on paper; its greatest values depend on the pen.
Plane ink_of(const Tensor& picture) {
  Plane ink = channel_of(picture, 1);
  if (quantile(border_of(ink), 0.5) < 0.5) {
    return ink;  // on nothing
  }
  Plane grey = channel_of(picture, 0);
  for (std::size_t i = 0; i < grey.values.size(); ++i) {
    grey.values[i] = grey.values[i] * ink.values[i] + 1.0 - ink.values[i];
  }
  if (std::max(grey.height, grey.width) > 2 * kSide) {
    grey = reduced(grey, 1, mean);  // noise
  }
  // Half way in ratios: paper in the shadow is darker than half way in differences.
  const double middle =
      std::sqrt(std::max(quantile(grey.values, 0.003), 1.0 / 255.0) * quantile(grey.values, 0.997));
  if (quantile(border_of(grey), 0.5) < middle) {  // light ink: as a negative
    for (double& value : grey.values) {
      value = 1.0 - value;
    }
  } else {
    grey = without_bands(grey);
  }
  const Plane paper = closed(grey, std::max(grey.height, grey.width) / 6 + 1);
  for (std::size_t i = 0; i < ink.values.size(); ++i) {
    ink.values[i] = (paper.values[i] - grey.values[i]) / std::max(paper.values[i], 1.0 / 255.0);
  }
  return ink;
}

/// 1 where something belongs to the digit, elsewhere 0: pieces of ink above a threshold, without
/// specks, each with the pixels around it. A piece is what hangs together, over corners too.
Plane digit_of(const Plane& ink, double threshold) {
  constexpr double kSpeck = 0.06;  // of the largest piece
  std::vector<std::int64_t> piece_of(ink.values.size(), -1);
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> open;
  for (std::size_t start = 0; start < ink.values.size(); ++start) {
    if (piece_of[start] >= 0 || ink.values[start] < threshold) {
      continue;
    }
    const auto piece = static_cast<std::int64_t>(sizes.size());
    sizes.push_back(0);
    open.push_back(static_cast<std::int64_t>(start));
    piece_of[start] = piece;
    while (!open.empty()) {
      const std::int64_t at = open.back();
      open.pop_back();
      ++sizes.back();
      for (std::int64_t y = at / ink.width - 1; y <= at / ink.width + 1; ++y) {
        for (std::int64_t x = at % ink.width - 1; x <= at % ink.width + 1; ++x) {
          const auto next = static_cast<std::size_t>(y * ink.width + x);
          if (y >= 0 && x >= 0 && y < ink.height && x < ink.width && piece_of[next] < 0 &&
              ink.values[next] >= threshold) {
            piece_of[next] = piece;
            open.push_back(static_cast<std::int64_t>(next));
          }
        }
      }
    }
  }
  const double largest =
      sizes.empty() ? 0.0 : static_cast<double>(*std::max_element(sizes.begin(), sizes.end()));
  Plane kept(ink.height, ink.width);
  for (std::size_t i = 0; i < piece_of.size(); ++i) {
    const std::int64_t piece = piece_of[i];
    kept.values[i] = piece >= 0 && static_cast<double>(sizes[static_cast<std::size_t>(piece)]) >=
                                       kSpeck * largest
                         ? 1.0
                         : 0.0;
  }
  return reduced(kept, 1, greatest);
}

/// The box of what is not 0, as uint8 [h,w,1]; undefined if there is nothing.
Tensor cropped(const Plane& plane) {
  const auto [top, bottom, left, right] = box_around(plane, 0.0);
  if (bottom == 0) {
    return {};
  }
  Tensor box = Tensor::empty({bottom - top, right - left, 1}, DType::uint8);
  auto* to = box.data_as<std::uint8_t>();
  for (std::int64_t y = top; y < bottom; ++y) {
    for (std::int64_t x = left; x < right; ++x) {
      *to++ = static_cast<std::uint8_t>(std::lround(255.0 * plane.at(y, x)));
    }
  }
  return box;
}

/// Where the mass of ink lies; of none, at 0.
struct Centre {
  double y = 0.0, x = 0.0;

  explicit Centre(const Plane& ink) {
    double mass = 0.0;
    for (std::int64_t row = 0; row < ink.height; ++row) {
      for (std::int64_t column = 0; column < ink.width; ++column) {
        const double value = ink.at(row, column);
        mass += value;
        y += value * (static_cast<double>(row) + 0.5);
        x += value * (static_cast<double>(column) + 0.5);
      }
    }
    y /= mass > 0.0 ? mass : 1.0;
    x /= mass > 0.0 ? mass : 1.0;
  }
};

/// Ink of 20 x 20 or less, uint8 [h,w,1], on 28 x 28, its centre of mass in the middle.
Tensor centred(const Tensor& ink) {
  const std::int64_t height = ink.size(0), width = ink.size(1);
  const auto place = [](double centre, std::int64_t extent) {
    return std::clamp<std::int64_t>(std::lround(0.5 * kSide - centre), 0, kSide - extent);
  };
  const Centre centre(channel_of(ink, 0));
  const std::int64_t top = place(centre.y, height), left = place(centre.x, width);
  return pad(ink, {{top, kSide - height - top}, {left, kSide - width - left}, {}});
}

/// Whether it is light on a black border of 28 x 28 already, ink in the middle.
bool is_ready(const Tensor& picture) {
  if (picture.size(0) != kSide || picture.size(1) != kSide) {
    return false;
  }
  const Plane grey = channel_of(picture, 0);
  const std::vector<double> border = border_of(grey);
  const Centre centre(grey);
  return quantile(channel_of(picture, 1).values, 0.0) == 1.0 &&
         *std::max_element(border.begin(), border.end()) == 0.0 &&
         std::abs(centre.y - 0.5 * kSide) < 1.5 && std::abs(centre.x - 0.5 * kSide) < 1.5;
}

/// With a longest side of `longest`, its aspect kept.
Tensor scaled_to(const Tensor& picture, std::int64_t longest) {
  const std::int64_t now = std::max(picture.size(0), picture.size(1));
  const auto side = [&](std::int64_t extent) {
    return std::max<std::int64_t>(1, (extent * longest + now / 2) / now);
  };
  return resize_image(picture, side(picture.size(0)), side(picture.size(1)));
}

Tensor shrunk(const Tensor& picture) {
  const bool is_large = std::max(picture.size(0), picture.size(1)) > kMostSide;
  return is_large ? scaled_to(picture, kMostSide) : picture;
}

}  // namespace

PreparedDigit prepare_digit(const Tensor& picture) {
  if (!picture.defined() || picture.rank() != 3 || picture.size(2) != 2) {
    throw ShapeError(formatted("{}: picture is {}, expected [H,W,2]: grey and alpha", kOp,
                               picture.defined() ? picture.shape().to_string() : "undefined"));
  }
  if (picture.dtype() != DType::uint8) {
    throw DtypeError(formatted("{}: picture is {}, expected uint8", kOp, picture.dtype()));
  }
  if (is_ready(picture)) {
    return {.image = slice(picture, 2, 0, 1), .has_ink = true, .was_ready = true};
  }
  Plane ink = ink_of(without_edges(paper_on_nothing(shrunk(picture))));
  // As strong as the pen is: a few pixels may be stronger yet.
  const double strongest = *std::max_element(ink.values.begin(), ink.values.end());
  std::vector<double> strong;
  std::copy_if(ink.values.begin(), ink.values.end(), std::back_inserter(strong),
               [&](double value) { return value > 0.5 * strongest; });
  const double full = strong.empty() ? 0.0 : quantile(strong, 0.6);
  PreparedDigit prepared{.image = Tensor::zeros({kSide, kSide, 1}, DType::uint8)};
  if (full < kLeastContrast) {
    return prepared;
  }
  const Plane digit = digit_of(ink, 0.45 * full);
  for (std::size_t i = 0; i < ink.values.size(); ++i) {
    const double share = std::clamp((ink.values[i] / full - 0.2) / 0.7, 0.0, 1.0);
    ink.values[i] = digit.values[i] > 0.5 ? share : 0.0;
  }
  const Tensor box = cropped(ink);
  if (!box.defined()) {
    return prepared;
  }
  prepared.image = centred(scaled_to(box, kInkSide));
  prepared.has_ink = true;
  return prepared;
}

}  // namespace cks
