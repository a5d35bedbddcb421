#pragma once
#include <algorithm>
#include <cstdint>

#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/reduce/reduce.h"

/// How the threads of a reduction share its work, from the problem alone, so that every run adds in
/// the same order. Private to this room's implementation.
namespace cks::kernels::cuda {

constexpr int kReduceThreads = 512;

/// Rows of every partial result, and how many partial results there are along the reduced axis.
struct ReduceCut {
  std::int64_t chunk;
  std::int64_t chunks;
};

/// A block takes `outputs` results (packs of them) of one chunk, each with `lanes` threads.
struct ReduceLayout {
  std::int64_t outer;
  std::int64_t count;
  std::int64_t inner;
  std::int64_t chunk;
  std::int64_t all_outputs;
  int outputs;
  int lanes;
  int half;  // the greatest power of two below lanes; 0 for one lane
};

struct ReducePlace {
  std::int64_t output;
  int lane;
  int stride;  // between threads of neighbouring lanes
  bool is_active;
};

/// Neighbouring threads are lanes of one row (Rows), or neighbouring outputs.
template <bool Rows>
__device__ __forceinline__ ReducePlace place_of(const ReduceLayout& layout) {
  const int thread = static_cast<int>(threadIdx.x);
  const int per_group = Rows ? layout.lanes : layout.outputs;
  const int group = thread / per_group;
  const int rest = thread - group * per_group;
  const int within = Rows ? group : rest;
  ReducePlace place;
  place.output = static_cast<std::int64_t>(blockIdx.x) * layout.outputs + within;
  place.lane = Rows ? rest : group;
  place.stride = Rows ? 1 : layout.outputs;
  place.is_active =
      within < layout.outputs && place.lane < layout.lanes && place.output < layout.all_outputs;
  return place;
}

/// The outer index of a result; 64-bit divisions are slow, and bias gradients need none.
__device__ __forceinline__ std::int64_t outer_of(const ReduceLayout& layout, std::int64_t output) {
  return layout.outer == 1 ? 0 : output / layout.inner;
}

/// Elements that one load may take, as the extents say: along inner, or along count if that is 1.
inline int pack_size(const ReduceProblem& problem, std::size_t element_bytes) {
  const auto widest = static_cast<int>(16 / element_bytes);
  if (problem.inner == 1) {
    return problem.outer == 1 || problem.count % widest == 0 ? widest : 1;
  }
  for (int size = widest; size > 1; size /= 2) {
    if (problem.inner % size == 0) {
      return size;
    }
  }
  return 1;
}

/// Outputs side by side in a block: 128 bytes of a row for short reductions, 512 for long ones,
/// which come from memory.
constexpr std::int64_t kNarrowOutputs = 8;
constexpr std::int64_t kWideOutputs = 32;

inline ReduceCut cut_of(const ReduceProblem& problem, std::size_t element_bytes) {
  constexpr std::int64_t kShortPacks = 8192;     // of one block: done before a second launch is
  constexpr std::int64_t kChunkElements = 4096;  // of the smallest block of the first launch
  constexpr std::int64_t kBlocks = 512;          // keep every multiprocessor busy
  const ReduceCut whole{problem.count, 1};
  if (problem.outer * problem.inner * problem.count == 0) {
    return whole;
  }
  const std::int64_t pack = pack_size(problem, element_bytes);
  const bool rows = problem.inner == 1;
  const std::int64_t outputs = rows ? problem.outer : problem.outer * problem.inner / pack;
  const std::int64_t narrow = rows ? 1 : balanced(outputs, kNarrowOutputs);
  const std::int64_t wide = rows ? 1 : balanced(outputs, kWideOutputs);
  const std::int64_t blocks = ceil_div(outputs, wide);
  const std::int64_t packs = rows ? ceil_div(problem.count, pack) : problem.count;
  if (packs * narrow <= kShortPacks || blocks >= kBlocks) {
    return whole;
  }
  const std::int64_t most = ceil_div(kBlocks, blocks);
  const std::int64_t elements = problem.count * (rows ? 1 : wide * pack);
  const std::int64_t chunks = std::min(most, ceil_div(elements, kChunkElements));
  // Chunks of a row begin at multiples of every pack.
  const std::int64_t step = rows ? 64 : 1;
  const std::int64_t chunk = round_up(ceil_div(problem.count, chunks), step);
  return {chunk, ceil_div(problem.count, chunk)};
}

/// `pack_outputs` results and `pack` elements of the reduced row or of the outputs go together.
inline ReduceLayout make_layout(const ReduceProblem& problem, const ReduceCut& cut,
                                int pack_outputs, int pack) {
  ReduceLayout layout{};
  layout.outer = problem.outer;
  layout.count = problem.count;
  layout.inner = problem.inner;
  layout.chunk = cut.chunk;
  layout.all_outputs = problem.outer * problem.inner / pack_outputs;
  if (problem.inner == 1) {
    const std::int64_t packs = std::max<std::int64_t>(1, ceil_div(cut.chunk, pack));
    // Lanes fill the GPU first; where rows do, a lane takes several packs.
    std::int64_t lanes = 1;
    while (lanes < kReduceThreads && lanes < packs) {
      lanes *= 2;
    }
    while (lanes > 1 && problem.outer * lanes > 1 << 19 && packs < 4 * lanes) {
      lanes /= 2;
    }
    layout.lanes = static_cast<int>(lanes);
    layout.outputs =
        static_cast<int>(std::min<std::int64_t>(problem.outer, kReduceThreads / lanes));
  } else {
    const std::int64_t rows = std::clamp<std::int64_t>(cut.chunk, 1, kReduceThreads);
    const bool narrow = cut.chunks == 1 && layout.all_outputs <= 4096;
    const std::int64_t most =
        std::max(narrow ? kNarrowOutputs : kWideOutputs, kReduceThreads / rows);
    layout.outputs = static_cast<int>(balanced(layout.all_outputs, most));
    layout.lanes = static_cast<int>(std::min<std::int64_t>(rows, kReduceThreads / layout.outputs));
  }
  layout.half = 0;
  for (int power = 1; power < layout.lanes; power *= 2) {
    layout.half = power;
  }
  return layout;
}

inline dim3 grid_of(const ReduceLayout& layout, const ReduceCut& cut) {
  return {static_cast<unsigned>(ceil_div(layout.all_outputs, layout.outputs)),
          static_cast<unsigned>(cut.chunks)};
}

/// Whole warps.
inline unsigned threads_of(const ReduceLayout& layout) {
  return static_cast<unsigned>(round_up(layout.outputs * layout.lanes, 32));
}

}  // namespace cks::kernels::cuda
