#pragma once
#include <cstdint>

#include "cks/kernels/common/host_device.h"
#include "cks/kernels/conv2d/hopper/units.h"
#include "cks/kernels/conv2d/kernel.h"

/// How Sk-dilated is laid out for the copy engine: the terms of the sums, pairs of an output and
/// the pixel that a tap meets from it, come in boxes of 64. As in boxes.h they are at a place (64
/// images: exactly the terms of the tap) or in a row (64 outputs: padding is multiplied).
namespace cks::kernels::hopper {

inline constexpr int kMostTaps = 128;
inline constexpr int kTerms = 64;  // of a box
inline constexpr int kBlock = 64;  // channels side by side in a box

/// The outputs from which a tap meets a pixel, and its place among the units.
struct GradientTap {
  std::int16_t row, column;  // of the filter
  std::int16_t first_row, rows, first_column, columns;
  std::int32_t first_unit;
};

/// A unit is some output channels x blocks of 64 columns; a column is an input channel of a tap. At
/// places its columns are of one tap; in a row they go on to the next, and all units have the same
/// terms.
struct GradientPlan {
  bool at_places;
  int images, out_height, out_width, height, width;
  int row_stride, column_stride, top, left, row_dilation, column_dilation;
  int in_channels, out_channels, filter_width, filter_taps;
  int unit_rows, unit_blocks;   // output channels and blocks of a unit
  int row_units, column_units;  // units side by side, of a tap or of all
  int split_k;                  // parts of the terms
  int taps, units, units_each;  // taps: 1 in a row, which then stands for all
  GradientTap tap[kMostTaps];

  CKS_HOST_DEVICE UnitWalk<GradientTap> walk(int worker, int workers) const {
    return {tap, taps, units, units_each, worker, workers};
  }
};

struct GradientUnit {
  int row;           // the first output channel
  int block;         // the first block of columns, of the tap or of all
  int first, terms;  // boxes of terms
  int slice;
};

/// Boxes of terms of a tap.
CKS_HOST_DEVICE inline int term_boxes(const GradientPlan& g, const GradientTap& tap) {
  const int images = (g.images + kTerms - 1) / kTerms;
  return g.at_places ? images * tap.rows * tap.columns
                     : (g.images * g.out_height * g.out_width + kTerms - 1) / kTerms;
}

/// Unit `index` of those of a tap: its channels first, then its columns, then the parts of its
/// sums.
CKS_HOST_DEVICE inline GradientUnit unit_of(const GradientPlan& g, const GradientTap& tap,
                                            int index) {
  const int row = index % g.row_units, rest = index / g.row_units;
  const int column = rest % g.column_units, slice = rest / g.column_units;
  const std::int64_t boxes = term_boxes(g, tap);
  const auto begin = static_cast<int>(boxes * slice / g.split_k);
  const auto end = static_cast<int>(boxes * (slice + 1) / g.split_k);
  return {row * g.unit_rows, column * g.unit_blocks, begin, end - begin, slice};
}

/// Steps of a unit; one without terms takes one that adds zeros.
CKS_HOST_DEVICE inline int steps_of(const GradientUnit& unit) {
  return unit.terms == 0 ? 1 : unit.terms;
}

/// The first output of a box of terms.
struct Term {
  int image, row, column;
};
CKS_HOST_DEVICE inline Term term_of(const GradientPlan& g, const GradientTap& tap, int box) {
  if (g.at_places) {
    const int places = tap.rows * tap.columns;
    const int place = box % places;
    return {box / places * kTerms, tap.first_row + place / tap.columns,
            tap.first_column + place % tap.columns};
  }
  const int at = box * kTerms, line = at / g.out_width;
  return {line / g.out_height, line % g.out_height, at - line * g.out_width};
}

/// The tap and the first input channel of a block of columns. tap >= filter_taps: there is none.
struct Column {
  int tap, channel;
};
CKS_HOST_DEVICE inline Column column_of(const GradientPlan& g, const GradientTap& tap, int block) {
  const int blocks = (g.in_channels + kBlock - 1) / kBlock;
  if (g.at_places) {
    return {block < blocks ? tap.row * g.filter_width + tap.column : g.filter_taps, block * kBlock};
  }
  return {block / blocks, block % blocks * kBlock};
}

struct GradientRequest {
  const Conv2dProblem& problem;
  Conv2dTile tile;  // output channels x columns of a unit
  bool at_places;
  std::int64_t split_k;
};

/// Whether a GradientPlan can say it.
bool fits_gradient(const GradientRequest& request);
/// Whether the copy engine can read X and dY, of so many bytes an element, and pairs of dW be
/// written.
bool copies_pixels(const Conv2dProblem& problem, int element_bytes);
/// Whether the copy engine can say it, for X and dY of so many bytes an element.
bool takes_gradient(const GradientRequest& request, int element_bytes);

/// Only for what fits_gradient() takes.
GradientPlan plan_gradient(const GradientRequest& request);

/// Multiply-adds of its products, of one plane.
std::int64_t executed_of(const GradientPlan& plan);

}  // namespace cks::kernels::hopper
