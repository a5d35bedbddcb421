#include <algorithm>
#include <numeric>

#include "cks/kernels/common/math.h"
#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/reduce/functors_impl.h"
#include "cks/kernels/reduce/reduce.h"

namespace cks::kernels::CKS_CPU {
namespace {

using functors::Max;
using functors::Sum;
using functors::SumOfSquares;

// Elements that one partial result stands for, and elements of one block of work.
constexpr std::int64_t kChunk = 65536;
// Rows of the shortest partial result: partials then cost a small part of reading x.
constexpr std::int64_t kShortestChunk = 256;
// Columns that are reduced side by side; their accumulators stay in the first-level cache.
constexpr std::int64_t kColumns = 1024;
// Independent accumulators of a contiguous run: enough to hide the latency of an addition.
constexpr std::int64_t kLanes = 64;

// How a problem is cut: `chunks` partial results along the reduced axis for every output.
struct Cut {
  std::int64_t rows_per_chunk;
  std::int64_t chunks;
};

Cut cut_of(const ReduceProblem& problem) {
  const std::int64_t width = std::clamp<std::int64_t>(problem.inner, 1, kColumns);
  const std::int64_t shortest = problem.inner == 1 ? kChunk : kShortestChunk;
  const std::int64_t rows = std::max(shortest, kChunk / width);
  return {rows, std::max<std::int64_t>(1, ceil_div(problem.count, rows))};
}

// Contiguous elements in `Lanes` accumulators.
template <class R, std::int64_t Lanes, class T>
typename R::Partial reduce_lanes(const T* x, std::int64_t n) {
  typename R::Partial lanes[Lanes];
  std::fill_n(lanes, Lanes, R::kStart);
  std::int64_t i = 0;
  for (; i + Lanes <= n; i += Lanes) {
    for (std::int64_t lane = 0; lane < Lanes; ++lane) {
      lanes[lane] = R::take(lanes[lane], x[i + lane]);
    }
  }
  for (std::int64_t lane = 0; i + lane < n; ++lane) {
    lanes[lane] = R::take(lanes[lane], x[i + lane]);
  }
  for (std::int64_t half = Lanes / 2; half > 0; half /= 2) {
    for (std::int64_t lane = 0; lane < half; ++lane) {
      lanes[lane] = R::join(lanes[lane], lanes[lane + half]);
    }
  }
  return lanes[0];
}

template <class R, class T>
typename R::Partial reduce_run(const T* x, std::int64_t n) {
  return n < 4 * kLanes ? reduce_lanes<R, 8>(x, n) : reduce_lanes<R, kLanes>(x, n);
}

// `rows` rows of `width` columns, `pitch` elements apart -> one partial result per column.
template <class R, class T>
void reduce_columns(const T* x, std::int64_t rows, std::int64_t pitch, std::int64_t width,
                    typename R::Partial* partials) {
  // Several short rows count as one long one, so that the accumulators are independent.
  const std::int64_t copies = pitch == width ? std::max<std::int64_t>(1, 2 * kLanes / width) : 1;
  const std::int64_t lanes = copies * width;
  std::fill_n(partials, lanes, R::kStart);
  const std::int64_t whole = rows / copies;
  for (std::int64_t step = 0; step < whole; ++step) {
    const T* from = x + step * copies * pitch;
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      partials[lane] = R::take(partials[lane], from[lane]);
    }
  }
  const T* rest = x + whole * copies * pitch;
  for (std::int64_t lane = 0; lane < (rows - whole * copies) * width; ++lane) {
    partials[lane] = R::take(partials[lane], rest[lane]);
  }
  for (std::int64_t copy = 1; copy < copies; ++copy) {
    for (std::int64_t column = 0; column < width; ++column) {
      partials[column] = R::join(partials[column], partials[copy * width + column]);
    }
  }
}

// One unit of work: outputs [column, column + width) of an outer index, rows of one chunk.
template <class R, class T>
void reduce_unit(const ReduceProblem& problem, const Cut& cut, std::int64_t outer,
                 std::int64_t chunk, std::int64_t column, std::int64_t width, const T* x,
                 typename R::Partial* partials) {
  const std::int64_t first = chunk * cut.rows_per_chunk;
  const std::int64_t rows = std::min(cut.rows_per_chunk, problem.count - first);
  const T* from = x + (outer * problem.count + first) * problem.inner + column;
  if (problem.inner == 1) {
    partials[0] = reduce_run<R>(from, rows);
  } else {
    reduce_columns<R>(from, rows, problem.inner, width, partials);
  }
}

template <class R, class T, class Result>
void run(const ReduceProblem& problem, double scale, const T* x, Result* y, void* workspace) {
  using P = typename R::Partial;
  const std::int64_t outputs = problem.outer * problem.inner;
  if (outputs == 0) {
    return;
  }
  const auto finish = [scale](P partial) {
    return static_cast<Result>(scale == 1.0 ? static_cast<double>(partial)
                                            : scale * static_cast<double>(partial));
  };
  const Cut cut = cut_of(problem);
  const std::int64_t blocks_of_columns = ceil_div(problem.inner, kColumns);
  const std::int64_t units = problem.outer * cut.chunks * blocks_of_columns;
  const std::int64_t unit_cost = std::max<std::int64_t>(
      1, std::min(problem.inner, kColumns) * std::min(problem.count, cut.rows_per_chunk));
  P* partials = static_cast<P*>(workspace);  // [outer, chunks, inner]
  if (problem.inner == 1 && cut.chunks == 1) {
    const std::int64_t grain =
        std::max<std::int64_t>(1, kChunk / std::max<std::int64_t>(1, problem.count));
    return parallel_for_each(problem.outer, grain, [&](std::int64_t outer) {
      y[outer] = finish(reduce_run<R>(x + outer * problem.count, problem.count));
    });
  }

  parallel_for_ranges(
      units, ceil_div(kChunk, unit_cost), [&](std::int64_t begin, std::int64_t end) {
        P local[kColumns];
        for (std::int64_t unit = begin; unit < end; ++unit) {
          const std::int64_t column = unit % blocks_of_columns * kColumns;
          const std::int64_t chunk = unit / blocks_of_columns % cut.chunks;
          const std::int64_t outer = unit / blocks_of_columns / cut.chunks;
          const std::int64_t width = std::min(kColumns, problem.inner - column);
          reduce_unit<R>(problem, cut, outer, chunk, column, width, x, local);
          if (cut.chunks == 1) {
            std::transform(local, local + width, y + outer * problem.inner + column, finish);
          } else {
            std::copy_n(local, width,
                        partials + (outer * cut.chunks + chunk) * problem.inner + column);
          }
        }
      });
  if (cut.chunks == 1) {
    return;
  }
  parallel_for_each(outputs, ceil_div(kChunk, cut.chunks), [&](std::int64_t i) {
    const P* from = partials + i / problem.inner * cut.chunks * problem.inner + i % problem.inner;
    P result = from[0];
    for (std::int64_t chunk = 1; chunk < cut.chunks; ++chunk) {
      result = R::join(result, from[chunk * problem.inner]);
    }
    y[i] = finish(result);
  });
}

}  // namespace

std::size_t reduce_workspace_bytes(const ReduceProblem& problem) {
  const Cut cut = cut_of(problem);
  return cut.chunks == 1 ? 0
                         : static_cast<std::size_t>(problem.outer * cut.chunks * problem.inner) *
                               sizeof(double);
}

std::size_t sum_of_squares_workspace_bytes(std::int64_t count) {
  return static_cast<std::size_t>(ceil_div(count, kChunk)) * sizeof(double);
}

void reduce(ReduceOp op, const ReduceProblem& problem, double scale, const void* x, void* y,
            void* workspace) {
  visit_real("reduce", problem.dtype, [&]<class T>(T) {
    const T* in = static_cast<const T*>(x);
    if (op == ReduceOp::sum) {
      visit_real("reduce", problem.result, [&]<class Result>(Result) {
        run<Sum<T>>(problem, scale, in, static_cast<Result*>(y), workspace);
      });
    } else {
      run<Max<T>>(problem, scale, in, static_cast<T*>(y), workspace);
    }
  });
}

void argmax(const ReduceProblem& problem, const void* x, std::int64_t* y) {
  visit_real("argmax", problem.dtype, [&]<class T>(T) {
    const T* in = static_cast<const T*>(x);
    const std::int64_t outputs = problem.outer * problem.inner;
    const std::int64_t grain =
        std::max<std::int64_t>(1, kChunk / std::max<std::int64_t>(1, problem.count));
    parallel_for_each(outputs, grain, [&](std::int64_t i) {
      const T* from = in + i / problem.inner * problem.count * problem.inner + i % problem.inner;
      std::int64_t best = 0;
      T greatest = from[0];
      for (std::int64_t k = 1; k < problem.count && greatest == greatest; ++k) {
        const T value = from[k * problem.inner];
        if (!(value <= greatest)) {
          greatest = value;
          best = k;
        }
      }
      y[i] = best;
    });
  });
}

void sum_of_squares(DType dtype, std::int64_t count, const void* x, double* result,
                    void* workspace) {
  visit_real("sum_of_squares", dtype, [&]<class T>(T) {
    const T* in = static_cast<const T*>(x);
    double* partials = static_cast<double*>(workspace);
    parallel_for_ranges(count, kChunk, [&](std::int64_t begin, std::int64_t end) {
      partials[begin / kChunk] = reduce_run<SumOfSquares<T>>(in + begin, end - begin);
    });
    *result = std::accumulate(partials, partials + ceil_div(count, kChunk), 0.0);
  });
}

}  // namespace cks::kernels::CKS_CPU
