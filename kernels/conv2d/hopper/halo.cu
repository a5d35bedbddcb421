// ConvV2 and KS-deconv in bf16 and fp16 for at most 64 channels at stride 1 (halo.h), for compute
// capability 9.0. The filter is copied once a block; then two warpgroups take patches in turn, so
// that one stores while the other multiplies. Channels of the result are rows of the product,
// positions its columns; a tap begins elsewhere in the window: where the tensor core begins to
// read.
#include <algorithm>
#include <type_traits>

#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/hopper/box_store.cuh"
#include "cks/kernels/conv2d/hopper/halo.h"
#include "cks/kernels/conv2d/hopper/kernels.h"
#include "cks/kernels/conv2d/hopper/operands.h"
#include "cks/kernels/hopper/pipeline.cuh"

namespace cks::kernels::hopper {
namespace {

constexpr int kTapBytes = kHaloChannels * kRowBytes;

template <bool kFloat16>
using Value = std::conditional_t<kFloat16, float, bfloat16>;
template <bool kFloat16>
using Factor = std::conditional_t<kFloat16, HalvesFactor, NoFactor>;
template <bool kFloat16, Ending kEnding = Ending::none>
using Store = PartStore<Value<kFloat16>, Factor<kFloat16>, kEnding>;

template <bool kFloat16>
struct Parameters {
  CUtensorMap source, filter;
  HaloPlan h;
  StoreEpilogue<Value<kFloat16>> epilogue;
  Value<kFloat16>* target;
  HalfOperands halves;  // whose exponents count
};

/// Shared memory: the filter's taps, the stages, the parts to be stored.
struct Barriers {
  Ring<kHaloStages> ring;
  std::uint64_t filter;
};

/// Thread 0 asks for windows, thread 1 for the filter.
template <bool kFloat16>
__device__ void copy(const Parameters<kFloat16>& p, unsigned char* shared, Barriers& barriers,
                     bool windows) {
  const HaloPlan& h = p.h;
  if (!windows) {
    arrive_expecting(&barriers.filter, h.taps * kTapBytes);
    for (int tap = 0; tap < h.taps; ++tap) {
      copy_box(shared + tap * kTapBytes, &p.filter, &barriers.filter, {0, h.tap[tap].tap, 0, 0});
    }
    return;
  }
  RingPosition<kHaloStages> at(1);
  for (int i = static_cast<int>(blockIdx.x); i < h.patches; i += static_cast<int>(gridDim.x)) {
    const HaloPatch patch = patch_of(h, i);
    wait(&barriers.ring.empty[at.stage], at.parity);
    std::uint64_t* const full = &barriers.ring.full[at.stage];
    arrive_expecting(full, h.window_rows * h.window_columns * kRowBytes);
    copy_box(shared + h.filter_bytes + at.stage * h.window_bytes, &p.source, full,
             {0, patch.column + h.first_column, patch.row + h.first_row, patch.image});
    at.advance();
  }
}

/// kProducts: of 16 source channels each; what lies behind are zeros.
template <bool kFloat16, bool kTransposed, int kProducts>
__device__ __forceinline__ void multiply_tap(float* sums, std::uint64_t filter,
                                             std::uint64_t window, bool adds) {
#pragma unroll
  for (int k = 0; k < kProducts; ++k) {
    multiply_narrow<kHaloPositions, kTransposed, false, kFloat16>(
        sums, moved(filter, k * (kTransposed ? kNextTransposedK : kNextK)),
        moved(window, k * kNextK), adds || k > 0);
  }
}

/// A warpgroup: every second patch of the block.
template <bool kFloat16, bool kTransposed, int kProducts, Ending kEnding>
__device__ void multiply(const Parameters<kFloat16>& p, unsigned char* shared, Barriers& barriers,
                         int group, int* pixels) {
  const HaloPlan& h = p.h;
  const int thread = static_cast<int>(threadIdx.x) % 128;
  unsigned char* const parts = shared + h.filter_bytes + kHaloStages * h.window_bytes;
  const Store<kFloat16, kEnding> part{p.epilogue,
                                      p.target,
                                      h.target_pitch,
                                      h.target_channels,
                                      parts + group * Store<kFloat16>::kBytes,
                                      pixels,
                                      1 + group,
                                      thread,
                                      p.halves};
  const auto rows = part.rows_of(0);
  const std::uint32_t base = shared_address(shared);
  const std::uint64_t first_filter = operand(base, 1024, kTransposed ? kTapBytes : 16);
  const auto pitch = static_cast<std::uint32_t>(h.window_columns * kRowBytes);
  RingPosition<kHaloStages> at(0);
  wait(&barriers.filter, 0);
  float sums[kHaloPositions / 2];
  ChunkSums<Value<kFloat16>, double> stored;  // of many patches
  const auto blocks = static_cast<int>(gridDim.x);
  if (group == 1) {
    at.advance();
  }
  for (int i = static_cast<int>(blockIdx.x) + group * blocks; i < h.patches; i += 2 * blocks) {
    const HaloPatch patch = patch_of(h, i);
    part.sync();  // all have stored the patch before
    pixels[thread] = pixel_of(h, patch, thread);
    part.prefetch(kHaloPositions, 0);
    const std::uint64_t window = operand(
        base + static_cast<std::uint32_t>(h.filter_bytes + at.stage * h.window_bytes), pitch);
    std::uint64_t filter = first_filter;
    wait(&barriers.ring.full[at.stage], at.parity);
    for (int tap = 0; tap < h.taps; ++tap) {
      fence_sums();
      multiply_tap<kFloat16, kTransposed, kProducts>(
          sums, filter, moved(window, static_cast<std::uint32_t>(h.tap[tap].offset)), tap > 0);
      commit_products();
      filter = moved(filter, kTapBytes);
      wait_for_products<2>();
    }
    wait_for_products<0>();
    if (thread == 0) {
      arrive(&barriers.ring.empty[at.stage]);
    }
    ChunkSums<Value<kFloat16>> of_patch;
    part.store(sums, 0, 0, rows, of_patch);
    part.store(sums + kPart / 2, kPart, 0, rows, of_patch);
    stored.add(of_patch);
    at.advance();
    at.advance();
  }
  part.leave(stored, static_cast<int>(blockIdx.x) * 2 + group, 0);
}

template <bool kFloat16, bool kTransposed, int kProducts, Ending kEnding>
__global__ void __launch_bounds__(kPipelineThreads, 1)
    halo_kernel(const __grid_constant__ Parameters<kFloat16> p) {
  cuda::begin_kernel();
  extern __shared__ unsigned char raw[];
  __shared__ Barriers barriers;
  __shared__ int pixels[2][kHaloPositions];
  if (threadIdx.x == 0) {
    init_barrier(&barriers.filter, 1);  // published with the ring's
  }
  unsigned char* const shared = begin_pipeline(raw, barriers.ring, 1);
  run_pipeline<40, 232>([&](int which) { copy(p, shared, barriers, which == 0); },
                        [&](int group) {
                          multiply<kFloat16, kTransposed, kProducts, kEnding>(p, shared, barriers,
                                                                              group, pixels[group]);
                        });
}

static_assert(kHaloPositions == 128, "a thread of a warpgroup for each position");

int workers_of(const HaloPlan& h) { return std::min(h.patches, multiprocessor_count()); }

template <bool kFloat16, int kProducts>
auto* kernel_of(bool forward, const Epilogue& e) {
  if (forward) {
    return e.channel_sums == nullptr ? halo_kernel<kFloat16, false, kProducts, Ending::none>
                                     : halo_kernel<kFloat16, false, kProducts, Ending::sums>;
  }
  return e.mask == nullptr ? halo_kernel<kFloat16, true, kProducts, Ending::none>
                           : halo_kernel<kFloat16, true, kProducts, Ending::mask>;
}

template <bool kFloat16>
void launch_halo(const PreparedConv2d& conv, const Conv2dOperands& o) {
  constexpr Element kElement = kFloat16 ? Element::fp16 : Element::bf16;
  const bool forward = conv.plan.pass == Conv2dPass::forward;
  const char* const operation = forward ? "convv2" : "ks_deconv";
  Parameters<kFloat16> p;
  p.h = conv.data<HaloPlan>();
  const void* source = forward ? o.x : o.y;
  const void* filter = o.w;
  if constexpr (kFloat16) {
    p.halves = half_operands(operation, conv, o, 0);
    source = half_elements(p.halves.first);
    filter = half_elements(p.halves.second);
    p.h.source_pitch = p.h.source_channels;
  }
  const HaloPlan& h = p.h;
  p.epilogue = StoreEpilogue<Value<kFloat16>>(o.epilogue);
  p.target = static_cast<Value<kFloat16>*>(o.result);
  const std::int64_t line = h.source_pitch * h.source_width;
  p.source = box_map(operation,
                     {kElement,
                      source,
                      {h.source_channels, h.source_width, h.source_height, h.images},
                      {h.source_pitch, line, line * h.source_height}},
                     {h.window_columns, h.window_rows, 1});
  p.filter = filter_map(operation, conv.problem, kElement, filter, 1, /*lies_transposed=*/false,
                        kHaloChannels);
  const auto workers = static_cast<unsigned>(workers_of(h));
  const int bytes =
      1024 + h.filter_bytes + kHaloStages * h.window_bytes + 2 * Store<kFloat16>::kBytes;
  const auto kernel = h.products == 2 ? kernel_of<kFloat16, 2>(forward, o.epilogue)
                                      : kernel_of<kFloat16, 4>(forward, o.epilogue);
  cuda::launch(operation, kernel, workers, kPipelineThreads, bytes, p);
}

}  // namespace

std::int64_t run_halo(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  conv.plan.arithmetic == Arithmetic::fp16 ? launch_halo<true>(conv, operands)
                                           : launch_halo<false>(conv, operands);
  return executed_of(conv.data<HaloPlan>());
}

std::int64_t halo_sum_rows(const PreparedConv2d& conv) {
  return 2 * std::int64_t{workers_of(conv.data<HaloPlan>())};
}

}  // namespace cks::kernels::hopper
