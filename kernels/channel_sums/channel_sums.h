#pragma once
#include <cstddef>
#include <cstdint>

#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/entry_point.h"

/// Sums over the channels of a result: what a batch normalisation needs of it.
namespace cks::kernels {

/// Values [pixels, channels], `pitch` elements from one pixel to the next; float32 or float64.
struct ChannelSumsProblem {
  std::int64_t pixels, channels, pitch;
  DType dtype;
};

/// The pixels are cut into so many slices, whose sums are added in order.
inline constexpr std::int64_t kChannelSlices = 64;

/// Bytes of workspace for any number of pixels.
inline std::size_t channel_sums_workspace_bytes(std::int64_t channels) {
  return static_cast<std::size_t>(kChannelSlices * 2 * channels) * sizeof(double);
}

/// sums [2][channels] float64: sums[c] of all values of a channel, sums[channels + c] of their
/// squares, in float64 and in an order of the problem alone. workspace: of the size above, 8-byte
/// aligned. Throws DtypeError.
CKS_ENTRY_POINT(void, channel_sums,
                (const ChannelSumsProblem& problem, const void* values, double* sums,
                 void* workspace));

}  // namespace cks::kernels
