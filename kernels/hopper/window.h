#pragma once
#include <cstdint>

namespace cks::kernels::hopper {

/// Bytes of a row of a box: 64 bfloat16 or 32 float32, swizzled over 128 bytes.
inline constexpr int kRowBytes = 128;

/// The positions first, first + stride, ... of an axis, `count` of them; they may lie outside.
struct Window {
  std::int64_t first, stride, count;

  /// What the copy engine calls the upper corner: how far behind the axis' end the last one lies.
  std::int64_t behind_end(std::int64_t extent) const {
    return first + (count - 1) * stride + 1 - extent;
  }
};

/// Whether window_map() can say a window of an axis whose positions are shifted by 0 to
/// `farthest_shift` (the copy engine's fields of 8 and 3 bits).
inline bool fits_window(const Window& window, std::int64_t extent, std::int64_t farthest_shift) {
  const auto fits_corner = [](std::int64_t corner) { return corner >= -128 && corner <= 127; };
  return fits_corner(window.first) && fits_corner(window.behind_end(extent)) &&
         window.stride <= 8 && farthest_shift <= 255;
}

}  // namespace cks::kernels::hopper
