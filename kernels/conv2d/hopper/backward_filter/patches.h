#pragma once
#include <cstdint>

#include "cks/kernels/common/host_device.h"
#include "cks/kernels/conv2d/kernel.h"

/// How Sk-dilated is laid out for filters of many taps: in patches of outputs, whose gradients and
/// pixels are copied once and meet in all taps of a block's group. The pixels come in windows, one
/// for each residue class of the stride (as of KS-deconv); through a tap the patch meets a
/// rectangle of its window. As in boxes.h patches are
///
/// in a row   8 outputs times an even number of rows of one image, copied in one step. Outputs
///            beyond the image are zeros, and so is what lies outside of X: both are multiplied.
/// at places  16 or more images, image next to image, for small maps. A step copies a row of places
///            of dY and of each class of X; X's rows stay until the last tap has met them. A tap
///            meets exactly the places whose pixels lie in the image.
namespace cks::kernels::hopper {

inline constexpr int kPatchWidth = 8;   // outputs
inline constexpr int kPatchBlock = 64;  // channels, input and output, of a unit
inline constexpr int kTermImages = 16;  // at places, of a product: its K
inline constexpr int kMostPlaceImages = 64;
inline constexpr int kMostRowProducts = 32;  // at places, of a row
inline constexpr int kMostWindows = 4;       // strides up to 2
inline constexpr int kMostGroupTaps = 9;
inline constexpr int kMostTapGroups = 16;
inline constexpr int kSharers = 2;  // blocks of a cluster, which share the patches of a unit

/// One residue class of X's pixels, those that a step copies.
struct PatchWindow {
  int row_class, column_class;
  int first_row, first_column;  // of the class, where the step's first output is 0
  int rows, columns;
  int offset;  // bytes from the start of a stage's plane
};

/// Taps that a block computes at once. Those that the kernel has too many repeat the first, or meet
/// nothing at places, and are not stored.
struct TapGroup {
  struct Tap {
    std::int32_t pitch;   // bytes from a row of the patch to the next, in the window
    std::int32_t offset;  // bytes from the start of a stage's plane, for the step's first output
    // At places: which outputs meet a pixel, a bit for each product of a row; how many steps before
    // them their pixels are copied.
    std::uint32_t met;
    std::int16_t first_row, end_row, steps;
    std::int16_t tap;  // of the filter, -1: none
  } tap[kMostGroupTaps];
};

/// A unit is 64 output channels x 64 input channels x a group of taps, of a part of the patches.
struct PatchPlan {
  int images, out_height, out_width, height, width;
  int row_stride, column_stride;
  int in_channels, out_channels, filter_taps;
  int patch_images, rows, columns;  // of outputs that a step copies
  int patches_down, patches_across;
  int steps;  // of a patch
  int ahead;  // steps by which X's rows are copied before those of dY
  int reach;  // steps after which X's rows are still met
  int windows;
  PatchWindow window[kMostWindows];
  int plane_bytes;        // of a stage's plane; float32 takes twice as many
  int dy_bytes, x_bytes;  // that a step copies
  int stages;
  int row_units, column_units, split_k;
  int part_patches, longer_parts;  // of a sharer's part; how many have one more
  int group_taps, groups;
  TapGroup group[kMostTapGroups];

  CKS_HOST_DEVICE bool at_places() const { return patch_images > 1; }
  CKS_HOST_DEVICE int units() const { return groups * row_units * column_units * split_k; }
  CKS_HOST_DEVICE int patches() const {
    return (images + patch_images - 1) / patch_images * patches_down * patches_across;
  }
};

/// Where a block stands in the grid. x: output channels, the sharers of a unit side by side;
/// y: input channels; z: slices of a group of taps, then those of the next.
struct PatchBlock {
  int x, y, z;
};

struct PatchUnit {
  int group;
  int oc, ic;          // the first ones
  int first, patches;  // of the sharer, maybe none
  int slice;
};

/// What a block has of its unit.
CKS_HOST_DEVICE inline PatchUnit unit_of(const PatchPlan& g, const PatchBlock& block) {
  int group = 0, slice = block.z;  // a few at most; division takes long
  while (slice >= g.split_k) {
    slice -= g.split_k;
    ++group;
  }
  const int part = slice * kSharers + block.x % kSharers;
  const int longer = part < g.longer_parts ? part : g.longer_parts;
  return {group,
          block.x / kSharers * kPatchBlock,
          block.y * kPatchBlock,
          part * g.part_patches + longer,
          g.part_patches + (part < g.longer_parts ? 1 : 0),
          slice};
}

/// The first output of a step. At places its row counts from `ahead` rows before the map on.
struct PatchStart {
  int image, row, column;
};

/// A block's steps, one after the other.
struct PatchSteps {
  const PatchPlan& g;
  int left;
  PatchStart start;

  CKS_HOST_DEVICE PatchSteps(const PatchPlan& plan, const PatchUnit& unit)
      : g(plan), left(unit.patches * plan.steps + 1), start{unit.first * plan.patch_images, 0, 0} {
    if (!g.at_places()) {
      const int line = unit.first / g.patches_across, image = line / g.patches_down;
      start = {image, (line - image * g.patches_down) * g.rows,
               (unit.first - line * g.patches_across) * g.columns};
    }
    start.column -= g.columns;
  }
  CKS_HOST_DEVICE bool next() {
    start.column += g.columns;
    if (start.column >= g.out_width) {
      start.column = 0;
      start.row += g.rows;
      if (start.row >= g.out_height + g.ahead) {
        start.row = 0;
        start.image += g.patch_images;
      }
    }
    return --left > 0;
  }
};
/// Whether there is something to copy; in a row there always is.
CKS_HOST_DEVICE inline bool has_outputs(const PatchPlan& g, const PatchStart& start) {
  return start.row >= g.ahead;
}
CKS_HOST_DEVICE inline bool has_pixels(const PatchPlan& g, const PatchStart& start) {
  return !g.at_places() || start.row * g.row_stride < g.height;
}

/// The products of a row of outputs at places that meet pixels through a tap: bits.
CKS_HOST_DEVICE inline std::uint32_t met_in_row(const TapGroup::Tap& tap, int row) {
  return row >= tap.first_row && row < tap.end_row ? tap.met : 0;
}

/// Images, rows and columns of the outputs that a step copies.
struct PatchExtent {
  int images, rows, columns;

  friend bool operator==(const PatchExtent&, const PatchExtent&) = default;
};

struct PatchRequest {
  const Conv2dProblem& problem;
  int group_taps;  // that the kernel computes at once
  PatchExtent patch;
  std::int64_t split_k;
  int planes;
};

/// Rows of patches in a row that the kernel is compiled for: of one plane, and of three.
inline constexpr int kPatchRows[][2] = {{8, 14}, {4, 8}};
constexpr const auto& patch_rows(int plane_count) { return kPatchRows[plane_count == 1 ? 0 : 1]; }

inline constexpr int kPatchBytes = 225 * 1024;  // of all stages
/// The most stages of the ring of planes; of several planes there are always two.
constexpr int most_patch_stages(int plane_count) { return plane_count == 1 ? 12 : 2; }
/// Stages of float32 that wait to be split into planes.
constexpr int unsplit_stages(int plane_count) { return plane_count == 1 ? 0 : 1; }

/// The patch at places with most images of which enough stages fit; none if none does.
PatchExtent patch_at_places(const Conv2dProblem& problem);

/// Whether the copy engine can say it, for X and dY of so many bytes an element.
bool takes_patches(const PatchRequest& request, int element_bytes);

/// Only for what takes_patches() takes.
PatchPlan plan_patches(const PatchRequest& request);

/// Multiply-adds of its products, of one plane.
std::int64_t executed_of(const PatchPlan& plan);

}  // namespace cks::kernels::hopper
