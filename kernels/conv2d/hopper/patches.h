#pragma once
#include <cstdint>

#include "cks/kernels/conv2d/hopper/units.h"
#include "cks/kernels/conv2d/kernel.h"

/// How Sk-dilated is laid out for filters of many taps: in patches of outputs, whose gradients and
/// pixels are copied once and meet in all taps of a block's group. The pixels come in windows, one
/// for each residue class of the stride (as of KS-deconv); through a tap the patch meets a
/// rectangle of its window. As in boxes.h patches are
///
/// in a row   8 outputs times an even number of rows of one image. Outputs beyond the image are
///            zeros, and so is what lies outside of X: both are multiplied.
/// at places  some places of 16 or more images, image next to image, for small maps: a tap meets
///            exactly the places whose pixels lie in the image.
namespace cks::kernels::hopper {

inline constexpr int kPatchWidth = 8;   // outputs
inline constexpr int kPatchBlock = 64;  // channels, input and output, of a unit
inline constexpr int kTermImages = 16;  // at places, of a product: its K
inline constexpr int kMostPlaceImages = 64;
inline constexpr int kMostWindows = 4;  // strides up to 2
inline constexpr int kMostGroupTaps = 9;
inline constexpr int kMostTapGroups = 16;

/// One residue class of X's pixels, those that a patch meets.
struct PatchWindow {
  int row_class, column_class;
  int first_row, first_column;  // of the class, where the patch's first output is 0
  int rows, columns;
  int offset;  // bytes from the start of a stage's plane
};

/// Taps that a block computes at once. Those that the kernel has too many repeat the first, or meet
/// nothing at places, and are not stored.
struct TapGroup {
  struct Tap {
    std::int32_t pitch;   // bytes from a row of the patch to the next, in the window
    std::int32_t offset;  // bytes from the start of a stage's plane, for the patch's first output
    std::int16_t tap;     // of the filter, -1: none
    std::int16_t first_row, end_row, first_column, end_column;  // outputs that meet a pixel
  } tap[kMostGroupTaps];
  std::int32_t first_unit;
};

/// A unit is 64 output channels x 64 input channels x a group of taps, of a part of the patches.
struct PatchPlan {
  int images, out_height, out_width, height, width;
  int row_stride, column_stride;
  int in_channels, out_channels, filter_taps;
  int patch_images, rows, columns;  // of a patch
  int patches_down, patches_across;
  int windows;
  PatchWindow window[kMostWindows];
  int plane_bytes, copied_bytes;  // of a stage's plane; float32 takes twice as many
  int row_units, column_units, split_k;
  int group_taps, groups, units, units_each;
  TapGroup group[kMostTapGroups];

  CKS_HOST_DEVICE UnitWalk<TapGroup> walk(int worker, int workers) const {
    return {group, groups, units, units_each, worker, workers};
  }
  CKS_HOST_DEVICE bool at_places() const { return patch_images > 1; }
  CKS_HOST_DEVICE int patches() const {
    return (images + patch_images - 1) / patch_images * patches_down * patches_across;
  }
};

struct PatchUnit {
  int oc, ic;          // the first ones
  int first, patches;  // at least one
  int slice;
};

/// Unit `index` of those of a group: output channels first, then input channels, then slices.
CKS_HOST_DEVICE inline PatchUnit unit_of(const PatchPlan& g, int index) {
  const int row = index % g.row_units, rest = index / g.row_units;
  const int column = rest % g.column_units, slice = rest / g.column_units;
  const std::int64_t patches = g.patches();
  const auto begin = static_cast<int>(patches * slice / g.split_k);
  const auto end = static_cast<int>(patches * (slice + 1) / g.split_k);
  return {row * kPatchBlock, column * kPatchBlock, begin, end - begin, slice};
}

/// The first output of a patch.
struct PatchStart {
  int image, row, column;
};
CKS_HOST_DEVICE inline PatchStart start_of(const PatchPlan& g, int patch) {
  const int line = patch / g.patches_across;
  return {line / g.patches_down * g.patch_images, line % g.patches_down * g.rows,
          (patch - line * g.patches_across) * g.columns};
}

/// Outputs of a patch that begins at `start` which meet a pixel through a tap, counted from there.
struct MetPlaces {
  int first_row, end_row, first_column, end_column;
};
CKS_HOST_DEVICE inline MetPlaces places_of(const PatchPlan& g, const TapGroup::Tap& tap,
                                           const PatchStart& start) {
  const auto from = [](int first, int begin) { return first > begin ? first - begin : 0; };
  const auto to = [](int end, int begin, int count) {
    return end - begin < count ? end - begin : count;
  };
  return {from(tap.first_row, start.row), to(tap.end_row, start.row, g.rows),
          from(tap.first_column, start.column), to(tap.end_column, start.column, g.columns)};
}

/// Images, rows and columns of outputs.
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

/// Rows of patches in a row that the kernel is compiled for, by planes; 0: none.
inline constexpr int kPatchRows[][3] = {{8, 14, 0}, {4, 8, 14}, {4, 8, 0}};

/// Stages of the ring of planes; at places and of several planes two.
constexpr int patch_stages(int plane_count, bool at_places) {
  return plane_count == 1 && !at_places ? 4 : 2;
}
/// Stages of float32 that wait to be split into planes.
constexpr int unsplit_stages(int plane_count, int rows) {
  return plane_count == 1 ? 0 : plane_count == 2 && rows < 14 ? 2 : 1;
}

/// The largest patch at places of which two stages fit; no rows if none does.
PatchExtent patch_at_places(const Conv2dProblem& problem);

/// Whether the copy engine can say it, for X and dY of so many bytes an element.
bool takes_patches(const PatchRequest& request, int element_bytes);

/// Only for what takes_patches() takes.
PatchPlan plan_patches(const PatchRequest& request);

/// Multiply-adds of its products, of one plane.
std::int64_t executed_of(const PatchPlan& plan);

}  // namespace cks::kernels::hopper
