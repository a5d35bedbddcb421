#include "cks/kernels/conv2d/hopper/patches.h"

#include <algorithm>
#include <vector>

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

int position_bytes(const PatchPlan& g) { return g.patch_images * kRowBytes; }

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

/// Pixels of a residue class.
std::int64_t class_extent(const TapAxis& axis, std::int64_t residue) {
  return ceil_div(axis.in - residue, axis.stride);
}

/// The pixels that a patch of `extent` outputs meets; where one patch is the whole map, those that
/// are there.
Reach window_of_patch(const TapAxis& axis, std::int64_t residue, const Reach& taps, int extent,
                      bool is_whole) {
  const Reach window{taps.first, taps.last + extent - 1};
  if (!is_whole) {
    return window;
  }
  const std::int64_t first = std::max<std::int64_t>(window.first, 0);
  return {first, std::max(first, std::min(window.last, class_extent(axis, residue) - 1))};
}

/// The windows of all classes that a tap meets, and with them the bytes of a plane.
void add_windows(PatchPlan& g, const Conv2dProblem& p) {
  g.plane_bytes = g.copied_bytes = g.rows * g.columns * position_bytes(g);
  for (std::int64_t a = 0; a < p.sh; ++a) {
    const Reach rows = reach_of(row_axis(p), a);
    for (std::int64_t b = 0; b < p.sw; ++b) {
      const Reach columns = reach_of(column_axis(p), b);
      if (rows.last < rows.first || columns.last < columns.first) {
        continue;
      }
      const Reach down =
          window_of_patch(row_axis(p), a, rows, g.rows, g.at_places() && g.patches_down == 1);
      const Reach across = window_of_patch(column_axis(p), b, columns, g.columns,
                                           g.at_places() && g.patches_across == 1);
      PatchWindow& window = g.window[g.windows++];
      window = {narrow(a),
                narrow(b),
                narrow(down.first),
                narrow(across.first),
                narrow(down.last - down.first + 1),
                narrow(across.last - across.first + 1),
                g.plane_bytes};
      const int bytes = window.rows * window.columns * position_bytes(g);
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
  const IndexRange rows = tap_outputs(row_axis(p), tap / p.FW);
  const IndexRange columns = tap_outputs(column_axis(p), tap % p.FW);
  const auto half = [](std::int64_t value) {
    return static_cast<std::int16_t>(std::min<std::int64_t>(value, INT16_MAX));
  };
  return {window.columns * position_bytes(g),
          narrow(window.offset + pixels * position_bytes(g)),
          half(tap),
          half(rows.begin),
          half(rows.end),
          half(columns.begin),
          half(columns.end)};
}

/// Places at which an image's outputs meet a tap.
int places_of(const TapGroup::Tap& tap) {
  return (tap.end_row - tap.first_row) * (tap.end_column - tap.first_column);
}

/// Taps `begin` to `end` of the filter, of which each of two warpgroups gets about half the places.
void fill_group(TapGroup& group, const PatchPlan& g, const Conv2dProblem& p, int begin, int end) {
  std::vector<TapGroup::Tap> taps;
  for (int i = begin; i < end; ++i) {
    taps.push_back(tap_of(g, p, i));
  }
  std::stable_sort(taps.begin(), taps.end(),
                   [](const auto& a, const auto& b) { return places_of(a) > places_of(b); });
  const int seconds = g.group_taps / 2, firsts = g.group_taps - seconds;
  int first = 0, second = 0;
  for (std::size_t i = 0; i < taps.size(); ++i) {
    const bool to_second = (i % 4 == 0 || i % 4 == 3) && second < seconds;
    group.tap[to_second || first == firsts ? firsts + second++ : first++] = taps[i];
  }
  TapGroup::Tap none = taps.front();
  none.tap = -1;
  none.end_row = none.first_row;
  std::fill(group.tap + first, group.tap + firsts, none);
  std::fill(group.tap + firsts + second, group.tap + g.group_taps, none);
}

int groups_of(const Conv2dProblem& p, std::int64_t group_taps) {
  return narrow(ceil_div(p.FH * p.FW, group_taps));
}

}  // namespace

PatchExtent patch_at_places(const Conv2dProblem& p) {
  const auto fits = [&](const PatchExtent& patch) {
    return takes_patches({p, kMostGroupTaps, patch, 1, 1}, 16);
  };
  // Few bands of rows copy few pixels twice.
  constexpr std::int64_t kMostBands = 8;
  for (std::int64_t bands = 1; bands <= std::min(p.OH, kMostBands); ++bands) {
    const auto rows = narrow(ceil_div(p.OH, bands));
    for (int images = kMostPlaceImages; images >= kTermImages; images /= 2) {
      const PatchExtent patch{images, rows, narrow(p.OW)};
      if (images < p.N + kTermImages && fits(patch)) {
        return patch;
      }
    }
  }
  return {};
}

bool takes_patches(const PatchRequest& request, int element_bytes) {
  const Conv2dProblem& p = request.problem;
  constexpr std::int64_t kMostBox = 256;
  const auto [images, rows, columns] = request.patch;
  const bool at_places = images > 1;
  const auto& compiled = kPatchRows[request.planes - 1];
  if (!copies_pixels(p, element_bytes) || p.sh > 2 || p.sw > 2 || p.IH < p.sh || p.IW < p.sw ||
      groups_of(p, request.group_taps) > kMostTapGroups || request.split_k < 1 || rows < 1 ||
      columns < 1 || images > kMostPlaceImages) {
    return false;
  }
  if (at_places ? images % kTermImages != 0 || request.planes != 1
                : columns != kPatchWidth || std::find(std::begin(compiled), std::end(compiled),
                                                      rows) == std::end(compiled)) {
    return false;
  }
  if (request.split_k > ceil_div(p.N, std::int64_t{images}) * ceil_div(p.OH, std::int64_t{rows}) *
                            ceil_div(p.OW, std::int64_t{columns})) {
    return false;
  }
  if (rows + (p.FH - 1) * p.dh > kMostBox || columns + (p.FW - 1) * p.dw > kMostBox - 1) {
    return false;
  }
  constexpr int kSharedBytes = 225 * 1024;
  const int planes = request.planes;
  const int stages = patch_stages(planes, at_places) * planes + unsplit_stages(planes, rows) * 2;
  return std::int64_t{plan_patches(request).plane_bytes} * stages <= kSharedBytes;
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
  g.patch_images = request.patch.images;
  g.rows = request.patch.rows;
  g.columns = request.patch.columns;
  g.patches_down = ceil_div(g.out_height, g.rows);
  g.patches_across = ceil_div(g.out_width, g.columns);
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
    fill_group(taps, g, p, begin, end);
    g.units += g.row_units * g.column_units * g.split_k;
  }
  g.units_each = units_of_each(g.group, g.groups, g.units);
  return g;
}

std::int64_t executed_of(const PatchPlan& g) {
  std::int64_t outputs = std::int64_t{g.patches()} * g.rows * g.columns * g.group_taps * g.groups;
  if (g.at_places()) {
    outputs = 0;
    for (int group = 0; group < g.groups; ++group) {
      for (int i = 0; i < g.group_taps; ++i) {
        outputs += places_of(g.group[group].tap[i]);
      }
    }
    outputs *= round_up(g.images, g.patch_images);
  }
  return outputs * g.row_units * g.column_units * kPatchBlock * kPatchBlock;
}

}  // namespace cks::kernels::hopper
