#pragma once
#include <cstdint>
#include <type_traits>

#include "cks/kernels/common/host_device.h"
#include "cks/kernels/common/math.h"

/// Which taps of a filter or pooling window meet which pixels: the one copy of these formulas, for
/// convolution and pooling on the CPU and the GPU. Rows and columns are independent, so everything
/// is stated for one axis. Index is a signed integer, int for kernels that count in 32 bits;
/// positions of other types convert to it.
namespace cks::kernels {

/// One axis: output o, tap f reads input o*stride - pad + f*dilation.
template <class Index>
struct TapAxisOf {
  Index in, out, filter, stride, pad, dilation;
};
using TapAxis = TapAxisOf<std::int64_t>;

/// A half-open range; empty if end == begin.
template <class Index>
struct IndexRangeOf {
  Index begin, end;
  constexpr CKS_HOST_DEVICE Index size() const { return end - begin; }
};
using IndexRange = IndexRangeOf<std::int64_t>;

/// The range [begin, max(begin, end)).
template <class Index>
constexpr CKS_HOST_DEVICE IndexRangeOf<Index> range_of(Index begin, Index end) {
  return {begin, begin < end ? end : begin};
}

/// The taps of output o that fall inside the input.
template <class Index>
constexpr CKS_HOST_DEVICE IndexRangeOf<Index> forward_taps(const TapAxisOf<Index>& axis,
                                                           std::type_identity_t<Index> o) {
  const Index first = o * axis.stride - axis.pad;
  const Index to_last = axis.in - 1 - first;  // from the first tap to the last pixel
  if (first >= 0 && (axis.filter - 1) * axis.dilation <= to_last) {
    return {0, axis.filter};  // most outputs; spares them the divisions
  }
  const Index begin = first >= 0 ? 0 : ceil_div(-first, axis.dilation);
  const Index end = floor_div(to_last, axis.dilation) + 1;
  return range_of(begin, end < axis.filter ? end : axis.filter);
}

/// The outputs for which tap f falls inside the input.
template <class Index>
constexpr CKS_HOST_DEVICE IndexRangeOf<Index> tap_outputs(const TapAxisOf<Index>& axis,
                                                          std::type_identity_t<Index> f) {
  const Index shift = axis.pad - f * axis.dilation;
  const Index begin = shift <= 0 ? 0 : ceil_div(shift, axis.stride);
  const Index end = floor_div(axis.in - 1 + shift, axis.stride) + 1;
  return range_of(begin, end < axis.out ? end : axis.out);
}

}  // namespace cks::kernels
