#include "cks/kernels/conv2d/hopper/patches.h"

#include <algorithm>

#include "cks/kernels/common/math.h"
#include "cks/kernels/conv2d/hopper/gradient.h"
#include "cks/kernels/conv2d/taps.h"
#include "cks/kernels/hopper/window.h"

namespace cks::kernels::hopper {
namespace {

/// Where a tap's pixels lie: output o meets pixel `first + o` of the class.
struct TapPlace {
  std::int64_t residue, first;
};
TapPlace place_of(const TapAxis& axis, std::int64_t tap) {
  const std::int64_t at = tap * axis.dilation - axis.pad;
  return {mod(at, axis.stride), floor_div(at, axis.stride)};
}

/// What the taps of a residue class meet: from output 0 through `first` to `last`. Without a tap
/// last < first.
struct Reach {
  std::int64_t first, last;
};
Reach reach_of(const TapAxis& axis, std::int64_t residue) {
  Reach reach{0, -1};
  for (std::int64_t tap = 0; tap < axis.filter; ++tap) {
    const TapPlace place = place_of(axis, tap);
    if (place.residue == residue) {
      reach = reach.last < reach.first
                  ? Reach{place.first, place.first}
                  : Reach{std::min(reach.first, place.first), std::max(reach.last, place.first)};
    }
  }
  return reach;
}

/// The windows of all classes that a tap meets, and with them the bytes of a plane.
void add_windows(PatchPlan& g, const Conv2dProblem& p) {
  g.plane_bytes = g.copied_bytes = g.rows * kPatchWidth * kRowBytes;
  for (std::int64_t a = 0; a < p.sh; ++a) {
    const Reach rows = reach_of(row_axis(p), a);
    for (std::int64_t b = 0; b < p.sw; ++b) {
      const Reach columns = reach_of(column_axis(p), b);
      if (rows.last < rows.first || columns.last < columns.first) {
        continue;
      }
      PatchWindow& window = g.window[g.windows++];
      window = {narrow(a),
                narrow(b),
                narrow(rows.first),
                narrow(columns.first),
                g.rows + narrow(rows.last - rows.first),
                kPatchWidth + narrow(columns.last - columns.first),
                g.plane_bytes};
      const int bytes = window.rows * window.columns * kRowBytes;
      g.copied_bytes += bytes;
      g.plane_bytes += round_up(bytes, 1024);
    }
  }
}

TapGroup::Tap tap_of(const PatchPlan& g, const Conv2dProblem& p, std::int64_t tap) {
  const TapPlace row = place_of(row_axis(p), tap / p.FW);
  const TapPlace column = place_of(column_axis(p), tap % p.FW);
  const PatchWindow& window = *std::find_if(g.window, g.window + g.windows, [&](const auto& w) {
    return w.row_class == row.residue && w.column_class == column.residue;
  });
  const std::int64_t pixels =
      (row.first - window.first_row) * window.columns + column.first - window.first_column;
  return {static_cast<std::int16_t>(tap), static_cast<std::int16_t>(window.columns * kRowBytes),
          narrow(window.offset + pixels * kRowBytes)};
}

int groups_of(const Conv2dProblem& p, int group_taps) {
  return narrow(ceil_div(p.FH * p.FW, std::int64_t{group_taps}));
}

}  // namespace

int best_patch_rows(const Conv2dProblem& p) {
  const auto cost = [&](int rows) { return round_up(p.OH, std::int64_t{rows}); };
  return cost(kPatchRows[1]) <= cost(kPatchRows[0]) ? kPatchRows[1] : kPatchRows[0];
}

bool takes_patches(const PatchRequest& request, int element_bytes) {
  const Conv2dProblem& p = request.problem;
  constexpr std::int64_t kMostBox = 256;
  if (!copies_pixels(p, element_bytes) || p.sh > 2 || p.sw > 2 || p.IH < p.sh || p.IW < p.sw ||
      std::count(std::begin(kPatchRows), std::end(kPatchRows), request.rows) == 0 ||
      groups_of(p, request.group_taps) > kMostTapGroups || request.split_k < 1 ||
      request.split_k > p.N * ceil_div(p.OH, std::int64_t{request.rows}) *
                            ceil_div(p.OW, std::int64_t{kPatchWidth})) {
    return false;
  }
  if (request.rows + (p.FH - 1) * p.dh > kMostBox ||
      kPatchWidth + (p.FW - 1) * p.dw > kMostBox - 1) {
    return false;
  }
  constexpr int kSharedBytes = 225 * 1024;
  return plan_patches(request).plane_bytes * request.planes * kPatchStages[request.planes - 1] <=
         kSharedBytes;
}

PatchPlan plan_patches(const PatchRequest& request) {
  const Conv2dProblem& p = request.problem;
  PatchPlan g{};
  g.images = narrow(p.N);
  g.out_height = narrow(p.OH);
  g.out_width = narrow(p.OW);
  g.height = narrow(p.IH);
  g.width = narrow(p.IW);
  g.row_stride = narrow(p.sh);
  g.column_stride = narrow(p.sw);
  g.in_channels = narrow(p.IC);
  g.out_channels = narrow(p.OC);
  g.filter_taps = narrow(p.FH * p.FW);
  g.rows = request.rows;
  g.patches_down = ceil_div(g.out_height, g.rows);
  g.patches_across = ceil_div(g.out_width, kPatchWidth);
  add_windows(g, p);
  g.row_units = ceil_div(g.out_channels, kPatchBlock);
  g.column_units = ceil_div(g.in_channels, kPatchBlock);
  g.split_k = narrow(request.split_k);
  g.group_taps = request.group_taps;
  g.groups = groups_of(p, request.group_taps);
  for (int group = 0; group < g.groups; ++group) {
    // Groups of about the same size.
    const int begin = g.filter_taps * group / g.groups;
    const int end = g.filter_taps * (group + 1) / g.groups;
    TapGroup& taps = g.group[group];
    taps.first_unit = g.units;
    for (int i = 0; i < g.group_taps; ++i) {
      taps.tap[i] = tap_of(g, p, begin + i < end ? begin + i : begin);
      taps.tap[i].tap = begin + i < end ? taps.tap[i].tap : std::int16_t{-1};
    }
    g.units += g.row_units * g.column_units * g.split_k;
  }
  g.units_each = units_of_each(g.group, g.groups, g.units);
  return g;
}

std::int64_t executed_of(const PatchPlan& g) {
  return std::int64_t{g.patches()} * g.rows * kPatchWidth * g.row_units * g.column_units *
         kPatchBlock * kPatchBlock * g.group_taps * g.groups;
}

}  // namespace cks::kernels::hopper
