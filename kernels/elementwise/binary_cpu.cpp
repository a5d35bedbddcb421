#include <algorithm>
#include <array>
#include <utility>

#include "cks/kernels/common/math.h"
#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/elementwise/elementwise.h"
#include "cks/kernels/elementwise/functors_impl.h"

namespace cks::kernels {
namespace {

constexpr std::int64_t kGrain = 16384;

// Where the operands stand while a row of the result is computed.
template <std::size_t Operands>
struct Cursor {
  std::array<std::int64_t, Operands> offset{};
  std::array<std::int64_t, BroadcastProblem::kMaxRank> index{};

  // Row `row` of the result, rows being all axes but the last.
  Cursor(const BroadcastProblem& problem, std::int64_t row) {
    for (int axis = problem.rank - 2; axis >= 0; --axis) {
      const auto a = static_cast<std::size_t>(axis);
      index[a] = row % problem.extents[a];
      row /= problem.extents[a];
      for (std::size_t k = 0; k < Operands; ++k) {
        offset[k] += index[a] * problem.strides[k][a];
      }
    }
  }

  void next_row(const BroadcastProblem& problem) {
    for (int axis = problem.rank - 2; axis >= 0; --axis) {
      const auto a = static_cast<std::size_t>(axis);
      const bool wraps = ++index[a] == problem.extents[a];
      const std::int64_t steps = wraps ? 1 - problem.extents[a] : 1;
      for (std::size_t k = 0; k < Operands; ++k) {
        offset[k] += steps * problem.strides[k][a];
      }
      if (!wraps) {
        return;
      }
      index[a] = 0;
    }
  }
};

// Calls body(offsets of the operands, offset of the result, elements) for runs along the last axis
// that together cover the result; blocks hold about kGrain elements.
template <std::size_t Operands, class Body>
void for_each_run(const BroadcastProblem& problem, Body&& body) {
  if (problem.count == 0) {
    return;
  }
  const int last = problem.rank - 1;
  const std::int64_t inner = problem.rank == 0 ? 1 : problem.extents[last];
  const std::int64_t rows = problem.count / inner;
  if (inner > kGrain) {
    const std::int64_t pieces = ceil_div(inner, kGrain);
    parallel_for(rows * pieces, [&](std::int64_t block) {
      const std::int64_t row = block / pieces;
      const std::int64_t begin = block % pieces * kGrain;
      Cursor<Operands> cursor(problem, row);
      for (std::size_t k = 0; k < Operands; ++k) {
        cursor.offset[k] += begin * problem.strides[k][last];
      }
      body(cursor.offset, row * inner + begin, std::min(kGrain, inner - begin));
    });
    return;
  }
  parallel_for_ranges(rows, kGrain / inner, [&](std::int64_t begin, std::int64_t end) {
    Cursor<Operands> cursor(problem, begin);
    for (std::int64_t row = begin; row < end; ++row) {
      body(cursor.offset, row * inner, inner);
      cursor.next_row(problem);
    }
  });
}

// y[i] = function(x[i]...) along a run; operands whose kRuns is false repeat their first element.
template <bool... kRuns, class Function, class Result, class... X>
void map_run(Function function, std::int64_t n, Result* y, const X*... x) {
  [=](auto... first) {
    for (std::int64_t i = 0; i < n; ++i) {
      y[i] = function((kRuns ? x[i] : first)...);
    }
  }(x[0]...);
}

// The same where the problem says which operands run.
template <bool... kRuns, class Function, class Result, class... X>
void map_run_of(const BroadcastProblem& problem, Function function, std::int64_t n, Result* y,
                const X*... x) {
  constexpr std::size_t kKnown = sizeof...(kRuns);
  if constexpr (kKnown == sizeof...(X)) {
    map_run<kRuns...>(function, n, y, x...);
  } else if (problem.rank > 0 && problem.strides[kKnown][problem.rank - 1] == 1) {
    map_run_of<kRuns..., true>(problem, function, n, y, x...);
  } else {
    map_run_of<kRuns..., false>(problem, function, n, y, x...);
  }
}

template <class Function, class Result, class... X>
void map(const BroadcastProblem& problem, Function function, Result* y, const X*... x) {
  for_each_run<sizeof...(X)>(problem, [&](const auto& from, std::int64_t at, std::int64_t n) {
    [&]<std::size_t... k>(std::index_sequence<k...>) {
      map_run_of(problem, function, n, y + at, x + from[k]...);
    }
    (std::index_sequence_for<X...>());
  });
}

// A short row added to many, as a bias is: copies of it side by side make the runs long enough.
// Calls body(offset in the dense operand and the result, elements, the row's copies).
constexpr std::int64_t kPatternLength = 256;

bool is_short_pattern(const BroadcastProblem& problem, int dense, int pattern) {
  return problem.rank == 2 && problem.extents[1] <= kPatternLength / 4 &&
         problem.strides[dense][0] == problem.extents[1] && problem.strides[dense][1] == 1 &&
         problem.strides[pattern][0] == 0 && problem.strides[pattern][1] == 1;
}

template <class T, class Body>
void for_each_pattern_run(const BroadcastProblem& problem, const T* pattern, Body&& body) {
  const std::int64_t inner = problem.extents[1];
  const std::int64_t copies = kPatternLength / inner;
  std::array<T, kPatternLength> repeated{};
  for (std::int64_t i = 0; i < copies * inner; ++i) {
    repeated[static_cast<std::size_t>(i)] = pattern[i % inner];
  }
  parallel_for_ranges(
      problem.extents[0], kGrain / inner, [&](std::int64_t first_row, std::int64_t last_row) {
        for (std::int64_t row = first_row; row < last_row; row += copies) {
          body(row * inner, std::min(copies, last_row - row) * inner, repeated.data());
        }
      });
}

template <class Function, class T, class Result>
void map_binary(const BroadcastProblem& problem, const T* a, const T* b, Result* y,
                Function function) {
  if (is_short_pattern(problem, 0, 1)) {
    for_each_pattern_run(problem, b, [=](std::int64_t at, std::int64_t n, const T* row) {
      map_run<true, true>(function, n, y + at, a + at, row);
    });
  } else if (is_short_pattern(problem, 1, 0)) {
    for_each_pattern_run(problem, a, [=](std::int64_t at, std::int64_t n, const T* row) {
      map_run<true, true>(function, n, y + at, row, b + at);
    });
  } else {
    map(problem, function, y, a, b);
  }
}

}  // namespace

namespace CKS_CPU {

void binary_forward(BinaryOp op, DType dtype, const BroadcastProblem& problem, const void* a,
                    const void* b, void* y) {
  visit_real(name_of(op), dtype, [&]<class T>(T) {
    functors::visit_binary(op, [&](auto function) {
      map_binary(problem, static_cast<const T*>(a), static_cast<const T*>(b), static_cast<T*>(y),
                 function);
    });
  });
}

void compare(CompareOp op, DType dtype, const BroadcastProblem& problem, const void* a,
             const void* b, std::uint8_t* y) {
  visit_dtype(dtype, [&]<class T>(T) {
    functors::visit_compare(op, [&](auto function) {
      map_binary(problem, static_cast<const T*>(a), static_cast<const T*>(b), y, function);
    });
  });
}

void ternary(TernaryOp op, DType dtype, const BroadcastProblem& problem, const void* a,
             const void* b, const void* c, void* y) {
  visit_real("ternary", dtype, [&]<class T>(T) {
    functors::visit_ternary(op, [&](auto function) {
      map(problem, function, static_cast<T*>(y), static_cast<const T*>(a), static_cast<const T*>(b),
          static_cast<const T*>(c));
    });
  });
}

void select(DType dtype, const BroadcastProblem& problem, const std::uint8_t* condition,
            const void* a, const void* b, void* y) {
  visit_dtype(dtype, [&]<class T>(T) {
    map(problem, functors::Select{}, static_cast<T*>(y), condition, static_cast<const T*>(a),
        static_cast<const T*>(b));
  });
}

}  // namespace CKS_CPU
}  // namespace cks::kernels
