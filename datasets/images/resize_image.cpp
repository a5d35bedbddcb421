#include <algorithm>
#include <array>
#include <vector>

#include "cks/core/error.h"
#include "cks/core/ops/rearrange.h"
#include "cks/datasets/images/image_io.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {

namespace {

constexpr std::int64_t kSteps = 256;  // of the values between the two passes

/// What one new pixel is made of: old pixels first, first + 1, ... with these weights.
struct Taps {
  std::int64_t first = 0;
  std::vector<std::int64_t> weights;
  std::int64_t sum = 0;
};

/// Old and new pixels lie on a common line of 2 * from * to units, where the middles of both have
/// whole coordinates; so weights are whole as well, and nothing is rounded before the result.
std::vector<Taps> make_taps(std::int64_t from, std::int64_t to) {
  const std::int64_t reach = 2 * std::max(from, to);  // half the width of the triangle
  std::vector<Taps> all(static_cast<std::size_t>(to));
  for (std::int64_t i = 0; i < to; ++i) {
    Taps& taps = all[static_cast<std::size_t>(i)];
    const std::int64_t middle = (2 * i + 1) * from;
    const auto weight = [&](std::int64_t j) { return reach - std::abs(middle - (2 * j + 1) * to); };
    // The nearest old pixel always has a weight; its neighbours follow on both sides.
    const std::int64_t nearest = middle / (2 * to);
    taps.first = nearest;
    while (taps.first > 0 && weight(taps.first - 1) > 0) {
      --taps.first;
    }
    for (std::int64_t j = taps.first; j < from && weight(j) > 0; ++j) {
      taps.weights.push_back(weight(j));
      taps.sum += weight(j);
    }
  }
  return all;
}

/// Weighted mean of values that lie `pitch` apart, times `scale`, rounded.
template <class Value>
std::int64_t mean_of(const Value* values, std::int64_t pitch, const Taps& taps,
                     std::int64_t scale) {
  std::int64_t total = 0;
  for (std::size_t k = 0; k < taps.weights.size(); ++k) {
    total += taps.weights[k] * values[(taps.first + static_cast<std::int64_t>(k)) * pitch];
  }
  return (2 * scale * total + taps.sum) / (2 * taps.sum);
}

/// A size, and where it begins in another one.
struct Frame {
  std::int64_t height, width, top, left;
};

/// In the middle of height x width.
Frame centred(std::int64_t height, std::int64_t width, std::int64_t of_height,
              std::int64_t of_width) {
  return {height, width, (of_height - height) / 2, (of_width - width) / 2};
}

/// a * b / c, rounded, at least 1.
std::int64_t scaled(std::int64_t a, std::int64_t b, std::int64_t c) {
  return std::max<std::int64_t>(1, (2 * a * b + c) / (2 * c));
}

/// The greatest frame within height x width that has the aspect ratio of another size.
Frame greatest(std::int64_t height, std::int64_t width, std::int64_t like_height,
               std::int64_t like_width) {
  return height * like_width <= width * like_height
             ? centred(height, scaled(height, like_width, like_height), height, width)
             : centred(scaled(width, like_height, like_width), width, height, width);
}

Tensor stretched(const Tensor& image, std::int64_t height, std::int64_t width) {
  const std::int64_t old_height = image.size(0);
  const std::int64_t old_width = image.size(1);
  const std::int64_t channels = image.size(2);
  const std::uint8_t* old_pixels = image.data_as<std::uint8_t>();
  if (height == old_height && width == old_width) {
    return image.clone();
  }
  Tensor resized = Tensor::empty({height, width, channels}, DType::uint8);
  auto* pixels = resized.data_as<std::uint8_t>();
  const std::vector<Taps> columns = make_taps(old_width, width);
  const std::int64_t row = width * channels;
  std::vector<std::uint16_t> narrowed(static_cast<std::size_t>(old_height * row));
  for (std::int64_t y = 0; y < old_height; ++y) {
    for (std::int64_t i = 0; i < row; ++i) {
      const std::uint8_t* values = old_pixels + y * old_width * channels + i % channels;
      narrowed[static_cast<std::size_t>(y * row + i)] = static_cast<std::uint16_t>(
          mean_of(values, channels, columns[static_cast<std::size_t>(i / channels)], kSteps));
    }
  }
  const std::vector<Taps> rows = make_taps(old_height, height);
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t i = 0; i < row; ++i) {
      const std::int64_t value =
          mean_of(narrowed.data() + i, row, rows[static_cast<std::size_t>(y)], 1);
      pixels[y * row + i] = static_cast<std::uint8_t>((value + kSteps / 2) / kSteps);
    }
  }
  return resized;
}

}  // namespace

const char* name_of(ImageFit fit) {
  constexpr std::array kNames{"stretch", "crop", "letterbox"};
  return kNames.at(static_cast<std::size_t>(fit));
}

ImageFit parse_image_fit(const std::string& name) {
  for (const ImageFit fit : kImageFits) {
    if (name == name_of(fit)) {
      return fit;
    }
  }
  throw Error(
      formatted("a picture's fit is '{}', expected one of {}", name, list_text(kImageFits)));
}

Tensor resize_image(const Tensor& image, std::int64_t height, std::int64_t width, ImageFit fit) {
  if (image.rank() != 3 || image.numel() == 0) {
    throw ShapeError(
        formatted("resize_image: image is {}, expected [H,W,C] without a zero", image.shape()));
  }
  for (const std::int64_t side : {height, width, image.size(0), image.size(1)}) {
    if (side < 1 || side > kMaxImageSide) {
      throw Error(formatted("resize_image: a side is {}, expected 1 to {} (image {} to {} x {})",
                            side, kMaxImageSide, image.shape(), height, width));
    }
  }
  if (fit == ImageFit::crop) {
    const auto [rows, columns, top, left] = greatest(image.size(0), image.size(1), height, width);
    return stretched(slice(slice(image, 0, top, top + rows), 1, left, left + columns), height,
                     width);
  }
  if (fit == ImageFit::letterbox) {  // with black beside it
    const auto [rows, columns, top, left] = greatest(height, width, image.size(0), image.size(1));
    return pad(stretched(image, rows, columns),
               {{top, height - top - rows}, {left, width - left - columns}, {0, 0}});
  }
  return stretched(image, height, width);
}

}  // namespace cks
