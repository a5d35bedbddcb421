#pragma once
#include <cstddef>
#include <cstdint>

#include "cks/kernels/conv2d/plan.h"

/// Kernels for few channels and stride 1 (LeNet, first layers): a block stages a band of image rows
/// in shared memory, one plane a channel with a border of zeros left and right, and a thread slides
/// a window of registers along a row. Rows outside the image are skipped; the zeros beside it are
/// multiplied, and counted. Plain data and pure functions, for the selector too.
namespace cks::kernels::cuda {

inline constexpr int kWindowThreads = 256;
inline constexpr std::size_t kWindowSharedBytes = 48128;  // of 48 KiB; some is the kernel's own

/// How one image is staged: channel planes of `rows` rows of `pitch` columns, column s of which is
/// image column s - pad_w. Every function below needs takes_windows().
struct WindowPlanes {
  int image_h, image_w, channels;
  int pad_h, pad_w;  // negative where a border of the image is not read at all
  int rows, pitch;
  int plane;  // floats
};

/// ConvV2 and KS-deconv (window_correlation.cu), which at stride 1 is ConvV2 with a turned
/// filter: output row r, tap f reads source row r - pad_h + f.
struct WindowCorrelation {
  WindowPlanes source;
  int target_h, target_w, lanes;
  int filter_h, filter_w;
  int positions;    // of a thread, side by side in a row
  int lanes_each;   // of a thread
  int lane_groups;  // lanes / lanes_each, rounded up
  int column_groups;
  int band_rows, bands;
  int shares;  // threads that share the channels of a sum; their parts are added in order
  int threads;
  std::size_t filter_floats, shared_bytes;
};
WindowCorrelation window_correlation_shape(const Conv2dProblem& problem, Conv2dPass pass,
                                           std::int64_t positions, std::int64_t lanes);

/// Sk-dilated (window_gradient.cu): a thread owns one row of taps of one input channel for
/// some output channels.
struct WindowGradient {
  WindowPlanes source;
  int out_h, out_w, out_channels;
  int filter_h, filter_w;
  int lanes_each, lane_groups;
  int y_columns;  // of a staged row of dY: out_w rounded up to quads, zeros beyond it
  int y_pitch;    // floats of a staged pixel of dY
  int band_rows, bands;
  int shares;  // threads that share the rows of a band; their parts are added in order
  int threads;
  std::size_t shared_bytes;
};
WindowGradient window_gradient_shape(const Conv2dProblem& problem, std::int64_t lanes);

/// True if the kernel of the pass takes the problem with a register tile of tile_rows positions
/// (the filter's columns in backward_filter) x tile_lanes lanes.
bool takes_windows(const Conv2dProblem& problem, Conv2dPass pass, std::int64_t tile_rows,
                   std::int64_t tile_lanes);

/// The multiply-adds of a pass, zeros beside the image included.
std::int64_t window_multiply_adds(const Conv2dProblem& problem, Conv2dPass pass);

}  // namespace cks::kernels::cuda
