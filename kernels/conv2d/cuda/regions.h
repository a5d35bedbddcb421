#pragma once
#include <cstdint>

#include "cks/kernels/conv2d/kernel.h"

/// ConvV2 and KS-deconv as one sum: rectangles of positions that meet the same taps. Shared by the
/// kernels that compute it; plain data, passed to them by value.
namespace cks::kernels::cuda {

inline constexpr int kMaxRuns = 16;
inline constexpr int kMaxPairs = 128;

/// A TapRun of taps.h in 32 bits; the filter tap of its tap m is filter_tap + m * filter_step.
struct Run {
  int target, target_step, count, taps;
  int filter_tap, filter_step;
  int source, source_step, tap_step;
};

/// A row run with a column run; its tiles start at first_tile.
struct Pair {
  short row, column;
  int first_tile;
};

struct Correlation {
  const float* source;
  const float* filter;
  float* target;
  TypedEpilogue<float> epilogue;
  std::int64_t source_image, source_row, source_pixel;  // elements from one to the next
  std::int64_t target_image, target_row, target_pixel;
  std::int64_t filter_target, filter_source, filter_row, filter_column, filter_group;
  int images, source_channels, target_channels, channel_tiles, pairs;
  // X and W hold the taps of a row side by side: a product may run over taps and channels at once.
  int merge_columns;
  Run rows[kMaxRuns];
  Run columns[kMaxRuns];
  Pair pair[kMaxPairs + 1];
};
static_assert(sizeof(Correlation) <= 4096, "kernel parameters of compute capability below 9");

/// True if 32 bits hold every extent and the pixels of an image.
bool has_narrow_extents(const Conv2dProblem& problem);
/// True if, beyond that, the positions fall into few enough rectangles for the kernel's parameters.
bool takes_correlation(const Conv2dProblem& problem, Conv2dPass pass);

/// A correlation, its tiles of positions x channels, and the multiply-adds of
/// its products.
struct PlannedCorrelation {
  Correlation correlation{};
  int tiles = 0;
  std::int64_t executed = 0;
};
/// pass is forward (source X, target Y) or backward_data (source dY, target dX). All but the
/// pointers.
PlannedCorrelation plan_correlation(const Conv2dProblem& problem, Conv2dPass pass,
                                    const Conv2dTile& tile);

/// The correlation of a call: source, filter, epilogue and target.
Correlation with_operands(const Correlation& planned, const Conv2dOperands& operands, bool forward);

/// True if all of it can be read and written 16 bytes at a time.
bool takes_vectors(const Conv2dProblem& problem, const Correlation& correlation);

}  // namespace cks::kernels::cuda
