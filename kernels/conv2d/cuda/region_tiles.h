#pragma once
#include "cks/kernels/conv2d/cuda/cost.h"
#include "cks/kernels/conv2d/cuda/regions.h"

/// The tiles of tiled.cu and thin.cu: positions x channels of the
/// result.
namespace cks::kernels::cuda {

inline constexpr RatedTile kTiled[] = {{128, 128, 8, 8, 0.74, 0.45},
                                       {128, 64, 8, 8, 0.70, 0.30},
                                       {64, 64, 4, 8, 0.62, 0.22},
                                       {32, 32, 4, 4, 0.47, 0.09}};

inline constexpr int kThinThreads = 128;
inline constexpr RatedTile kThin[] = {{128, 4, 1, 4, 0.10, 0.010},
                                      {128, 8, 1, 8, 0.15, 0.015},
                                      {256, 8, 2, 8, 0.17, 0.025},
                                      {256, 16, 2, 16, 0.20, 0.035},
                                      {256, 32, 2, 32, 0.22, 0.045}};

/// Shared memory that the sub-filter of a thin tile may fill, and what it needs.
inline constexpr std::size_t kThinSharedBytes = 48128;  // of 48 KiB; some is the kernel's own
std::size_t thin_shared_bytes(const Conv2dProblem& problem, Conv2dPass pass,
                              const Conv2dTile& tile);

}  // namespace cks::kernels::cuda
