#pragma once
#include <cstdint>

#include "cks/kernels/conv2d/hopper/boxes.h"

/// How ConvV2 and KS-deconv at stride 1 are laid out for few channels, whose whole filter stays in
/// shared memory: in patches of 8 x 16 positions, whose source pixels come once, with their halo;
/// through a tap the patch meets a rectangle of them. Padding is multiplied.
namespace cks::kernels::hopper {

inline constexpr int kHaloWidth = 8, kHaloHeight = 16;  // positions of a patch
inline constexpr int kHaloPositions = kHaloWidth * kHaloHeight;
inline constexpr int kHaloChannels = 64;  // at most, of source and target
inline constexpr int kHaloStages = 4;     // patches in shared memory
inline constexpr int kMostHaloTaps = 25;

struct HaloPlan {
  int images, width, height;  // of the target
  int source_width, source_height;
  int source_channels, target_channels;
  std::int64_t source_pitch, target_pitch;  // elements from one pixel to the next
  int first_column, first_row;              // of the source, where the patch's first position is 0
  int window_columns, window_rows;
  int patches_across, patches_down, patches;
  int taps;
  int products;  // of a tap, each of 16 source channels: 2 or 4
  struct Tap {
    std::int16_t tap;     // of the filter
    std::int32_t offset;  // bytes from the start of the window
  } tap[kMostHaloTaps];
  int filter_bytes, window_bytes;  // in shared memory
};

/// The first position of a patch.
struct HaloPatch {
  int image, row, column;
};
CKS_HOST_DEVICE inline HaloPatch patch_of(const HaloPlan& h, int index) {
  const int line = index / h.patches_across;
  return {line / h.patches_down, line % h.patches_down * kHaloHeight,
          (index - line * h.patches_across) * kHaloWidth};
}
/// The target's pixel that position i of a patch is, -1 if there is none.
CKS_HOST_DEVICE inline int pixel_of(const HaloPlan& h, const HaloPatch& patch, int i) {
  const int row = patch.row + i / kHaloWidth, column = patch.column + i % kHaloWidth;
  return row < h.height && column < h.width ? (patch.image * h.height + row) * h.width + column
                                            : -1;
}

/// Whether the copy engine can say it, in bf16 or fp16.
bool takes_halo(const Conv2dProblem& problem, Conv2dPass pass, Arithmetic arithmetic);

/// Only for what takes_halo() takes.
HaloPlan plan_halo(const Conv2dProblem& problem, Conv2dPass pass);

/// Multiply-adds of its products.
std::int64_t executed_of(const HaloPlan& plan);

}  // namespace cks::kernels::hopper
