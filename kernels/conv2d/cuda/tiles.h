#pragma once
#include "cks/kernels/conv2d/cuda/cost.h"
#include "cks/kernels/conv2d/cuda/regions.h"

namespace cks::kernels::cuda {

/// The tiles of tiled.cu and thin.cu: positions x channels of the result.
inline constexpr RatedTile kTiled[] = {{{128, 128}, 8, 8, 0.74, 0.45},
                                       {{128, 64}, 8, 8, 0.70, 0.30},
                                       {{64, 64}, 4, 8, 0.62, 0.22},
                                       {{32, 32}, 4, 4, 0.47, 0.09}};

inline constexpr int kThinThreads = 128;
inline constexpr RatedTile kThin[] = {{{128, 4}, 1, 4, 0.10, 0.010},
                                      {{128, 8}, 1, 8, 0.15, 0.015},
                                      {{256, 8}, 2, 8, 0.17, 0.025},
                                      {{256, 16}, 2, 16, 0.20, 0.035},
                                      {{256, 32}, 2, 32, 0.22, 0.045}};

/// Shared memory that the sub-filter of a thin tile may fill, and what it needs.
inline constexpr std::size_t kThinSharedBytes = 48128;  // of 48 KiB; some is the kernel's own
std::size_t thin_shared_bytes(const Conv2dProblem& problem, Conv2dPass pass,
                              const Conv2dTile& tile);

/// The tiles of tiled_taps.cu: output channels x input channels of one tap, or x taps and input
/// channels together.
inline constexpr RatedTile kTiledTaps[] = {
    {{128, 128}, 8, 8, 0.66, 0.42}, {{64, 64}, 4, 8, 0.58, 0.20}, {{32, 32}, 4, 4, 0.43, 0.08}};
inline constexpr RatedTile kMergedTaps[] = {
    {{64, 64}, 4, 8, 0.40, 0.15}, {{64, 32}, 4, 4, 0.33, 0.10}, {{32, 32}, 4, 4, 0.28, 0.06}};

}  // namespace cks::kernels::cuda
