#include "cks/kernels/conv2d/image_cuda.h"

#include <algorithm>

#include "cks/kernels/conv2d/correlation_cuda.h"
#include "cks/kernels/conv2d/taps.h"

namespace cks::kernels::cuda {
namespace {

constexpr std::int64_t kWarp = 32;

int narrow(std::int64_t value) { return static_cast<int>(value); }

}  // namespace

ImageCorrelationShape image_correlation_shape(const Conv2dProblem& p, Conv2dPass pass,
                                              std::int64_t tile_rows, std::int64_t tile_lanes) {
  const bool forward = pass == Conv2dPass::forward;
  ImageCorrelationShape s{};
  s.images = narrow(tile_rows / kImageThreads);
  s.lanes = narrow(tile_lanes);
  s.lane_groups = narrow(ceil_div(forward ? p.OC : p.IC, tile_lanes));
  s.channels = narrow(forward ? p.IC : p.OC);
  s.pitch = s.channels | 1;
  s.source_h = narrow(forward ? p.IH : p.OH);
  s.source_w = narrow(forward ? p.IW : p.OW);
  s.target_h = narrow(forward ? p.OH : p.IH);
  s.target_w = narrow(forward ? p.OW : p.IW);
  s.filter_floats = static_cast<std::size_t>(p.FH * p.FW) * static_cast<std::size_t>(s.channels) *
                    static_cast<std::size_t>(s.lane_groups * s.lanes);
  s.source_floats = static_cast<std::size_t>(s.source_h) * static_cast<std::size_t>(s.source_w) *
                    static_cast<std::size_t>(s.pitch);
  const auto places = static_cast<std::size_t>(s.target_h + s.target_w);
  s.shared_bytes =
      (s.filter_floats + static_cast<std::size_t>(s.images) * s.source_floats + 2 * places) *
      sizeof(float);
  s.items = ceil_div(std::int64_t{s.target_h} * s.target_w, kWarp) * kWarp * s.lane_groups;
  return s;
}

ImageGradientShape image_gradient_shape(const Conv2dProblem& p, std::int64_t tile_rows,
                                        std::int64_t tile_lanes) {
  ImageGradientShape s{};
  const std::int64_t K = p.FH * p.FW * p.IC;
  s.taps = narrow(tile_rows / kImageThreads);
  s.lanes = narrow(tile_lanes);
  s.tap_groups = narrow(ceil_div(K, s.taps));
  s.lane_groups = narrow(ceil_div(p.OC, tile_lanes));
  const std::int64_t threads = std::int64_t{s.tap_groups} * s.lane_groups;
  if (threads > kImageThreads || p.OH < 1) {
    return s;
  }
  s.y_pitch = s.lane_groups * s.lanes;
  const auto rows_of_x = [&](std::int64_t rows) {
    return std::min(p.IH, (rows - 1) * p.sh + (p.FH - 1) * p.dh + 1);
  };
  // An even cut into as few bands as fit.
  for (std::int64_t bands = 1; bands <= p.OH; ++bands) {
    const std::int64_t rows = ceil_div(p.OH, bands);
    const std::int64_t staged = rows_of_x(rows) * p.IW * p.IC + rows * p.OW * s.y_pitch;
    const std::int64_t sharers = std::min(kImageThreads / threads, rows);
    const std::int64_t sums = sharers * K * s.y_pitch;
    const std::int64_t floats = sharers > 1 ? std::max(staged, sums) : staged;
    if (floats * static_cast<std::int64_t>(sizeof(float)) <=
        static_cast<std::int64_t>(kImageSharedBytes)) {
      s.band_rows = narrow(rows);
      s.bands = narrow(ceil_div(p.OH, rows));
      s.sharers = narrow(sharers);
      s.x_rows = narrow(rows_of_x(rows));
      s.shared_bytes = static_cast<std::size_t>(floats) * sizeof(float);
      return s;
    }
  }
  return s;
}

bool takes_images(const Conv2dProblem& p, Conv2dPass pass, std::int64_t tile_rows,
                  std::int64_t tile_lanes) {
  const bool owns_one_or_two = tile_rows == kImageThreads || tile_rows == 2 * kImageThreads;
  const bool lanes = tile_lanes == 4 || tile_lanes == 8 || tile_lanes == 16;
  if (p.G != 1 || p.N < 1 || !owns_one_or_two || !lanes || !has_narrow_extents(p)) {
    return false;
  }
  // Before shapes are computed, so that nothing overflows there.
  constexpr std::int64_t kStaged = kImageSharedBytes / sizeof(float);
  if (pass == Conv2dPass::backward_filter) {
    return p.N * p.OH < (std::int64_t{1} << 31) && p.FH * p.FW <= kStaged && p.IC <= kStaged &&
           p.OC <= kStaged && tile_lanes == 8 &&
           image_gradient_shape(p, tile_rows, tile_lanes).sharers > 0;
  }
  return takes_correlation(p, pass) && p.IH * p.IW <= kStaged && p.OH * p.OW <= 4 * kStaged &&
         p.FH * p.FW <= kStaged &&
         image_correlation_shape(p, pass, tile_rows, tile_lanes).shared_bytes <= kImageSharedBytes;
}

}  // namespace cks::kernels::cuda
