#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "cks/core/ops/output.h"
#include "cks/core/tensor/tensor.h"
#include "cks/kernels/strided_copy/strided_copy.h"

namespace cks::ops {

/// One number for each axis; entries beyond the rank are 0.
using Strides = std::array<std::int64_t, Shape::kMaxRank>;

/// Elements between neighbours along each axis of a dense tensor.
inline Strides dense_strides(const Shape& shape) {
  Strides strides{};
  std::int64_t step = 1;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    strides[static_cast<std::size_t>(axis)] = step;
    step *= shape[axis];
  }
  return strides;
}

/// A walk over a tensor's elements: where it starts and how far each index steps.
struct Walk {
  std::int64_t offset = 0;
  Strides strides{};
};
inline Walk dense_walk(const Shape& shape) { return {0, dense_strides(shape)}; }

/// target[walk] = source[walk] for every index below `extents`; the dtypes are equal.
inline void copy_along(const Shape& extents, const Tensor& source, const Walk& from, Tensor& target,
                       const Walk& to) {
  if (extents.numel() == 0) {
    return;  // its offsets may be of any size
  }
  const auto rank = static_cast<std::size_t>(extents.rank());
  const kernels::CopyProblem problem = kernels::make_copy(
      {extents.begin(), rank}, {from.strides.data(), rank}, {to.strides.data(), rank});
  const std::size_t bytes = size_of(source.dtype());
  CKS_KERNEL(source.device(), strided_copy(problem, bytes,
                                           static_cast<const std::byte*>(source.data()) +
                                               static_cast<std::ptrdiff_t>(bytes) * from.offset,
                                           static_cast<std::byte*>(target.data()) +
                                               static_cast<std::ptrdiff_t>(bytes) * to.offset));
}

}  // namespace cks::ops
