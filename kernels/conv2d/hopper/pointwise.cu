// ConvV2 and KS-deconv with filters of one pixel and few source channels in bf16 and tf32, for
// compute capability 9.0: products so short that memory is what they wait for. The filter rows of
// a block are copied once and stay in shared memory; then two warpgroups take units in turn, so
// that one stores while the other multiplies and the copy engine brings what comes next.
#include <algorithm>
#include <type_traits>
#include <utility>

#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/hopper/box_call.cuh"
#include "cks/kernels/conv2d/hopper/kernels.h"
#include "cks/kernels/hopper/pipeline.cuh"

namespace cks::kernels::hopper {
namespace {

/// 128 channels by 128 positions a unit. kSteps: the most that a unit takes.
template <Element kOperand, int kSteps, bool kIsTransposed, Ending kEnding>
struct Tile {
  using Value = std::conditional_t<kOperand == Element::bf16, bfloat16, float>;
  using Store = PartStore<Value, NoFactor, kEnding>;
  static constexpr Element kElement = kOperand;
  static constexpr bool kNarrow = bytes_of(kElement) == 2;
  static constexpr bool kTransposed = kIsTransposed;
  static constexpr int kHalves = 2;
  static constexpr int kChannels = 64 * kHalves;
  static constexpr int kBox = 64;
  static constexpr int kColumns = 2 * kBox;
  static constexpr int kBoxBytes = kBox * kRowBytes;
  static constexpr int kStageBytes = 2 * kBoxBytes;
  static constexpr int kStepBytes = kChannels * kRowBytes;  // of the filter
  static constexpr int kFilterBytes = kSteps * kStepBytes;
  static constexpr int kOtherBytes = 1024 + kFilterBytes + 2 * Store::kBytes;
  static constexpr int kMostBytes = 227 * 1024 - 1280;  // less what is not asked for
  static constexpr int kStages = std::min(8, (kMostBytes - kOtherBytes) / kStageBytes);
  static constexpr int kSharedBytes = kOtherBytes + kStages * kStageBytes;
  static_assert(kStages >= 4 && kBoxBytes % 1024 == 0);
};

/// turn: of each warpgroup, when the other has multiplied. One at a time does, so that it finds
/// the stages in the phases that it counts.
template <int kStages>
struct Barriers {
  Ring<kStages> ring;
  std::uint64_t filter, turn[2];
};

/// What a block computes: every unit has the same channels.
struct Share {
  int pair, pairs, stride;  // of boxes: the first, how many there are, by how much they go on
  int channel, steps;       // of every unit
};
__device__ __forceinline__ Share share_of(const BoxCorrelation& c) {
  const auto block = static_cast<int>(blockIdx.x), blocks = static_cast<int>(gridDim.x);
  return {block / c.channel_units, c.units / c.channel_units, blocks / c.channel_units,
          block % c.channel_units * c.unit_channels, steps_of(c, c.place[0])};
}

/// Thread 0 asks for pixels, thread 1 for the filter.
template <class K, class T>
__device__ void copy(const BoxParameters<T>& p, unsigned char* shared,
                     Barriers<K::kStages>& barriers, const Share& share, bool copies_pixels) {
  const Place& place = p.c.place[0];
  if (!copies_pixels) {
    unsigned char* to = shared;
    arrive_expecting(&barriers.filter, share.steps * K::kStepBytes);
    each_step(p.c, p.maps, place, 0, share.channel, [&](const BoxStep& step) {
      copy_filter<K::kChannels, K::kTransposed>(p.c, &p.maps.filter, step, share.channel, 0, to,
                                                &barriers.filter);
      to += K::kStepBytes;
    });
    return;
  }
  unsigned char* const stages = shared + K::kFilterBytes;
  RingPosition<K::kStages> at(1);
  for (int pair = share.pair; pair < share.pairs; pair += share.stride) {
    each_step(p.c, p.maps, place, pair * K::kColumns, share.channel, [&](const BoxStep& step) {
      wait(&barriers.ring.empty[at.stage], at.parity);
      std::uint64_t* const full = &barriers.ring.full[at.stage];
      arrive_expecting(full, K::kStageBytes);
#pragma unroll
      for (int box = 0; box < 2; ++box) {
        copy_pixels<false>(p.c, step, box, 0,
                           stages + at.stage * K::kStageBytes + box * K::kBoxBytes, full);
      }
      at.advance();
    });
  }
}

/// A warpgroup: every second unit of the block.
template <class K, class T>
__device__ void multiply(const BoxParameters<T>& p, unsigned char* shared,
                         Barriers<K::kStages>& barriers, const Share& share, int group,
                         int* pixels) {
  const int thread = static_cast<int>(threadIdx.x) % 128;
  unsigned char* const parts = shared + K::kFilterBytes + K::kStages * K::kStageBytes;
  using Store = typename K::Store;
  const Store part{p.epilogue,
                   p.target,
                   p.c.target_pitch,
                   p.c.target_channels,
                   parts + group * Store::kBytes,
                   pixels,
                   1 + group,
                   thread,
                   p.halves};
  const typename Store::Rows rows[K::kHalves] = {part.rows_of(share.channel),
                                                 part.rows_of(share.channel + 64)};
  const std::uint32_t filter = shared_address(shared);
  const std::uint32_t stages = filter + K::kFilterBytes;
  RingPosition<K::kStages> at(0);
  const auto pass_unit = [&] {  // the other warpgroup's
    for (int step = 0; step < share.steps; ++step) {
      at.advance();
    }
  };
  if (group == 1) {
    pass_unit();
  }
  const auto release = [&](int stage) {
    if (thread == 0) {
      arrive(&barriers.ring.empty[stage]);
    }
  };
  float sums[K::kHalves][K::kColumns / 2];
  int turn = 1 - group;  // the first is group 0's at once
  wait(&barriers.filter, 0);
  for (int pair = share.pair + group * share.stride; pair < share.pairs; pair += 2 * share.stride) {
    part.sync();  // all have stored the unit before
    find_pixels(p.c, p.c.place[0], pair * K::kColumns, K::kColumns, thread, pixels);
    part.prefetch(K::kColumns, share.channel);
    part.prefetch(K::kColumns, share.channel + 64);
    std::uint32_t of_step = filter;
    const auto issue = [&](int stage, bool adds) {
      fence_sums();
#pragma unroll
      for (int half = 0; half < K::kHalves; ++half) {
        multiply_step<K>(sums[half], of_step + half * 64 * kRowBytes,
                         stages + stage * K::kStageBytes, adds);
      }
      of_step += K::kStepBytes;
    };
    wait(&barriers.turn[group], turn);
    turn ^= 1;
    multiply_steps(barriers.ring, at, share.steps, issue, release);
    if (thread == 0) {
      arrive(&barriers.turn[1 - group]);
    }
    // Loops would not be unrolled, and sums be moved to memory.
    [&]<int... half>(std::integer_sequence<int, half...>) {
      (
          [&] {
            ChunkSums<T> stored;
            const int channel = share.channel + half * 64;
            part.store(sums[half], 0, channel, rows[half], stored);
            part.store(sums[half] + kPart / 2, kPart, channel, rows[half], stored);
            part.leave(stored, pair, channel);
          }(),
          ...);
    }
    (std::make_integer_sequence<int, K::kHalves>{});
    pass_unit();
  }
}

template <class K>
__global__ void __launch_bounds__(kPipelineThreads, 1)
    pointwise_kernel(const __grid_constant__ BoxParameters<typename K::Value> p) {
  cuda::begin_kernel();
  extern __shared__ unsigned char raw[];
  __shared__ Barriers<K::kStages> barriers;
  __shared__ int pixels[2][K::kColumns];
  if (threadIdx.x == 0) {  // published with the ring's
    init_barrier(&barriers.filter, 1);
    init_barrier(&barriers.turn[0], 1);
    init_barrier(&barriers.turn[1], 1);
  }
  unsigned char* const shared = begin_pipeline(raw, barriers.ring, 1);
  const Share share = share_of(p.c);
  run_pipeline<40, 232>(
      [&](int which) { copy<K>(p, shared, barriers, share, which == 0); },
      [&](int group) { multiply<K>(p, shared, barriers, share, group, pixels[group]); });
}

template <class K>
void launch_tile(const PreparedConv2d& conv, const Conv2dOperands& o) {
  const auto p = box_parameters<K>(conv, o);
  const int side_by_side = p.c.channel_units;
  const int blocks = std::min(p.c.units, multiprocessor_count()) / side_by_side;
  cuda::launch(operation_of(conv), pointwise_kernel<K>,
               static_cast<unsigned>(std::max(blocks, 1) * side_by_side), kPipelineThreads,
               K::kSharedBytes, p);
}

template <Element kElement, bool kTransposed, Ending kEnding = Ending::none>
void launch_pointwise(const PreparedConv2d& conv, const Conv2dOperands& o) {
  const BoxCorrelation& c = conv.data<PlannedBoxes>().correlation;
  constexpr int kFew = kPointwiseSteps / 2;
  steps_of(c, c.place[0]) <= kFew
      ? launch_tile<Tile<kElement, kFew, kTransposed, kEnding>>(conv, o)
      : launch_tile<Tile<kElement, kPointwiseSteps, kTransposed, kEnding>>(conv, o);
}

}  // namespace

std::int64_t run_pointwise(const PreparedConv2d& conv, const Conv2dOperands& o) {
  if (conv.plan.arithmetic == Arithmetic::tf32) {
    launch_pointwise<Element::tf32, false>(conv, o);
  } else if (conv.plan.pass == Conv2dPass::forward) {
    o.epilogue.channel_sums == nullptr
        ? launch_pointwise<Element::bf16, false>(conv, o)
        : launch_pointwise<Element::bf16, false, Ending::sums>(conv, o);
  } else {
    o.epilogue.mask == nullptr ? launch_pointwise<Element::bf16, true>(conv, o)
                               : launch_pointwise<Element::bf16, true, Ending::mask>(conv, o);
  }
  return conv.data<PlannedBoxes>().executed;
}

}  // namespace cks::kernels::hopper
