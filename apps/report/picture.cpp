#include "apps/report/picture.h"

#include <algorithm>
#include <cmath>

#include "cks/core/error.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::apps {

Tensor denormalised(const Tensor& images, const std::vector<float>& mean,
                    const std::vector<float>& std) {
  const std::size_t channels = mean.size();
  if (images.rank() != 4 || images.size(3) != static_cast<std::int64_t>(channels) ||
      std.size() != channels) {
    throw ShapeError(
        formatted("denormalised: images must be [N,H,W,C] with a mean and a std for each of C, got "
                  "{}, {} means, {} stds",
                  images.shape(), channels, std.size()));
  }
  const std::vector<float> values = images.to_vector<float>();
  Tensor bytes = Tensor::empty(images.shape(), DType::uint8);
  auto* out = bytes.data_as<std::uint8_t>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float value = 255.0F * (values[i] * std[i % channels] + mean[i % channels]);
    // A NaN becomes black.
    out[i] = value > 0.0F ? static_cast<std::uint8_t>(std::lround(std::min(value, 255.0F))) : 0;
  }
  return bytes;
}

}  // namespace cks::apps
