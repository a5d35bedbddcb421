#include <algorithm>

#include "cks/kernels/common/divider.cuh"
#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/common/math.h"
#include "cks/kernels/strided_copy/strided_copy.h"

namespace cks::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kSteps = 4;  // elements that a thread loads before it stores one
// Elements of a tile of a transposition, and its shorter side where both are long.
constexpr std::int64_t kTileElements = 1024;
constexpr std::int64_t kTileSide = 32;

/// Both positions of an element, or of a tile, from its number.
template <class Index>
struct CopyWalk {
  int rank = 0;
  Divider<Index> extents[CopyProblem::kMaxRank];
  Index source_strides[CopyProblem::kMaxRank] = {};
  Index target_strides[CopyProblem::kMaxRank] = {};

  CopyWalk() = default;
  CopyWalk(const CopyProblem& problem, int axes) : rank(axes) {
    for (int axis = 0; axis < axes; ++axis) {
      // The first axis takes what is left over by the others: nothing divides by its extent.
      extents[axis] = Divider<Index>(axis == 0 ? 1 : problem.extents[axis]);
      source_strides[axis] = static_cast<Index>(problem.source_strides[axis]);
      target_strides[axis] = static_cast<Index>(problem.target_strides[axis]);
    }
  }

  __device__ __forceinline__ void locate(Index at, Index& source, Index& target) const {
    source = 0;
    target = 0;
    for (int axis = rank - 1; axis > 0; --axis) {
      const Index rest = extents[axis].divide(at);
      const Index index = at - rest * extents[axis].divisor;
      source += index * source_strides[axis];
      target += index * target_strides[axis];
      at = rest;
    }
    source += at * source_strides[0];
    target += at * target_strides[0];
  }
};

template <class Index, class T>
__global__ void __launch_bounds__(kThreads)
    strided_copy_kernel(CopyWalk<Index> walk, std::int64_t count, const T* __restrict__ source,
                        T* __restrict__ target) {
  begin_kernel();
  const std::int64_t tile = kThreads * kSteps;
  for (std::int64_t base = blockIdx.x * tile + threadIdx.x; base < count;
       base += gridDim.x * tile) {
    T values[kSteps];
    Index to[kSteps];
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const std::int64_t at = base + step * kThreads;
      if (at < count) {
        Index from = 0;
        walk.locate(static_cast<Index>(at), from, to[step]);
        values[step] = source[from];
      }
    }
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      if (base + step * kThreads < count) {
        target[to[step]] = values[step];
      }
    }
  }
}

/// A transposition in tiles: `columns` run along the target, `rows` along the source. Tiles are as
/// long as the other side is short, so that three channels fill a block as well as sixty-four.
struct TileLayout {
  std::int64_t width, height;  // of a matrix
  std::int64_t source_pitch, target_pitch;
  Divider<std::uint32_t> tiles_across, tiles_down;
  Divider<std::uint32_t> columns, rows;
};

template <class T>
__global__ void __launch_bounds__(kThreads)
    transpose_kernel(TileLayout layout, CopyWalk<std::int64_t> batch, const T* __restrict__ source,
                     T* __restrict__ target) {
  begin_kernel();
  // An odd pitch keeps both directions free of bank conflicts; it costs at most half a tile, where
  // a tile is two columns wide.
  __shared__ T tile[kTileElements + kTileElements / 2];
  const std::uint32_t strip = layout.tiles_across.divide(blockIdx.x);
  const std::uint32_t matrix = layout.tiles_down.divide(strip);
  const std::int64_t column0 =
      static_cast<std::int64_t>(blockIdx.x - strip * layout.tiles_across.divisor) *
      layout.columns.divisor;
  const std::int64_t row0 =
      static_cast<std::int64_t>(strip - matrix * layout.tiles_down.divisor) * layout.rows.divisor;
  std::int64_t source_base = 0;
  std::int64_t target_base = 0;
  batch.locate(matrix, source_base, target_base);
  const T* from = source + source_base + column0 * layout.source_pitch + row0;
  T* to = target + target_base + row0 * layout.target_pitch + column0;

  const std::uint32_t columns = layout.columns.divisor;
  const std::uint32_t rows = layout.rows.divisor;
  const std::uint32_t pitch = columns | 1U;
  const std::uint32_t elements = columns * rows;
  const auto columns_here =
      static_cast<std::uint32_t>(min(static_cast<std::int64_t>(columns), layout.width - column0));
  const auto rows_here =
      static_cast<std::uint32_t>(min(static_cast<std::int64_t>(rows), layout.height - row0));
#pragma unroll
  for (std::uint32_t step = 0; step < kTileElements / kThreads; ++step) {
    const std::uint32_t at = step * kThreads + threadIdx.x;
    const std::uint32_t column = layout.rows.divide(at);
    const std::uint32_t row = at - column * rows;
    if (at < elements && column < columns_here && row < rows_here) {
      tile[row * pitch + column] = from[column * layout.source_pitch + row];
    }
  }
  __syncthreads();
#pragma unroll
  for (std::uint32_t step = 0; step < kTileElements / kThreads; ++step) {
    const std::uint32_t at = step * kThreads + threadIdx.x;
    const std::uint32_t row = layout.columns.divide(at);
    const std::uint32_t column = at - row * columns;
    if (at < elements && column < columns_here && row < rows_here) {
      to[row * layout.target_pitch + column] = tile[row * pitch + column];
    }
  }
}

/// Twice the element where everything is even, up to 16 bytes: half as many accesses each time.
std::size_t widen(CopyProblem& problem, std::size_t element_bytes, const void* source,
                  const void* target) {
  const int last = problem.rank - 1;
  while (last >= 0 && element_bytes < 16 && problem.source_strides[last] == 1 &&
         problem.target_strides[last] == 1) {
    bool even = problem.extents[last] % 2 == 0;
    for (int axis = 0; axis < last; ++axis) {
      even = even && problem.source_strides[axis] % 2 == 0 && problem.target_strides[axis] % 2 == 0;
    }
    for (const void* pointer : {source, target}) {
      even = even && reinterpret_cast<std::uintptr_t>(pointer) % (2 * element_bytes) == 0;
    }
    if (!even) {
      break;
    }
    problem.extents[last] /= 2;
    problem.count /= 2;
    for (int axis = 0; axis < last; ++axis) {
      problem.source_strides[axis] /= 2;
      problem.target_strides[axis] /= 2;
    }
    element_bytes *= 2;
  }
  return element_bytes;
}

/// Whether every number that the walk computes stays below 2^31.
bool is_narrow(const CopyProblem& problem) {
  std::int64_t source = 0;
  std::int64_t target = 0;
  for (int axis = 0; axis < problem.rank; ++axis) {
    source += (problem.extents[axis] - 1) * problem.source_strides[axis];
    target += (problem.extents[axis] - 1) * problem.target_strides[axis];
  }
  return std::max({problem.count, source, target}) < std::int64_t{1} << 31;
}

template <class T>
void copy_elements(const CopyProblem& problem, const T* source, T* target) {
  const unsigned blocks = grid_for(problem.count, kThreads * kSteps);
  const auto run = [&]<class Index>(Index) {
    launch("strided_copy", strided_copy_kernel<Index, T>, blocks, kThreads, 0,
           CopyWalk<Index>(problem, problem.rank), problem.count, source, target);
  };
  is_narrow(problem) ? run(std::uint32_t{}) : run(std::int64_t{});
}

/// Last axis: runs along the target. The axis before it: runs along the source. The rest: a batch.
template <class T>
void copy_tiles(const CopyProblem& problem, const T* source, T* target) {
  const int along_target = problem.rank - 1;
  const int along_source = problem.rank - 2;
  TileLayout layout{};
  layout.width = problem.extents[along_target];
  layout.height = problem.extents[along_source];
  layout.source_pitch = problem.source_strides[along_target];
  layout.target_pitch = problem.target_strides[along_source];
  const std::int64_t rows = layout.width < kTileSide ? kTileElements / layout.width : kTileSide;
  const std::int64_t tile_rows = balanced(layout.height, rows);
  const std::int64_t tile_columns = balanced(layout.width, kTileElements / tile_rows);
  const std::int64_t tiles_across = ceil_div(layout.width, tile_columns);
  const std::int64_t tiles_down = ceil_div(layout.height, tile_rows);
  const std::int64_t tiles =
      problem.count / (layout.width * layout.height) * tiles_across * tiles_down;
  if (tiles >= std::int64_t{1} << 31) {
    return copy_elements(problem, source, target);
  }
  layout.columns = Divider<std::uint32_t>(tile_columns);
  layout.rows = Divider<std::uint32_t>(tile_rows);
  layout.tiles_across = Divider<std::uint32_t>(tiles_across);
  layout.tiles_down = Divider<std::uint32_t>(tiles_down);
  launch("strided_copy", transpose_kernel<T>, static_cast<unsigned>(tiles), kThreads, 0, layout,
         CopyWalk<std::int64_t>(problem, along_source), source, target);
}

}  // namespace

void strided_copy(const CopyProblem& problem, std::size_t element_bytes, const void* source,
                  void* target) {
  visit_bits("strided_copy", element_bytes, [&]<class T>(T) {
    CopyProblem turned = problem;
    if (problem.count == 0) {
      return;
    }
    if (turn_for_tiles(turned)) {
      return copy_tiles(turned, static_cast<const T*>(source), static_cast<T*>(target));
    }
    const auto copy = [&]<class Wide>(Wide) {
      copy_elements(turned, static_cast<const Wide*>(source), static_cast<Wide*>(target));
    };
    const std::size_t bytes = widen(turned, element_bytes, source, target);
    if (bytes == sizeof(uint4)) {
      copy(uint4{});
    } else {
      visit_bits("strided_copy", bytes, copy);
    }
  });
}

}  // namespace cks::kernels::cuda
