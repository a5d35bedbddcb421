#pragma once
#include <cstdint>

#include "cks/kernels/common/host_device.h"
#include "cks/kernels/common/math.h"
#include "cks/kernels/upsample_bilinear/upsample_bilinear.h"

/// Which pixels a place lies between, for one axis at a time, and the sums over them: the one copy
/// for the CPU and the GPU. Places are fractions of whole numbers, so that no rounding decides on a
/// pixel.
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

/// The value between four pixels; at(row, column) reads one of them as a double.
template <class At>
CKS_HOST_DEVICE double interpolated(const BilinearPlace& row, const BilinearPlace& column,
                                    const At& at) {
  const double upper =
      (1.0 - column.share) * at(row.low, column.low) + column.share * at(row.low, column.high);
  const double lower =
      (1.0 - column.share) * at(row.high, column.low) + column.share * at(row.high, column.high);
  return (1.0 - row.share) * upper + row.share * lower;
}

/// The gradient of a pixel, from the outputs near it in their order; at(row, column) reads one of
/// their gradients as a double.
template <class At>
CKS_HOST_DEVICE double gathered(const BilinearAxis& rows, std::int64_t row,
                                const BilinearAxis& columns, std::int64_t column, const At& at) {
  const BilinearOutputs near_rows = outputs_near(rows, row);
  const BilinearOutputs near_columns = outputs_near(columns, column);
  double sum = 0.0;
  for (std::int64_t oh = near_rows.begin; oh < near_rows.end; ++oh) {
    const double row_weight = place_of(rows, oh).weight_of(row);
    for (std::int64_t ow = near_columns.begin; ow < near_columns.end; ++ow) {
      sum += row_weight * place_of(columns, ow).weight_of(column) * at(oh, ow);
    }
  }
  return sum;
}

}  // namespace cks::kernels
