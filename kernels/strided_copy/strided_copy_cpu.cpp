#include <algorithm>
#include <cstring>

#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/math.h"
#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/common/simd.h"
#include "cks/kernels/strided_copy/strided_copy.h"

namespace cks::kernels::CKS_CPU {
namespace {

constexpr std::int64_t kGrain = 16384;
// Side of a tile of a transposition: its source and target lines fit the first-level cache.
constexpr std::int64_t kTile = 32;
using Line = Simd<std::uint32_t, kSimdBytes == 16 ? 16 : 32>;
constexpr std::int64_t kBlock = Line::width;

// The problem with its last axis (or its last two) taken out of the walk.
struct Position {
  std::int64_t source = 0;
  std::int64_t target = 0;
};

Position position_of(const CopyProblem& problem, int axes, std::int64_t index) {
  Position at;
  for (int axis = axes - 1; axis >= 0; --axis) {
    const std::int64_t i = index % problem.extents[axis];
    index /= problem.extents[axis];
    at.source += i * problem.source_strides[axis];
    at.target += i * problem.target_strides[axis];
  }
  return at;
}

template <class T>
void copy_run(const T* source, std::int64_t source_stride, T* target, std::int64_t target_stride,
              std::int64_t n) {
  if (source_stride == 1 && target_stride == 1) {
    // Short runs are common (the channels of a slice); a call of memcpy costs more than they do.
    if (n >= 32) {
      std::memcpy(target, source, static_cast<std::size_t>(n) * sizeof(T));
    } else {
      for (std::int64_t i = 0; i < n; ++i) {
        target[i] = source[i];
      }
    }
  } else if (source_stride == 0 && target_stride == 1) {
    std::fill_n(target, n, *source);
  } else {
    for (std::int64_t i = 0; i < n; ++i) {
      target[i * target_stride] = source[i * source_stride];
    }
  }
}

// Runs along the last axis.
template <class T>
void copy_rows(const CopyProblem& problem, const T* source, T* target) {
  const int last = problem.rank - 1;
  const std::int64_t inner = problem.rank == 0 ? 1 : problem.extents[last];
  const std::int64_t source_stride = problem.rank == 0 ? 1 : problem.source_strides[last];
  const std::int64_t target_stride = problem.rank == 0 ? 1 : problem.target_strides[last];
  const std::int64_t rows = problem.count / inner;
  if (inner > kGrain) {
    const std::int64_t pieces = ceil_div(inner, kGrain);
    parallel_for(rows * pieces, [&](std::int64_t block) {
      const std::int64_t begin = block % pieces * kGrain;
      const Position at = position_of(problem, last, block / pieces);
      copy_run(source + at.source + begin * source_stride, source_stride,
               target + at.target + begin * target_stride, target_stride,
               std::min(kGrain, inner - begin));
    });
    return;
  }
  // The axis before the last is walked without divisions.
  const std::int64_t middle = problem.rank < 2 ? 1 : problem.extents[last - 1];
  const std::int64_t source_step = problem.rank < 2 ? 0 : problem.source_strides[last - 1];
  const std::int64_t target_step = problem.rank < 2 ? 0 : problem.target_strides[last - 1];
  parallel_for_ranges(rows, std::max<std::int64_t>(1, kGrain / inner),
                      [&](std::int64_t begin, std::int64_t end) {
                        std::int64_t row = begin;
                        while (row < end) {
                          const Position at = position_of(problem, last, row);
                          const std::int64_t n = std::min(end - row, middle - row % middle);
                          for (std::int64_t i = 0; i < n; ++i) {
                            copy_run(source + at.source + i * source_step, source_stride,
                                     target + at.target + i * target_step, target_stride, inner);
                          }
                          row += n;
                        }
                      });
}

// to[r][c] = from[c][r]
template <class T>
void transpose_scalars(const T* from, std::int64_t source_pitch, T* to, std::int64_t target_pitch,
                       std::int64_t rows, std::int64_t columns) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) {
      to[r * target_pitch + c] = from[c * source_pitch + r];
    }
  }
}

// The same for kBlock x kBlock elements of 4 bytes in registers.
void transpose_block(const std::uint32_t* from, std::int64_t source_pitch, std::uint32_t* to,
                     std::int64_t target_pitch) {
  Line::Vec lines[kBlock];
  for (std::int64_t c = 0; c < kBlock; ++c) {
    lines[c] = Line::load(from + c * source_pitch);
  }
  Line::transpose(lines);
  for (std::int64_t r = 0; r < kBlock; ++r) {
    Line::store(to + r * target_pitch, lines[r]);
  }
}

template <class T>
void transpose_tile(const T* from, std::int64_t source_pitch, T* to, std::int64_t target_pitch,
                    std::int64_t rows, std::int64_t columns) {
  if constexpr (sizeof(T) == sizeof(std::uint32_t)) {
    const std::int64_t whole_rows = rows / kBlock * kBlock;
    const std::int64_t whole_columns = columns / kBlock * kBlock;
    const auto block = [&](std::int64_t r, std::int64_t c) {
      transpose_block(from + c * source_pitch + r, source_pitch, to + r * target_pitch + c,
                      target_pitch);
    };
    // The side with the greater pitch is finished line by line: its lines compete for few places
    // of the cache where the pitch is a power of two.
    if (source_pitch > target_pitch) {
      for (std::int64_t c = 0; c < whole_columns; c += kBlock) {
        for (std::int64_t r = 0; r < whole_rows; r += kBlock) {
          block(r, c);
        }
      }
    } else {
      for (std::int64_t r = 0; r < whole_rows; r += kBlock) {
        for (std::int64_t c = 0; c < whole_columns; c += kBlock) {
          block(r, c);
        }
      }
    }
    transpose_scalars(from + whole_columns * source_pitch, source_pitch, to + whole_columns,
                      target_pitch, whole_rows, columns - whole_columns);
    transpose_scalars(from + whole_rows, source_pitch, to + whole_rows * target_pitch, target_pitch,
                      rows - whole_rows, columns);
  } else {
    transpose_scalars(from, source_pitch, to, target_pitch, rows, columns);
  }
}

// Last axis: runs along the target. The axis before it: runs along the source. The rest is a batch.
template <class T>
void copy_tiles(const CopyProblem& problem, const T* source, T* target) {
  const int along_target = problem.rank - 1;
  const int along_source = problem.rank - 2;
  const std::int64_t width = problem.extents[along_target];
  const std::int64_t height = problem.extents[along_source];
  const std::int64_t source_pitch = problem.source_strides[along_target];
  const std::int64_t target_pitch = problem.target_strides[along_source];
  const std::int64_t tiles_across = ceil_div(width, kTile);
  const std::int64_t tiles_down = ceil_div(height, kTile);
  const std::int64_t tiles = tiles_across * tiles_down;
  const std::int64_t batch = problem.count / (width * height);
  parallel_for_each(batch * tiles, kGrain / (kTile * kTile), [&](std::int64_t tile) {
    const Position at = position_of(problem, along_source, tile / tiles);
    const std::int64_t column = tile % tiles % tiles_across * kTile;
    const std::int64_t row = tile % tiles / tiles_across * kTile;
    const std::int64_t columns = std::min(kTile, width - column);
    const std::int64_t rows = std::min(kTile, height - row);
    const T* from = source + at.source + column * source_pitch + row;
    T* to = target + at.target + row * target_pitch + column;
    transpose_tile(from, source_pitch, to, target_pitch, rows, columns);
  });
}

}  // namespace

void strided_copy(const CopyProblem& problem, std::size_t element_bytes, const void* source,
                  void* target) {
  visit_bits("strided_copy", element_bytes, [&]<class T>(T) {
    CopyProblem turned = problem;
    const auto copy = turn_for_tiles(turned) ? copy_tiles<T> : copy_rows<T>;
    if (problem.count > 0) {
      copy(turned, static_cast<const T*>(source), static_cast<T*>(target));
    }
  });
}

}  // namespace cks::kernels::CKS_CPU
