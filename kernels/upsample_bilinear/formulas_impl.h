#pragma once
#include <cstdint>

#include "cks/kernels/common/host_device.h"
#include "cks/kernels/common/math.h"
#include "cks/kernels/upsample_bilinear/upsample_bilinear.h"

/// Which pixels a place lies between: the one copy for the CPU and the GPU, for one axis at a time.
/// Places are fractions of whole numbers, so that no rounding decides on a pixel.
namespace cks::kernels {

/// One axis: output o lies at (scale * o + offset) / divisor of the input, cut to it.
struct BilinearAxis {
  std::int64_t in, out, scale, offset, divisor;

  CKS_HOST_DEVICE BilinearAxis(std::int64_t from, std::int64_t to, bool align_corners)
      : in(from), out(to), scale(2 * from), offset(from - to), divisor(2 * to) {
    if (align_corners) {
      scale = to == 1 ? 0 : from - 1;
      offset = 0;
      divisor = to == 1 ? 1 : to - 1;
    }
  }
};

/// The two pixels around a place, and the share of the upper one.
struct BilinearPlace {
  std::int64_t low, high;
  double share;

  CKS_HOST_DEVICE double weight_of(std::int64_t pixel) const {
    return (pixel == low ? 1.0 - share : 0.0) + (pixel == high ? share : 0.0);
  }
};

CKS_HOST_DEVICE inline BilinearPlace place_of(const BilinearAxis& axis, std::int64_t o) {
  const std::int64_t position = axis.scale * o + axis.offset;
  if (position <= 0) {
    return {0, 0, 0.0};
  }
  const std::int64_t low = position / axis.divisor;
  return {low, low + 1 < axis.in ? low + 1 : axis.in - 1,
          static_cast<double>(position - low * axis.divisor) / static_cast<double>(axis.divisor)};
}

struct BilinearOutputs {
  std::int64_t begin, end;
};

/// The outputs whose place is less than one pixel away from a pixel.
CKS_HOST_DEVICE inline BilinearOutputs outputs_near(const BilinearAxis& axis, std::int64_t pixel) {
  if (axis.scale == 0) {
    return {0, axis.out};
  }
  const std::int64_t begin =
      pixel == 0 ? 0 : floor_div((pixel - 1) * axis.divisor - axis.offset, axis.scale) + 1;
  const std::int64_t end = ceil_div((pixel + 1) * axis.divisor - axis.offset, axis.scale);
  return {begin < 0 ? 0 : begin, end < axis.out ? end : axis.out};
}

}  // namespace cks::kernels
