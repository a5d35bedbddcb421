#pragma once
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/ampere/box_copies.cuh"
#include "cks/kernels/conv2d/ampere/box_store.cuh"
#include "cks/kernels/conv2d/ampere/kernels.h"
#include "cks/kernels/conv2d/ampere/swizzle.cuh"
#include "cks/kernels/conv2d/ampere/warp.cuh"
#include "cks/kernels/conv2d/hopper/operands.h"

/// What the kernels of boxes have in common: a block computes a unit, whose pixels and filters its
/// warps copy and whose sums they store; a kernel brings how a stage is multiplied.
namespace cks::kernels::ampere {

template <class T>
struct BoxParameters {
  BoxOperands operands;
  TypedEpilogue<T> epilogue;
  T* target;
  bool is_aligned;
};

/// The block's unit: multiply(sums, stage, the warp's part, copy_next) of every step.
template <class K, class T, class Multiply>
__device__ __forceinline__ void run_unit(const BoxParameters<T>& p, Multiply&& multiply) {
  extern __shared__ __align__(128) unsigned char shared[];
  __shared__ Spot spots[K::kPositions];
  const BoxCorrelation& c = p.operands.c;
  const int index = static_cast<int>(blockIdx.x);
  const Place& place = c.place[hopper::group_of(c.place, c.places, index)];
  const BoxUnit unit = unit_of(c, index - place.first_unit);
  find_spots<K>(c, place, unit, spots);
  const WarpPart part = warp_part<K>();
  StepCopies<K> copies(p.operands, place, unit, spots);
  Sums<K> sums = {};
  run_pipeline<K>(
      steps_of(c, place), shared_address(shared), copies,
      [&](std::uint32_t stage, auto&& copy_next) { multiply(sums, stage, part, copy_next); });
  const BoxStore<T> store(p.epilogue, p.target, c.target_pitch,
                          (unit.group + 1) * c.target_channels, p.is_aligned);
  store.store(sums, spots + part.row, unit.channel + part.column);
}

template <class K, class T>
void launch_units(void (*kernel)(BoxParameters<T>), const PreparedConv2d& conv,
                  const Conv2dOperands& o, const BoxOperands& operands) {
  const bool is_aligned = K::kChunk == 16 && reinterpret_cast<std::uintptr_t>(o.result) % 16 == 0;
  cuda::launch(conv.plan.method(), kernel, static_cast<unsigned>(operands.c.units), K::kThreads,
               K::kSharedBytes,
               BoxParameters<T>{operands, TypedEpilogue<T>(o.epilogue), static_cast<T*>(o.result),
                                is_aligned});
}

}  // namespace cks::kernels::ampere
