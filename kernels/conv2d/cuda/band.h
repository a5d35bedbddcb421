#pragma once
#include <cstddef>
#include <cstdint>

#include "cks/kernels/conv2d/cuda/cost.h"

/// Kernels for few channels and stride 1 (LeNet, first layers): a block stages a band of image rows
/// in shared memory, one plane a channel with a border of zeros left and right, and a thread slides
/// registers along a row. Rows outside the image are skipped; the zeros beside it are
/// multiplied, and counted. Plain data and pure functions, for the selector too.
namespace cks::kernels::cuda {

/// Tiles of band.cu: positions of a thread, side by side in a row, x channels.
inline constexpr RatedTile kBand[] = {{{2, 4}, 2, 4, 0.26, 0.13},  {{2, 6}, 2, 6, 0.25, 0.09},
                                      {{2, 8}, 2, 8, 0.30, 0.135}, {{4, 4}, 4, 4, 0.33, 0.175},
                                      {{4, 6}, 4, 6, 0.29, 0.15},  {{4, 8}, 4, 8, 0.27, 0.17}};
/// Tiles of band_taps.cu: columns of the filter x output channels of a thread.
inline constexpr RatedTile kBandTaps[] = {{{3, 4}, 3, 4, 0.26, 0.12},
                                          {{3, 8}, 3, 8, 0.25, 0.12},
                                          {{5, 4}, 5, 4, 0.28, 0.15},
                                          {{5, 6}, 5, 6, 0.25, 0.12},
                                          {{5, 8}, 5, 8, 0.28, 0.15}};

inline constexpr int kBandThreads = 256;
inline constexpr std::size_t kBandSharedBytes = 48128;  // of 48 KiB; some is the kernel's own

/// How one image is staged: channel planes of `rows` rows of `pitch` columns, column s of which is
/// image column s - pad_w. Every function below needs takes_bands().
struct BandPlanes {
  int image_h, image_w, channels;
  int pad_h, pad_w;  // negative where a border of the image is not read at all
  int rows, pitch;
  int plane;  // floats
};

/// ConvV2 and KS-deconv (band.cu), which at stride 1 is ConvV2 with a turned
/// filter: output row r, tap f reads source row r - pad_h + f.
struct BandShape {
  BandPlanes source;
  int target_h, target_w, target_channels;
  int filter_h, filter_w;
  int positions;       // of a thread, side by side in a row
  int channels_each;   // of a thread
  int channel_groups;  // target_channels / channels_each, rounded up
  int column_groups;
  int band_rows, bands;
  int shares;  // threads that share the channels of a sum; their parts are added in order
  int threads;
  std::size_t filter_floats, shared_bytes;
};
BandShape band_shape(const Conv2dProblem& problem, Conv2dPass pass, const Conv2dTile& tile);

/// Sk-dilated (band_taps.cu): a thread owns one row of taps of one input channel for
/// some output channels.
struct BandTapsShape {
  BandPlanes source;
  int out_h, out_w, out_channels;
  int filter_h, filter_w;
  int channels_each, channel_groups;
  int y_columns;  // of a staged row of dY: out_w rounded up to quads, zeros beyond it
  int y_pitch;    // floats of a staged pixel of dY
  int band_rows, bands;
  int shares;  // threads that share the rows of a band; their parts are added in order
  int threads;
  std::size_t shared_bytes;
};
BandTapsShape band_taps_shape(const Conv2dProblem& problem, const Conv2dTile& tile);

/// True if the kernel of the pass takes the problem with a tile of its list.
bool takes_bands(const Conv2dProblem& problem, Conv2dPass pass, const Conv2dTile& tile);

/// The multiply-adds of a pass, zeros beside the image included.
std::int64_t band_multiply_adds(const Conv2dProblem& problem, Conv2dPass pass);

}  // namespace cks::kernels::cuda
