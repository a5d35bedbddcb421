// ConvV2 and KS-deconv in bf16, fp16 and tf32 for compute capability 9.0: the copy engine brings
// boxes of pixels and rows of filters (boxes.h), the tensor cores multiply them. Channels of the
// result are rows of the product, positions its columns.
//
// A block has a warpgroup of which one thread asks for copies, and two that multiply. They meet at
// a ring of stages in shared memory; a stage holds one step: two boxes and the filter rows of a
// tap, 128 bytes of source channels each.
#include <algorithm>
#include <type_traits>
#include <utility>

#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/hopper/box_call.cuh"
#include "cks/kernels/conv2d/hopper/kernels.h"
#include "cks/kernels/hopper/pipeline.cuh"

namespace cks::kernels::hopper {
namespace {

/// kHalves 2: 128 channels, each warpgroup 64 of them and both boxes; 1: 64 channels, each
/// warpgroup one box. kBlocks 2: a cluster shares its boxes of pixels, each block has channels of
/// its own. kStageCount: where results are bfloat16; float32 takes room of one. kTransposed: the
/// filter is read with its rows as the sums' terms (KS-deconv of 16-bit operands).
template <Element kOperand, int kHalves, int kBox, int kStageCount, int kBlockCount,
          bool kIsTransposed, Ending kEnding>
struct Tile {
  using Value = std::conditional_t<kOperand == Element::bf16, bfloat16, float>;
  using Factor = std::conditional_t<kOperand == Element::fp16, HalvesFactor, NoFactor>;
  using Store = PartStore<Value, Factor, kEnding>;
  static constexpr Element kElement = kOperand;
  static constexpr bool kNarrow = bytes_of(kElement) == 2;
  static constexpr int kStages = kOperand == Element::bf16 ? kStageCount : kStageCount - 1;
  static constexpr int kBlocks = kBlockCount;
  static constexpr bool kTransposed = kIsTransposed;
  static constexpr bool kOneBox = kHalves == 1;  // of a warpgroup
  static constexpr int kChannels = 64 * kHalves;
  static constexpr int kPositions = 2 * kBox;
  static constexpr int kColumns = kOneBox ? kBox : kPositions;  // of a warpgroup's product
  static constexpr int kBoxBytes = kBox * kRowBytes;
  static constexpr int kFilterBytes = kChannels * kRowBytes;
  static constexpr int kStageBytes = 2 * kBoxBytes + kFilterBytes;
  static constexpr int kSharedBytes = 1024 + kStages * kStageBytes + 2 * Store::kBytes;
  static_assert(kSharedBytes + 2304 <= 227 * 1024 && kBoxBytes % 1024 == 0);
  static_assert(kNarrow || !kTransposed, "tf32 operands are K-major");
};

/// The threads that ask for the copies of a block: one for boxes, one for filters. Of a cluster
/// each block brings one box to both.
template <class K, class T>
__device__ void copy_units(const BoxParameters<T>& p, unsigned char* shared, Ring<K::kStages>& ring,
                           UnitWalk<Place> walk, int rank, bool copies_pixels) {
  RingPosition<K::kStages> at(1);
  while (walk.next()) {
    const BoxUnit unit = unit_of(p.c, walk.index());
    const int channel = unit.channel + rank * K::kChannels;
    each_step(p.c, p.maps, walk.group(), unit.first, channel, [&](const BoxStep& step) {
      wait(&ring.empty[at.stage], at.parity);
      unsigned char* const stage = shared + at.stage * K::kStageBytes;
      std::uint64_t* const barrier = &ring.full[at.stage];
      if (copies_pixels) {
        arrive_expecting(barrier, K::kStageBytes);
#pragma unroll
        for (int box = 0; box < 2; ++box) {
          if (K::kBlocks == 1 || box == rank) {
            copy_pixels<K::kBlocks == 2>(p.c, step, box, 0, stage + box * K::kBoxBytes, barrier);
          }
        }
      } else {
        copy_filter<K::kChannels, K::kTransposed>(p.c, &p.maps.filter, step, channel, 0,
                                                  stage + 2 * K::kBoxBytes, barrier);
      }
      at.advance();
    });
  }
}

/// A warpgroup that multiplies: its products of every unit, then what it stores of them.
template <class K, class T>
__device__ void multiply_units(const BoxParameters<T>& p, unsigned char* shared,
                               Ring<K::kStages>& ring, UnitWalk<Place> walk, int rank, int group,
                               int* pixels_of_sums) {
  const int thread = static_cast<int>(threadIdx.x) % 128;
  const int lane = thread % 32, warp = thread / 32;
  const auto release = [&](int stage) {
    if constexpr (K::kBlocks == 2) {
      if (lane == 0 && warp < 2) {
        arrive_at(&ring.empty[stage], warp);  // both blocks wrote into both blocks' stages
      }
    } else if (thread == 0) {
      arrive(&ring.empty[stage]);
    }
  };
  unsigned char* const parts = shared + K::kStages * K::kStageBytes;
  using Store = typename K::Store;
  const Store part{p.epilogue,
                   p.target,
                   p.c.target_pitch,
                   p.c.target_channels * p.c.groups,
                   parts + group * Store::kBytes,
                   pixels_of_sums,
                   1 + group,
                   thread,
                   p.halves};
  const std::uint32_t base = shared_address(shared);
  const std::uint32_t pixels = base + (K::kOneBox ? group * K::kBoxBytes : 0);
  const std::uint32_t filter = base + 2 * K::kBoxBytes + (K::kOneBox ? 0 : group * 64 * kRowBytes);
  RingPosition<K::kStages> at(0);
  float sums[K::kColumns / 2];
  while (walk.next()) {
    const BoxUnit unit = unit_of(p.c, walk.index());
    part.sync();  // all have stored the unit before
    find_pixels(p.c, walk.group(), unit.first + (K::kOneBox ? group * K::kColumns : 0), K::kColumns,
                thread, pixels_of_sums);
    const int channel = unit.channel + rank * K::kChannels + (K::kOneBox ? 0 : group * 64);
    part.prefetch(K::kColumns, channel);
    const auto issue = [&](int stage, bool adds) {
      fence_sums();
      multiply_step<K>(sums, filter + stage * K::kStageBytes, pixels + stage * K::kStageBytes,
                       adds);
    };
    multiply_steps(ring, at, steps_of(p.c, walk.group()), issue, release);
    const auto rows = part.rows_of(channel);
    // A loop would not be unrolled, and sums be moved to memory.
    ChunkSums<T> stored;
    [&]<int... j>(std::integer_sequence<int, j...>) {
      (part.store(sums + j * (kPart / 2), j * kPart, channel, rows, stored), ...);
    }
    (std::make_integer_sequence<int, K::kColumns / kPart>{});
    const int row = (walk.group().first_unit + walk.index()) / p.c.channel_units;
    part.leave(stored, K::kOneBox ? row * 2 + group : row, channel);
  }
}

template <class K>
__global__ void __launch_bounds__(kPipelineThreads, 1)
    box_kernel(const __grid_constant__ BoxParameters<typename K::Value> p) {
  cuda::begin_kernel();
  extern __shared__ unsigned char raw[];
  __shared__ Ring<K::kStages> ring;
  __shared__ int pixels[2][K::kColumns];
  if (threadIdx.x == 0) {
    prefetch_map(&p.maps.source[0]);
    prefetch_map(&p.maps.filter);
  }
  unsigned char* const shared = begin_pipeline(raw, ring, 2 * K::kBlocks);
  int rank = 0;
  if constexpr (K::kBlocks == 2) {
    sync_cluster();  // the other block's barriers exist before anything is sent to them
    rank = cluster_rank();
  }
  const auto walk =
      p.c.walk(static_cast<int>(blockIdx.x) / K::kBlocks, static_cast<int>(gridDim.x) / K::kBlocks);
  run_pipeline<40, 232>(
      [&](int which) { copy_units<K>(p, shared, ring, walk, rank, which == 0); },
      [&](int group) { multiply_units<K>(p, shared, ring, walk, rank, group, pixels[group]); });
  __syncwarp();
  if constexpr (K::kBlocks == 2) {
    sync_cluster();  // no block leaves while the other may still signal it
  }
}

template <class K>
void launch_tile(const PreparedConv2d& conv, const Conv2dOperands& o) {
  const auto p = box_parameters<K>(conv, o);
  const int workers = std::min(p.c.units, multiprocessor_count() / K::kBlocks);
  cuda::launch(operation_of(conv), box_kernel<K>, static_cast<unsigned>(workers * K::kBlocks),
               kPipelineThreads, {K::kSharedBytes, dim3(K::kBlocks)}, p);
}

template <Element kElement, bool kTransposed, Ending kEnding = Ending::none>
void launch_box(const PreparedConv2d& conv, const Conv2dOperands& o) {
  const auto is = [&](std::int64_t rows, std::int64_t columns) {
    return conv.plan.tile == Conv2dTile{rows, columns};
  };
  if (is(128, 256)) {
    launch_tile<Tile<kElement, 2, 128, 4, 1, kTransposed, kEnding>>(conv, o);
  } else if (is(256, 128)) {
    launch_tile<Tile<kElement, 2, 64, 6, 2, kTransposed, kEnding>>(conv, o);
  } else if (is(128, 128)) {
    launch_tile<Tile<kElement, 2, 64, 6, 1, kTransposed, kEnding>>(conv, o);
  } else if (is(64, 256)) {
    launch_tile<Tile<kElement, 1, 128, 5, 1, kTransposed, kEnding>>(conv, o);
  } else {
    launch_tile<Tile<kElement, 1, 64, 8, 1, kTransposed, kEnding>>(conv, o);
  }
}

/// Of 16-bit operands.
template <Element kElement>
void launch_narrow(const PreparedConv2d& conv, const Conv2dOperands& o) {
  if (conv.plan.pass == Conv2dPass::forward) {
    o.epilogue.channel_sums == nullptr ? launch_box<kElement, false>(conv, o)
                                       : launch_box<kElement, false, Ending::sums>(conv, o);
  } else {
    o.epilogue.mask == nullptr ? launch_box<kElement, true>(conv, o)
                               : launch_box<kElement, true, Ending::mask>(conv, o);
  }
}

}  // namespace

std::int64_t run_box(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  if (conv.plan.arithmetic == Arithmetic::tf32) {
    launch_box<Element::tf32, false>(conv, operands);
  } else if (conv.plan.arithmetic == Arithmetic::fp16) {
    launch_narrow<Element::fp16>(conv, operands);
  } else {
    launch_narrow<Element::bf16>(conv, operands);
  }
  return conv.data<PlannedBoxes>().executed;
}

}  // namespace cks::kernels::hopper
