// A thread moves 16 bytes of the whole's row, or fewer where widths or addresses are odd, and finds
// their part among the few of a launch.
#include <algorithm>
#include <type_traits>

#include "cks/kernels/common/activation.h"
#include "cks/kernels/common/divider.cuh"
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/common/pack.cuh"
#include "cks/kernels/concat/concat.h"

namespace cks::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kMostParts = 8;  // of a launch

/// Where a thread is, in units: row and column of the whole, and the unit of the part.
struct Place {
  int part;
  std::int64_t of_whole, of_part;
};

/// Neighbouring parts: columns [begin[0], begin[count]) of a whole that is `pitch` wide, in units.
template <class Index>
struct Columns {
  std::int64_t units = 0;  // in all rows
  std::int64_t pitch = 0;
  Divider<Index> width;
  int count = 0;
  std::int64_t begin[kMostParts + 1] = {};

  __device__ __forceinline__ Place place_of(std::int64_t unit) const {
    const std::int64_t row = width.divide(static_cast<Index>(unit));
    const std::int64_t column = begin[0] + unit - row * width.divisor;
    int part = 0;
#pragma unroll
    for (int i = 1; i < kMostParts; ++i) {
      part = i < count && column >= begin[i] ? i : part;
    }
    return {part, row * pitch + column,
            row * (begin[part + 1] - begin[part]) + column - begin[part]};
  }
  /// Calls body(place) for this thread's units.
  template <class Body>
  __device__ __forceinline__ void each(const Body& body) const {
    const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads;
    for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < units;
         i += stride) {
      body(place_of(i));
    }
  }
};

template <class Index, class Unit>
struct Join {
  Columns<Index> columns;
  const Unit* parts[kMostParts];
  Unit* whole;
};

template <class Index, class Unit>
__global__ void __launch_bounds__(kThreads)
    concat_kernel(const __grid_constant__ Join<Index, Unit> p) {
  begin_kernel();
  p.columns.each([&](const Place& at) { p.whole[at.of_whole] = p.parts[at.part][at.of_part]; });
}

template <class Index, class X, int V, int kTerms>
struct Split {
  Columns<Index> columns;
  const X* terms[kTerms];
  X* to[kMostParts];
  const X* y[kMostParts];
  double slope[kMostParts];
};

template <class Index, class X, int V, int kTerms>
__global__ void __launch_bounds__(kThreads)
    split_kernel(const __grid_constant__ Split<Index, X, V, kTerms> p) {
  begin_kernel();
  using T = ComputeType<X>;
  p.columns.each([&](const Place& at) {
    X* const to = p.to[at.part];
    if (to == nullptr) {
      return;
    }
    Pack<X, V> term[kTerms];
#pragma unroll
    for (int i = 0; i < kTerms; ++i) {
      term[i] = load_pack<V>(p.terms[i] + at.of_whole * V);
    }
    Pack<X, V> result{};
    const X* const y = p.y[at.part];
    if (y != nullptr) {
      result = load_pack<V>(y + at.of_part * V);
    }
#pragma unroll
    for (int v = 0; v < V; ++v) {
      T sum = widen<T>(term[0][v]);
#pragma unroll
      for (int i = 1; i < kTerms; ++i) {
        sum += widen<T>(term[i][v]);
      }
      if (y != nullptr) {
        sum = masked(sum, widen<T>(result[v]), static_cast<T>(p.slope[at.part]));
      }
      term[0][v] = narrowed<X>(sum);
    }
    store_pack(to + at.of_part * V, term[0]);
  });
}

/// Calls body(columns, first) for each launch, whose parts are those from `first` on; per_unit
/// elements are a unit, which every width is a multiple of.
template <class Body>
void each_launch(const ConcatProblem& p, std::int64_t per_unit, const Body& body) {
  std::int64_t pitch = 0;
  for (const std::int64_t width : p.widths) {
    pitch += width / per_unit;
  }
  const auto launch_from = [&]<class Index>(Index, std::size_t first, std::int64_t begin,
                                            std::int64_t width) {
    Columns<Index> columns;
    columns.units = p.rows * width;
    columns.pitch = pitch;
    columns.width = Divider<Index>(width);
    columns.count = static_cast<int>(std::min<std::size_t>(kMostParts, p.widths.size() - first));
    columns.begin[0] = begin;
    for (int i = 0; i < columns.count; ++i) {
      columns.begin[i + 1] =
          columns.begin[i] + p.widths[first + static_cast<std::size_t>(i)] / per_unit;
    }
    body(columns, first);
  };
  std::int64_t begin = 0;
  for (std::size_t first = 0; first < p.widths.size(); first += kMostParts) {
    std::int64_t width = 0;
    for (std::size_t i = first; i < std::min(first + kMostParts, p.widths.size()); ++i) {
      width += p.widths[i] / per_unit;
    }
    if (p.rows * width >= std::int64_t{1} << 31) {
      launch_from(std::int64_t{}, first, begin, width);
    } else if (p.rows * width > 0) {
      launch_from(std::uint32_t{}, first, begin, width);
    }
    begin += width;
  }
}

/// The bytes, at most 16, that every row of every part and all these addresses are a multiple of.
class Unit {
 public:
  explicit Unit(const ConcatProblem& p) {
    for (const std::int64_t width : p.widths) {
      bits_ |= static_cast<std::uintptr_t>(width) * size_of(p.dtype);
    }
  }
  void take(const void* address) { bits_ |= reinterpret_cast<std::uintptr_t>(address); }
  std::size_t bytes() const { return static_cast<std::size_t>((bits_ | 16) & ~((bits_ | 16) - 1)); }

 private:
  std::uintptr_t bits_ = 0;
};

template <class Moved>
void join(const ConcatProblem& p, std::span<const void* const> parts, void* whole) {
  const auto per_unit = static_cast<std::int64_t>(sizeof(Moved) / size_of(p.dtype));
  each_launch(p, per_unit, [&]<class Index>(const Columns<Index>& columns, std::size_t first) {
    Join<Index, Moved> join{columns, {}, static_cast<Moved*>(whole)};
    for (int i = 0; i < columns.count; ++i) {
      join.parts[i] = static_cast<const Moved*>(parts[first + static_cast<std::size_t>(i)]);
    }
    launch("concat", concat_kernel<Index, Moved>, grid_for(columns.units, kThreads), kThreads, 0,
           join);
  });
}

/// Calls body with the number of terms as an integral constant.
template <class Body>
void with_terms(std::size_t count, const Body& body) {
  switch (count) {
    case 1:
      return body(std::integral_constant<int, 1>{});
    case 2:
      return body(std::integral_constant<int, 2>{});
    case 3:
      return body(std::integral_constant<int, 3>{});
    case 4:
      return body(std::integral_constant<int, 4>{});
    default:
      throw Error("split: takes 1 to 4 terms, got " + std::to_string(count));
  }
}

template <class X, int V>
void split_elements(const ConcatProblem& p, std::span<const void* const> terms,
                    std::span<const SplitPart> parts) {
  with_terms(terms.size(), [&](auto count) {
    each_launch(p, V, [&]<class Index>(const Columns<Index>& columns, std::size_t first) {
      Split<Index, X, V, count> split{columns, {}, {}, {}, {}};
      for (std::size_t i = 0; i < terms.size(); ++i) {
        split.terms[i] = static_cast<const X*>(terms[i]);
      }
      for (int i = 0; i < columns.count; ++i) {
        const SplitPart& part = parts[first + static_cast<std::size_t>(i)];
        split.to[i] = static_cast<X*>(part.to);
        split.y[i] = static_cast<const X*>(part.y);
        split.slope[i] = part.slope;
      }
      launch("split", split_kernel<Index, X, V, count>, grid_for(columns.units, kThreads), kThreads,
             0, split);
    });
  });
}

}  // namespace

void concat(const ConcatProblem& problem, std::span<const void* const> parts, void* whole) {
  Unit unit(problem);
  unit.take(whole);
  for (const void* const part : parts) {
    unit.take(part);
  }
  if (unit.bytes() == 16) {
    join<uint4>(problem, parts, whole);
  } else {
    visit_bits("concat", unit.bytes(),
               [&]<class Moved>(Moved) { join<Moved>(problem, parts, whole); });
  }
}

void split(const ConcatProblem& problem, std::span<const void* const> terms,
           std::span<const SplitPart> parts) {
  Unit unit(problem);
  for (const void* const term : terms) {
    unit.take(term);
  }
  for (const SplitPart& part : parts) {
    unit.take(part.to);
    unit.take(part.y);
  }
  visit_floating("split", problem.dtype, [&]<class X>(X) {
    constexpr int V = kPackSize<X>;
    if (unit.bytes() == 16) {
      split_elements<X, V>(problem, terms, parts);
    } else if (unit.bytes() == 8) {
      split_elements<X, V / 2>(problem, terms, parts);
    } else {
      split_elements<X, 1>(problem, terms, parts);
    }
  });
}

}  // namespace cks::kernels::cuda
