#include "cks/kernels/conv2d/hopper/backward_filter/gradient.h"

#include <algorithm>
#include <vector>

#include "cks/kernels/common/math.h"
#include "cks/kernels/conv2d/cuda/regions.h"
#include "cks/kernels/conv2d/hopper/boxes.h"
#include "cks/kernels/conv2d/taps.h"

namespace cks::kernels::hopper {
namespace {

/// The window of an axis that the taps of the filter shift.
Window window_of(const TapAxis& axis) { return {-axis.pad, axis.stride, axis.out}; }

/// Whether 32 bits count the positions of all images.
bool fits_pixels(const Conv2dProblem& p) {
  constexpr std::int64_t kMostPositions = std::int64_t{1} << 30;
  return p.N > 0 && p.G == 1 && cuda::has_narrow_extents(p) &&
         p.N * p.IH * p.IW <= kMostPositions && p.N * p.OH * p.OW <= kMostPositions;
}

/// The taps with most terms first.
std::vector<GradientTap> all_taps(const Conv2dProblem& p) {
  std::vector<GradientTap> taps;
  const auto small = [](std::int64_t value) { return static_cast<std::int16_t>(value); };
  for (std::int64_t fh = 0; fh < p.FH; ++fh) {
    const IndexRange rows = tap_outputs(row_axis(p), fh);
    for (std::int64_t fw = 0; fw < p.FW; ++fw) {
      const IndexRange columns = tap_outputs(column_axis(p), fw);
      taps.push_back({small(fh), small(fw), small(rows.begin), small(rows.size()),
                      small(columns.begin), small(columns.size()), 0});
    }
  }
  std::stable_sort(taps.begin(), taps.end(), [](const GradientTap& a, const GradientTap& b) {
    return a.rows * a.columns > b.rows * b.columns;
  });
  return taps;
}

}  // namespace

bool fits_gradient(const GradientRequest& request) {
  const Conv2dProblem& p = request.problem;
  constexpr std::int64_t kMostExtent = 32767;
  constexpr std::int64_t kMostUnits = std::int64_t{1} << 30;
  if (!fits_pixels(p) || p.OH > kMostExtent || p.OW > kMostExtent || request.split_k < 1 ||
      request.split_k > 65535 || p.FH * p.FW > (request.at_places ? kMostTaps : kMostExtent)) {
    return false;
  }
  const std::int64_t columns = p.FH * p.FW * ceil_div(p.IC, std::int64_t{kBlock});
  return columns <= kMostUnits && columns * ceil_div(p.OC, request.tile.rows) <= kMostUnits &&
         columns * ceil_div(p.OC, request.tile.rows) * request.split_k <= kMostUnits;
}

bool copies_pixels(const Conv2dProblem& p, int element_bytes) {
  const std::int64_t unit = 16 / element_bytes;
  return fits_pixels(p) && p.is_aligned && p.x_pitch % unit == 0 && p.y_pitch % unit == 0 &&
         p.IC % 2 == 0;
}

bool takes_gradient(const GradientRequest& request, int element_bytes) {
  const Conv2dProblem& p = request.problem;
  if (!fits_gradient(request) || !copies_pixels(p, element_bytes)) {
    return false;
  }
  const TapAxis rows = row_axis(p), columns = column_axis(p);
  return request.at_places || (fits_window(window_of(rows), p.IH, (p.FH - 1) * p.dh) &&
                               fits_window(window_of(columns), p.IW, (p.FW - 1) * p.dw));
}

GradientPlan plan_gradient(const GradientRequest& request) {
  const Conv2dProblem& p = request.problem;
  GradientPlan g{};
  g.at_places = request.at_places;
  g.images = narrow(p.N);
  g.out_height = narrow(p.OH);
  g.out_width = narrow(p.OW);
  g.height = narrow(p.IH);
  g.width = narrow(p.IW);
  g.row_stride = narrow(p.sh);
  g.column_stride = narrow(p.sw);
  g.top = narrow(p.pt);
  g.left = narrow(p.pl);
  g.row_dilation = narrow(p.dh);
  g.column_dilation = narrow(p.dw);
  g.in_channels = narrow(p.IC);
  g.out_channels = narrow(p.OC);
  g.filter_width = narrow(p.FW);
  g.filter_taps = narrow(p.FH * p.FW);
  g.unit_rows = narrow(request.tile.rows);
  g.unit_blocks = narrow(request.tile.columns / kBlock);
  g.split_k = narrow(request.split_k);
  const int blocks = ceil_div(g.in_channels, kBlock) * (g.at_places ? 1 : g.filter_taps);
  g.row_units = ceil_div(g.out_channels, g.unit_rows);
  g.column_units = ceil_div(blocks, g.unit_blocks);
  const std::vector<GradientTap> taps = g.at_places ? all_taps(p) : std::vector<GradientTap>(1);
  for (GradientTap tap : taps) {
    tap.first_unit = g.units;
    g.tap[g.taps++] = tap;
    g.units += g.row_units * g.column_units * g.split_k;
  }
  g.units_each = units_of_each(g.tap, g.taps, g.units);
  return g;
}

std::int64_t executed_of(const GradientPlan& g) {
  const std::int64_t unit = std::int64_t{kTerms} * g.unit_rows * g.unit_blocks * kBlock;
  std::int64_t boxes = 0;
  for (int tap = 0; tap < g.taps; ++tap) {
    for (int slice = 0; slice < g.split_k; ++slice) {
      const int index = slice * g.row_units * g.column_units;
      boxes += steps_of(unit_of(g, g.tap[tap], index));
    }
  }
  return boxes * unit * g.row_units * g.column_units;
}

}  // namespace cks::kernels::hopper
