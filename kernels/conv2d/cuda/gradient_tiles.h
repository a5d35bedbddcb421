#pragma once
#include "cks/kernels/conv2d/cuda/cost.h"

/// The tiles of tiled_taps.cu: output channels x input channels of one tap, or x taps and input
/// channels together.
namespace cks::kernels::cuda {

inline constexpr RatedTile kTiledTaps[] = {
    {128, 128, 8, 8, 0.66, 0.42}, {64, 64, 4, 8, 0.58, 0.20}, {32, 32, 4, 4, 0.43, 0.08}};
inline constexpr RatedTile kMergedTaps[] = {
    {64, 64, 4, 8, 0.40, 0.15}, {64, 32, 4, 4, 0.33, 0.10}, {32, 32, 4, 4, 0.28, 0.06}};

}  // namespace cks::kernels::cuda
