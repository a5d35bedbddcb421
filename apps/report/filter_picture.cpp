#include <algorithm>
#include <cmath>
#include <vector>

#include "apps/report/figures.h"
#include "cks/core/error.h"
#include "cks/core/ops.h"
#include "cks/datasets/images/image_write.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::apps {
namespace {

constexpr std::int64_t kTileSide = 32;  // pixels of a tile's longer side, or a few more

/// Weights as bytes, [OC,FH,FW,IC].
Tensor to_bytes(const Tensor& filters) {
  const Tensor last_channel = permute(filters.detach().to(DType::float32), {0, 2, 3, 1});
  const std::vector<float> weights = last_channel.to_vector<float>();
  Tensor bytes = Tensor::empty(last_channel.shape(), DType::uint8);
  auto* out = bytes.data_as<std::uint8_t>();
  const std::size_t size = weights.size() / static_cast<std::size_t>(filters.size(0));
  for (std::size_t begin = 0; begin < weights.size(); begin += size) {
    float greatest = 0.0F;
    for (std::size_t i = begin; i < begin + size; ++i) {
      if (!std::isfinite(weights[i])) {
        throw Error(
            formatted("filter_picture: filter {} has a weight that is not finite", begin / size));
      }
      greatest = std::max(greatest, std::abs(weights[i]));
    }
    for (std::size_t i = begin; i < begin + size; ++i) {
      const float share = greatest > 0.0F ? weights[i] / greatest : 0.0F;
      out[i] = static_cast<std::uint8_t>(std::lround(127.5F * (1.0F + share)));
    }
  }
  return bytes;
}

/// Filters as tiles of one pixel a weight, uint8 [tiles,FH,FW,1 or 3], and how many stand in a row.
struct Tiles {
  Tensor pixels;
  std::int64_t columns = 0;
};

Tiles filter_tiles(const Tensor& filters) {
  if (filters.rank() != 4 || filters.numel() == 0) {
    throw ShapeError(formatted(
        "filter_picture: filters are {}, expected [OC,IC,FH,FW] without a zero", filters.shape()));
  }
  if (!is_floating(filters.dtype())) {
    throw DtypeError(
        formatted("filter_picture: filters are {}, expected a floating dtype", filters.dtype()));
  }
  const std::int64_t count = filters.size(0);
  const std::int64_t channels = filters.size(1);
  const Tensor bytes = to_bytes(filters);
  if (channels == 1 || channels == 3) {
    return {bytes, static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(count))))};
  }
  return {
      permute(bytes, {0, 3, 1, 2}).reshape({count * channels, filters.size(2), filters.size(3), 1}),
      channels};
}

}  // namespace

Tensor filter_picture(const Tensor& filters) {
  const Tiles tiles = filter_tiles(filters);
  const std::int64_t longer = std::max(filters.size(2), filters.size(3));
  return picture_grid(upsample_nearest(tiles.pixels, (kTileSide + longer - 1) / longer),
                      tiles.columns);
}

Figure filter_figure(const Tensor& filters, const std::string& title) {
  constexpr double kWidest = 480.0;
  constexpr double kGap = 5.0;
  const auto [tiles, columns] = filter_tiles(filters);
  const std::int64_t FH = tiles.size(1), FW = tiles.size(2), channels = tiles.size(3);
  // Of about the size of the other figures; small enough for many, large enough to see.
  const double side = std::clamp(kWidest / static_cast<double>(columns) - kGap, 16.0, 64.0);
  const double weight = side / static_cast<double>(std::max(FH, FW));
  const double width = weight * static_cast<double>(FW) + kGap;
  const double height = weight * static_cast<double>(FH) + kGap;
  const auto* byte = tiles.data_as<std::uint8_t>();
  std::string body;
  for (std::int64_t i = 0; i < tiles.size(0); ++i) {
    const std::int64_t row = i / columns;
    body += formatted(
        "<g transform=\"translate({:.1f} {:.1f}) scale({:.3f})\" shape-rendering=\"crispEdges\">\n",
        static_cast<double>(i % columns) * width, static_cast<double>(row) * height, weight);
    for (std::int64_t place = 0; place < FH * FW; ++place, byte += channels) {
      body += formatted("<path fill=\"#{:02x}{:02x}{:02x}\" d=\"M{} {}h1v1h-1z\"/>", byte[0],
                        byte[channels / 2], byte[channels - 1], place % FW, place / FW);
    }
    body += "</g>\n";
  }
  const std::int64_t rows = (tiles.size(0) + columns - 1) / columns;
  return {.title = title,
          .note = "Each in its own scale: grey is 0, the greatest magnitude black or white.",
          .width = static_cast<double>(columns) * width - kGap,
          .height = static_cast<double>(rows) * height - kGap,
          .body = body};
}

}  // namespace cks::apps
