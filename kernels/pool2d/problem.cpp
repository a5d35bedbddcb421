#include "cks/kernels/pool2d/problem.h"

#include <limits>
#include <string>

#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/math.h"

namespace cks::kernels {
namespace {

std::string describe(const Pool2dSizes& s) {
  return formatted(
      "(input [{},{},{},{}], window {{{},{}}}, stride {{{},{}}}, padding {{{},{},{},{}}}, dilation "
      "{{{},{}}}{})",
      s.N, s.IH, s.IW, s.C, s.FH, s.FW, s.stride.h, s.stride.w, s.padding.top, s.padding.bottom,
      s.padding.left, s.padding.right, s.dilation.h, s.dilation.w,
      s.ceil_mode ? ", ceil_mode" : "");
}

/// Windows along an axis of `in` pixels.
std::int64_t output_extent(std::int64_t in, std::int64_t before, std::int64_t after,
                           std::int64_t window, std::int64_t stride, bool ceil_mode) {
  const std::int64_t room = in + before + after - window;  // for the first window to move
  if (!ceil_mode) {
    return floor_div(room, stride) + 1;
  }
  const std::int64_t out = ceil_div(room, stride) + 1;
  return (out - 1) * stride >= in + before ? out - 1 : out;
}

}  // namespace

Pool2dProblem make_pool2d_problem(const Pool2dSizes& sizes, const char* operation) {
  const auto require = [&](bool condition, const char* message) {
    if (!condition) {
      throw ShapeError(formatted("{}: {} {}", operation, message, describe(sizes)));
    }
  };
  const Padding2d& pad = sizes.padding;
  require(sizes.N >= 0, "the batch is negative");
  require(sizes.IH >= 1 && sizes.IW >= 1 && sizes.C >= 1, "the image is empty");
  require(sizes.FH >= 1 && sizes.FW >= 1, "the window must be at least 1x1");
  require(sizes.stride.h >= 1 && sizes.stride.w >= 1, "the stride must be at least 1");
  require(sizes.dilation.h >= 1 && sizes.dilation.w >= 1, "the dilation must be at least 1");
  require(pad.top >= 0 && pad.bottom >= 0 && pad.left >= 0 && pad.right >= 0,
          "a padding is negative");
  // Extents this small keep every product below 2^63.
  constexpr std::int64_t kMaxExtent = std::int64_t{1} << 30;
  require(sizes.FH <= kMaxExtent && sizes.FW <= kMaxExtent && sizes.dilation.h <= kMaxExtent &&
              sizes.dilation.w <= kMaxExtent && sizes.IH <= kMaxExtent && sizes.IW <= kMaxExtent,
          "an extent exceeds 2^30");
  require(sizes.IH * sizes.IW <= std::numeric_limits<std::int32_t>::max(),
          "an image has 2^31 or more pixels");
  const std::int64_t window_h = sizes.dilation.h * (sizes.FH - 1) + 1;
  const std::int64_t window_w = sizes.dilation.w * (sizes.FW - 1) + 1;
  require(
      pad.top < window_h && pad.bottom < window_h && pad.left < window_w && pad.right < window_w,
      "the padding must be smaller than the window");
  const std::int64_t OH =
      output_extent(sizes.IH, pad.top, pad.bottom, window_h, sizes.stride.h, sizes.ceil_mode);
  const std::int64_t OW =
      output_extent(sizes.IW, pad.left, pad.right, window_w, sizes.stride.w, sizes.ceil_mode);
  require(OH >= 1 && OW >= 1, "the window exceeds the padded image");
  return {sizes.N,  sizes.IH,  sizes.IW,         sizes.C,          OH,         OW,
          sizes.FH, sizes.FW,  sizes.stride.h,   sizes.stride.w,   pad.top,    pad.bottom,
          pad.left, pad.right, sizes.dilation.h, sizes.dilation.w, sizes.dtype};
}

}  // namespace cks::kernels
