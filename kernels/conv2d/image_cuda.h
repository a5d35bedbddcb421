#pragma once
#include <cstddef>
#include <cstdint>

#include "cks/kernels/conv2d/plan.h"

/// Kernels that hold whole images (or bands of their rows) in shared memory, for the small maps and
/// few channels of first layers and LeNet. Plain data and pure functions, for the selector too.
namespace cks::kernels::cuda {

/// Threads of a block at most; a plan's tile_rows is this times what each thread owns of one kind.
inline constexpr int kImageThreads = 512;
inline constexpr std::size_t kImageSharedBytes = 48128;  // of 48 KiB; some is the kernel's own

/// ConvV2 and KS-deconv (image_correlation_cuda.cu): a block stages `images` images of the source
/// and the whole filter.
struct ImageCorrelationShape {
  int images, lanes;  // of a thread: the same position in so many images, so many lanes
  int lane_groups;    // of `lanes` each
  int pitch;          // of a staged pixel: odd, so that neighbours lie in different banks
  int source_h, source_w, target_h, target_w, channels;
  std::size_t filter_floats, source_floats;  // of one image
  std::size_t shared_bytes;
  std::int64_t items;  // positions, rounded up to warps, times lane groups
};
ImageCorrelationShape image_correlation_shape(const Conv2dProblem& problem, Conv2dPass pass,
                                              std::int64_t tile_rows, std::int64_t tile_lanes);

/// Sk-dilated (image_gradient_cuda.cu): a block stages a band of rows of dY with the rows of X that
/// its taps read, and keeps the whole filter gradient in registers.
struct ImageGradientShape {
  int taps, lanes;              // elements of a filter row and output channels that a thread owns
  int tap_groups, lane_groups;  // threads of one share of the positions
  int sharers;                  // of the rows of a band
  int band_rows, bands;         // rows of dY in a band; bands of an image
  int x_rows;                   // rows of X that a band reads
  int y_pitch;                  // of a staged pixel of dY
  std::size_t shared_bytes;
};
/// A shape without sharers if a band of one row does not fit.
ImageGradientShape image_gradient_shape(const Conv2dProblem& problem, std::int64_t tile_rows,
                                        std::int64_t tile_lanes);

/// Both need an undivided problem (one group) of 32-bit extents.
bool takes_images(const Conv2dProblem& problem, Conv2dPass pass, std::int64_t tile_rows,
                  std::int64_t tile_lanes);

}  // namespace cks::kernels::cuda
