#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "cks/kernels/common/host_device.h"

/// Float32 as float16 times a power of two, which tensor cores multiply twice as fast as tf32: both
/// have 10 bits behind the point, and a power of two brings the tensor to where float16 has its
/// range. On GPUs alone.
///
///   half = round(x * 2^-exponent)   to nearest even, the largest finite |half| in [2^8, 2^15)
///
/// The exponent follows from every sixteenth stretch of the tensor, which leaves it room; where the
/// rest proves it wrong, the tensor is rounded a second time. An element below 2^-22 of the largest
/// keeps an absolute error, at most 2^-33 of that one, instead of a relative one. Inf and NaN stay
/// what they are, and do not count as the largest.
///
/// Memory  kHalvesHeader bytes, the first four the exponent; then [pixels][channels], dense.
namespace cks::kernels {

inline constexpr std::size_t kHalvesHeader = 1280;

/// Bytes that the halves of a tensor take, a multiple of 256.
constexpr std::size_t halves_bytes(std::int64_t elements) {
  return (kHalvesHeader + static_cast<std::size_t>(elements) * 2 + 255) / 256 * 256;
}
inline const void* half_elements(const void* halves) {
  return static_cast<const std::byte*>(halves) + kHalvesHeader;
}
CKS_HOST_DEVICE inline const int* half_exponent(const void* halves) {
  return static_cast<const int*>(halves);
}

/// Halves of both operands of products; null where they are of another type.
struct HalfOperands {
  const void* first = nullptr;
  const void* second = nullptr;
};

/// What to make halves of: `pixels` times `channels` elements, `pitch` from one pixel to the next.
/// Channels are a multiple of 8 and pitch of 4; both addresses of 16 bytes.
struct HalvesJob {
  const float* from;
  std::int64_t pixels, channels, pitch;
  void* halves;
};

namespace cuda {
/// Of at most two tensors, in three launches on current_stream(). The same bits run after run.
void make_halves(const char* operation, std::span<const HalvesJob> jobs);
}  // namespace cuda

}  // namespace cks::kernels
