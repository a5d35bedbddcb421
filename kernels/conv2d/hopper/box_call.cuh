#pragma once
#include "cks/kernels/conv2d/hopper/box_store.cuh"
#include "cks/kernels/conv2d/hopper/operands.h"
#include "cks/kernels/hopper/wgmma.cuh"

/// What kernels over boxes of pixels (boxes.h) are called with, and a step of their products. K is
/// a tile: kElement of the operands (kNarrow: of 16 bits), kTransposed if the filter is read with
/// its rows as the sums' terms, kChannels of a block, kColumns of a warpgroup's product.
namespace cks::kernels::hopper {

template <class T>
struct BoxParameters {
  BoxMaps maps;
  BoxCorrelation c;
  StoreEpilogue<T> epilogue;
  T* target;
  HalfOperands halves;  // whose exponents count
};

inline const char* operation_of(const PreparedConv2d& conv) {
  return conv.plan.pass == Conv2dPass::forward ? "convv2" : "ks_deconv";
}

/// Makes what the call needs of its operands, too: halves, or the filter transposed.
template <class K>
BoxParameters<typename K::Value> box_parameters(const PreparedConv2d& conv,
                                                const Conv2dOperands& o) {
  using T = typename K::Value;
  const bool forward = conv.plan.pass == Conv2dPass::forward;
  const char* const operation = operation_of(conv);
  BoxParameters<T> p;
  p.c = conv.data<PlannedBoxes>().correlation;
  p.epilogue = StoreEpilogue<T>(o.epilogue);
  p.target = static_cast<T*>(o.result);
  const void* source = forward ? o.x : o.y;
  const void* filter = o.w;
  if constexpr (K::kElement == Element::fp16) {
    p.halves = half_operands(operation, conv, o, 0);
    source = half_elements(p.halves.first);
    filter = half_elements(p.halves.second);
    p.c.source_pitch = std::int64_t{p.c.source_channels} * p.c.groups;
  } else if (!forward && !K::kTransposed) {
    transpose_filter(operation, conv.problem, static_cast<const float*>(o.w),
                     static_cast<float*>(o.workspace));
    filter = o.workspace;
  }
  fill_source_maps(operation, p.c, K::kElement, source, p.maps);
  p.maps.filter = filter_map(operation, conv.problem, K::kElement, filter, 1,
                             !forward && !K::kTransposed, K::kTransposed ? 64 : K::kChannels);
  return p;
}

/// One step: 128 bytes of source channels.
template <class K>
__device__ __forceinline__ void multiply_step(float* sums, std::uint32_t filter,
                                              std::uint32_t pixels, bool adds) {
  constexpr std::uint32_t kNextLeft = K::kTransposed ? kNextTransposedK : kNextK;
  const std::uint64_t left = operand(filter, 1024, K::kTransposed ? 64 * kRowBytes : 16);
  const std::uint64_t right = operand(pixels);
#pragma unroll
  for (int k = 0; k < kRowBytes / static_cast<int>(kNextK); ++k) {
    const std::uint64_t a = moved(left, k * kNextLeft), b = moved(right, k * kNextK);
    if constexpr (K::kNarrow) {
      multiply_narrow<K::kColumns, K::kTransposed, false, K::kElement == Element::fp16>(
          sums, a, b, adds || k > 0);
    } else {
      multiply_tf32<K::kColumns>(sums, a, b, adds || k > 0);
    }
  }
}

}  // namespace cks::kernels::hopper
