#include "apps/report/filter_picture.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "apps/report/picture.h"
#include "cks/core/error.h"
#include "cks/core/ops.h"

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
        throw Error("filter_picture: filter " + std::to_string(begin / size) +
                    " has a weight that is not finite");
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

}  // namespace

Tensor filter_picture(const Tensor& filters) {
  if (filters.rank() != 4 || filters.numel() == 0) {
    throw ShapeError("filter_picture: filters are " + filters.shape().to_string() +
                     ", expected [OC,IC,FH,FW] without a zero");
  }
  if (!is_floating(filters.dtype())) {
    throw DtypeError(std::string("filter_picture: filters are ") + name_of(filters.dtype()) +
                     ", expected a floating dtype");
  }
  const std::int64_t count = filters.size(0);
  const std::int64_t channels = filters.size(1);
  const std::int64_t FH = filters.size(2);
  const std::int64_t FW = filters.size(3);
  Tensor tiles = to_bytes(filters);
  auto columns = static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(count))));
  if (channels != 1 && channels != 3) {
    tiles = permute(tiles, {0, 3, 1, 2}).reshape({count * channels, FH, FW, 1});
    columns = channels;
  }
  const std::int64_t longer = std::max(FH, FW);
  return picture_grid(upsample_nearest(tiles, (kTileSide + longer - 1) / longer), columns);
}

}  // namespace cks::apps
