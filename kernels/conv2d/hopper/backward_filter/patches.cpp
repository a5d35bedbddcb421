#include "cks/kernels/conv2d/hopper/backward_filter/patches.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "cks/kernels/common/lists_impl.h"
#include "cks/kernels/common/math.h"
#include "cks/kernels/conv2d/hopper/backward_filter/gradient.h"
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

/// The columns of pixels that `extent` outputs meet; at places those that are there.
Reach columns_of_step(const PatchPlan& g, const TapAxis& axis, std::int64_t residue,
                      const Reach& taps) {
  const Reach window{taps.first, taps.last + g.columns - 1};
  if (!g.at_places()) {
    return window;
  }
  const std::int64_t first = std::max<std::int64_t>(window.first, 0);
  return {first, std::max(first, std::min(window.last, class_extent(axis, residue) - 1))};
}

/// The windows of all classes that a tap meets, and with them the bytes of a plane.
void add_windows(PatchPlan& g, const Conv2dProblem& p) {
  g.plane_bytes = g.dy_bytes = g.rows * g.columns * position_bytes(g);
  for (std::int64_t a = 0; a < p.sh; ++a) {
    const Reach rows = reach_of(row_axis(p), a);
    for (std::int64_t b = 0; b < p.sw; ++b) {
      const Reach columns = reach_of(column_axis(p), b);
      if (rows.last < rows.first || columns.last < columns.first) {
        continue;
      }
      const Reach down = g.at_places() ? Reach{0, 0} : Reach{rows.first, rows.last + g.rows - 1};
      const Reach across = columns_of_step(g, column_axis(p), b, columns);
      PatchWindow& window = g.window[g.windows++];
      window = {narrow(a),
                narrow(b),
                narrow(down.first),
                narrow(across.first),
                narrow(down.last - down.first + 1),
                narrow(across.last - across.first + 1),
                g.plane_bytes};
      const int bytes = window.rows * window.columns * position_bytes(g);
      g.x_bytes += bytes;
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
  const std::int64_t rows_down = g.at_places() ? 0 : row.first - window.first_row;
  const std::int64_t pixels = rows_down * window.columns + column.first - window.first_column;
  TapGroup::Tap found{};
  found.pitch = window.columns * position_bytes(g);
  found.offset = narrow(window.offset + pixels * position_bytes(g));
  found.tap = static_cast<std::int16_t>(tap);
  if (g.at_places()) {
    const IndexRange rows = tap_outputs(row_axis(p), tap / p.FW);
    const IndexRange columns = tap_outputs(column_axis(p), tap % p.FW);
    found.first_row = static_cast<std::int16_t>(rows.begin);
    found.end_row = static_cast<std::int16_t>(rows.end);
    found.steps = static_cast<std::int16_t>(g.ahead - row.first);
    const int terms = g.patch_images / kTermImages;
    for (std::int64_t i = columns.begin * terms; i < columns.end * terms; ++i) {
      found.met |= 1U << i;
    }
  }
  return found;
}

/// Products of a patch at places through a tap.
int products_of(const TapGroup::Tap& tap) {
  return (tap.end_row - tap.first_row) * std::popcount(tap.met);
}

/// Taps `begin` to `end` of the filter, of which each of two warpgroups gets about half the places.
void fill_group(TapGroup& group, const PatchPlan& g, const Conv2dProblem& p, int begin, int end) {
  std::vector<TapGroup::Tap> taps;
  for (int i = begin; i < end; ++i) {
    taps.push_back(tap_of(g, p, i));
  }
  std::stable_sort(taps.begin(), taps.end(),
                   [](const auto& a, const auto& b) { return products_of(a) > products_of(b); });
  const int seconds = g.group_taps / 2, firsts = g.group_taps - seconds;
  int first = 0, second = 0;
  for (std::size_t i = 0; i < taps.size(); ++i) {
    const bool to_second = (i % 4 == 0 || i % 4 == 3) && second < seconds;
    group.tap[to_second || first == firsts ? firsts + second++ : first++] = taps[i];
  }
  TapGroup::Tap none = taps.front();
  none.tap = -1;
  none.met = 0;
  std::fill(group.tap + first, group.tap + firsts, none);
  std::fill(group.tap + firsts + second, group.tap + g.group_taps, none);
}

int groups_of(const Conv2dProblem& p, std::int64_t group_taps) {
  return narrow(ceil_div(p.FH * p.FW, group_taps));
}

}  // namespace

PatchExtent patch_at_places(const Conv2dProblem& p) {
  for (int images = kMostPlaceImages; images >= kTermImages; images /= 2) {
    const PatchRequest request{p, kMostGroupTaps, {images, 1, narrow(p.OW)}, 1, 1};
    if (images < p.N + kTermImages && takes_patches(request, 2)) {
      return request.patch;
    }
  }
  return {};
}

bool takes_patches(const PatchRequest& request, int element_bytes) {
  const Conv2dProblem& p = request.problem;
  constexpr std::int64_t kMostBox = 256;
  const auto [images, rows, columns] = request.patch;
  const bool at_places = images > 1;
  const auto& compiled = patch_rows(request.planes);
  if (!copies_pixels(p, element_bytes) || p.sh > 2 || p.sw > 2 || p.IH < p.sh || p.IW < p.sw ||
      groups_of(p, request.group_taps) > kMostTapGroups || request.split_k < 1 || rows < 1 ||
      columns < 1 || images > kMostPlaceImages) {
    return false;
  }
  if (at_places
          ? images % kTermImages != 0 || request.planes != 1 || rows != 1 || columns != p.OW ||
                columns * images > kMostRowProducts * kTermImages || p.OH > INT16_MAX
          : columns != kPatchWidth || !contains(compiled, rows)) {
    return false;
  }
  if (rows + (p.FH - 1) * p.dh > kMostBox || columns + (p.FW - 1) * p.dw > kMostBox - 1) {
    return false;
  }
  constexpr int kStagesAhead = 3;  // one that is read and two copies, that hide how long they take
  const PatchPlan g = plan_patches(request);
  constexpr std::int64_t kMostBlocks = 65535;  // of the grid's second and third axis
  if (request.split_k > g.patches() || g.column_units > kMostBlocks ||
      request.split_k * g.groups > kMostBlocks) {
    return false;
  }
  return request.planes == 1 ? g.stages >= (at_places ? g.reach + kStagesAhead : kStagesAhead)
                             : std::int64_t{g.plane_bytes} * (g.stages * request.planes +
                                                              unsplit_stages(request.planes) * 2) <=
                                   kPatchBytes;
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
  g.patches_down = g.at_places() ? 1 : ceil_div(g.out_height, g.rows);
  g.patches_across = ceil_div(g.out_width, g.columns);
  g.steps = 1;
  if (g.at_places()) {
    const std::int64_t last = place_of(row_axis(p), p.FH - 1).first;
    g.ahead = narrow(std::max<std::int64_t>(last, 0));
    g.reach = narrow(g.ahead - place_of(row_axis(p), 0).first);
    g.steps = g.out_height + g.ahead;
  }
  add_windows(g, p);
  const int most = most_patch_stages(request.planes);
  g.stages = request.planes == 1 ? std::min(most, kPatchBytes / g.plane_bytes) : most;
  g.row_units = ceil_div(g.out_channels, kPatchBlock);
  g.column_units = ceil_div(g.in_channels, kPatchBlock);
  g.split_k = narrow(request.split_k);
  g.group_taps = request.group_taps;
  g.groups = groups_of(p, request.group_taps);
  g.part_patches = g.patches() / (kSharers * g.split_k);
  g.longer_parts = g.patches() % (kSharers * g.split_k);
  for (int group = 0; group < g.groups; ++group) {
    // Groups of about the same size.
    const int begin = g.filter_taps * group / g.groups;
    const int end = g.filter_taps * (group + 1) / g.groups;
    fill_group(g.group[group], g, p, begin, end);
  }
  return g;
}

std::int64_t executed_of(const PatchPlan& g) {
  std::int64_t outputs = std::int64_t{g.patches()} * g.rows * g.columns * g.group_taps * g.groups;
  if (g.at_places()) {
    outputs = 0;
    for (int group = 0; group < g.groups; ++group) {
      for (int i = 0; i < g.group_taps; ++i) {
        outputs += products_of(g.group[group].tap[i]);
      }
    }
    outputs *= std::int64_t{kTermImages} * g.patches();
  }
  return outputs * g.row_units * g.column_units * kPatchBlock * kPatchBlock;
}

}  // namespace cks::kernels::hopper
