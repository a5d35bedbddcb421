#pragma once
#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "cks/kernels/common/divider.cuh"
#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/common/pack.cuh"
#include "cks/kernels/pool2d/problem.h"

/// Max pooling over square windows of a size F and stride S <= F that are known when compiled. A
/// thread walks down a strip of one column, 16 bytes of channels wide, and meets each row once: it
/// keeps what overlapping windows share in registers, and loads a row ahead of its use. Private to
/// pool2d_cuda.cu.
namespace cks::kernels::cuda {

constexpr int kStripThreads = 256;
constexpr int kUnits = 4;  // registers of 16 bytes: two bfloat16 or one float32 each

/// What windows of elements X add up in.
template <class X>
using SumOf = std::conditional_t<std::is_same_v<X, bfloat16>, float, double>;

constexpr std::uint32_t kRowBit = 1;
constexpr std::uint32_t kColumnBit = 8;

/// How the index names tap (h,w): in windows of at most 3x3 by a bit of the row and one of the
/// column, which strips find in one instruction. Never -1, nor 255 where windows have fewer taps.
template <class Index>
__device__ __forceinline__ Index tap_code(Index FH, Index FW, Index h, Index w) {
  return FH <= 3 && FW <= 3 ? static_cast<Index>(kRowBit << h | kColumnBit << w) : h * FW + w;
}

/// Strips of `height` steps in columns of an image. A step is a row of windows.
struct Strips {
  Divider<std::uint32_t> packs, columns, strips;
  std::uint32_t threads;
  int steps, height;
  int IH, IW, OH, OW, C;
  int pt, pl;

  struct Place {
    std::int64_t n;
    int column, begin, end, c;
  };
  __device__ __forceinline__ Place place_of(std::uint32_t thread, int V) const {
    const std::uint32_t pixel = packs.divide(thread);
    const std::uint32_t strip = columns.divide(pixel);
    const std::uint32_t n = strips.divide(strip);
    const int begin = static_cast<int>(strip - n * strips.divisor) * height;
    return {n, static_cast<int>(pixel - strip * columns.divisor), begin, min(begin + height, steps),
            static_cast<int>(thread - pixel * packs.divisor) * V};
  }
};

using Units = Pack<std::uint32_t, kUnits>;

/// Element v of 16 bytes, widened.
template <class X>
__device__ __forceinline__ float element(const Units& units, int v) {
  if constexpr (std::is_same_v<X, bfloat16>) {
    return __uint_as_float(v % 2 == 0 ? units[v / 2] << 16 : units[v / 2] & 0xffff0000U);
  } else {
    return __uint_as_float(units[v]);
  }
}

/// V sums as 16 bytes of elements.
template <class X, class Sum>
__device__ __forceinline__ Units rounded(const Sum (&sums)[kPackSize<X>]) {
  Units units;
#pragma unroll
  for (int u = 0; u < kUnits; ++u) {
    if constexpr (std::is_same_v<X, bfloat16>) {
#if __CUDA_ARCH__ >= 800
      asm("cvt.rn.bf16x2.f32 %0, %1, %2;"
          : "=r"(units[u])
          : "f"(sums[2 * u + 1]), "f"(sums[2 * u]));
#else
      units[u] = bfloat16(sums[2 * u]).bits | std::uint32_t{bfloat16(sums[2 * u + 1]).bits} << 16;
#endif
    } else {
      units[u] = __float_as_uint(static_cast<float>(sums[u]));
    }
  }
  return units;
}

/// In each lane of a unit all bits where `value` takes the place of `best`: where it is larger, or
/// a NaN; nothing but a NaN replaces a NaN.
template <class X>
__device__ __forceinline__ std::uint32_t wins(std::uint32_t value, std::uint32_t best) {
  const auto lane_wins = [](std::uint32_t value_bits, std::uint32_t best_bits) {
    const float number = __uint_as_float(value_bits);
    return number > __uint_as_float(best_bits) || number != number;
  };
  if constexpr (std::is_same_v<X, bfloat16>) {
#if __CUDA_ARCH__ >= 900
    std::uint32_t larger = 0;
    std::uint32_t nan = 0;
    asm("set.gt.u32.bf16x2 %0, %1, %2;" : "=r"(larger) : "r"(value), "r"(best));
    asm("set.nan.u32.bf16x2 %0, %1, %1;" : "=r"(nan) : "r"(value));
    return larger | nan;
#else
    return (lane_wins(value << 16, best << 16) ? 0xffffU : 0U) |
           (lane_wins(value & 0xffff0000U, best & 0xffff0000U) ? 0xffff0000U : 0U);
#endif
  } else {
    return lane_wins(value, best) ? ~0U : 0U;
  }
}

/// The number `bit` << shift in each lane of a unit.
template <class X>
__device__ __forceinline__ std::uint32_t in_lanes(std::uint32_t bit, int shift) {
  return bit * (sizeof(X) == 2 ? 0x10001U : 1U) << shift;
}

/// The largest elements of some taps, and by lane what names the tap that they are of.
struct Leaders {
  Units value, tap;
};

template <class X>
__device__ __forceinline__ void take_larger(Leaders& best, const Units& value, const Units& tap) {
#pragma unroll
  for (int u = 0; u < kUnits; ++u) {
    const std::uint32_t mask = wins<X>(value[u], best.value[u]);
    best.value[u] = (value[u] & mask) | (best.value[u] & ~mask);
    best.tap[u] = (tap[u] & mask) | (best.tap[u] & ~mask);
  }
}

__device__ __forceinline__ Units repeated(std::uint32_t unit) { return {{unit, unit, unit, unit}}; }

/// Whatever lies outside the image is read as the pixel next to it, which the window contains as
/// well, and by the tap of that: it changes neither the largest element nor who has it.
template <class X, int F, int S>
__global__ void __launch_bounds__(kStripThreads)
    max_strips_forward_kernel(const __grid_constant__ Strips p, const X* __restrict__ x,
                              X* __restrict__ y, std::uint8_t* __restrict__ index) {
  begin_kernel();
  constexpr int V = kPackSize<X>;
  constexpr int kKept = F - S;  // rows that the next window shares
  const std::uint32_t stride = gridDim.x * kStripThreads;
  for (std::uint32_t i = blockIdx.x * kStripThreads + threadIdx.x; i < p.threads; i += stride) {
    const Strips::Place at = p.place_of(i, V);
    const X* image = x + at.n * p.IH * p.IW * p.C + at.c;
    const std::int64_t out = (at.n * p.OH * p.OW + at.column) * p.C + at.c;
    int offsets[F];
    std::uint32_t taps[F];
#pragma unroll
    for (int f = 0; f < F; ++f) {
      const int begin = at.column * S - p.pl;
      const int inside = min(max(begin + f, 0), p.IW - 1);
      offsets[f] = inside * p.C;
      taps[f] = in_lanes<X>(kColumnBit, inside - begin);
    }
    const auto load_row = [&](int row, Units(&values)[F]) {
      const int inside = min(max(row, 0), p.IH - 1) * p.IW * p.C;
#pragma unroll
      for (int f = 0; f < F; ++f) {
        values[f] = load_pack<kUnits>(
            reinterpret_cast<const std::uint32_t*>(image + (inside + offsets[f])));
      }
    };
    const auto leaders_of = [&](const Units(&values)[F]) {
      Leaders best{values[0], repeated(taps[0])};
#pragma unroll
      for (int f = 1; f < F; ++f) {
        take_larger<X>(best, values[f], repeated(taps[f]));
      }
      return best;
    };

    Leaders rows[F];
    Units values[S][F];
#pragma unroll
    for (int r = 0; r < kKept; ++r) {
      Units first[F];
      load_row(at.begin * S - p.pt + r, first);
      rows[r] = leaders_of(first);
    }
    const auto load_step = [&](int step) {
#pragma unroll
      for (int s = 0; s < S; ++s) {
        load_row(step * S - p.pt + kKept + s, values[s]);
      }
    };
    load_step(at.begin);
    for (int step = at.begin; step < at.end; ++step) {
#pragma unroll
      for (int s = 0; s < S; ++s) {
        rows[kKept + s] = leaders_of(values[s]);
      }
      if (step + 1 < at.end) {
        load_step(step + 1);
      }
      const int begin = step * S - p.pt;
      Leaders best;
#pragma unroll
      for (int r = 0; r < F; ++r) {
        const int inside = min(max(begin + r, 0), p.IH - 1);
        Leaders row = rows[r];
#pragma unroll
        for (int u = 0; u < kUnits; ++u) {
          row.tap[u] |= in_lanes<X>(kRowBit, inside - begin);
        }
        if (r == 0) {
          best = row;
        } else {
          take_larger<X>(best, row.value, row.tap);
        }
      }
      const std::int64_t to = out + std::int64_t{step} * p.OW * p.C;
      store_pack(reinterpret_cast<std::uint32_t*>(y + to), best.value);
      Pack<std::uint8_t, V> tap;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        constexpr int kLanes = V / kUnits;
        tap[v] = static_cast<std::uint8_t>(best.tap[v / kLanes] >> (v % kLanes * 16));
      }
      store_pack(index + to, tap);
#pragma unroll
      for (int r = 0; r < kKept; ++r) {
        rows[r] = rows[r + S];
      }
    }
  }
}

/// A step adds one row of windows to the F rows of pixels that they span, after which S of these
/// are done.
template <class X, int F, int S>
__global__ void __launch_bounds__(kStripThreads)
    max_strips_backward_kernel(const __grid_constant__ Strips p, const X* __restrict__ dy,
                               const std::uint8_t* __restrict__ index, X* __restrict__ dx) {
  begin_kernel();
  using Sum = SumOf<X>;
  constexpr int V = kPackSize<X>;
  constexpr int kWindows = (F + S - 1) / S;  // that span a pixel at most, along an axis
  const std::uint32_t stride = gridDim.x * kStripThreads;
  for (std::uint32_t i = blockIdx.x * kStripThreads + threadIdx.x; i < p.threads; i += stride) {
    const Strips::Place at = p.place_of(i, V);
    const std::int64_t out = at.n * p.OH * p.OW * p.C + at.c;
    const std::int64_t in = (at.n * p.IH * p.IW + at.column) * p.C + at.c;
    // Of the windows that span the column the last reads it by tap `phase`, those before by further
    // ones; where there is none a neighbour is loaded and its tap covered with ones.
    const int last = (at.column + p.pl) / S;
    const int phase = at.column + p.pl - last * S;
    int offsets[kWindows];
    std::uint32_t covers[kWindows];
#pragma unroll
    for (int k = 0; k < kWindows; ++k) {
      const int column = last - (kWindows - 1 - k);
      const bool spans = column >= 0 && column < p.OW && phase + (kWindows - 1 - k) * S < F;
      offsets[k] = min(max(column, 0), p.OW - 1) * p.C;
      covers[k] = spans ? 0U : ~0U;
    }
    Units gradients[kWindows];
    Pack<std::uint32_t, V / 4> taps[kWindows];
    const auto load_step = [&](int step) {
      const int row = min(max(step, 0), p.OH - 1) * p.OW * p.C;
#pragma unroll
      for (int k = 0; k < kWindows; ++k) {
        const std::int64_t from = out + (row + offsets[k]);
        gradients[k] = load_pack<kUnits>(reinterpret_cast<const std::uint32_t*>(dy + from));
        taps[k] = load_pack<V / 4>(reinterpret_cast<const std::uint32_t*>(index + from));
      }
    };

    Sum sums[F][V] = {};
    const int begin = max(at.begin - (kWindows - 1), 0);
    load_step(begin);
    // Windows of 3x3 and stride 2 not at all: nvcc 13.0 adds up wrong rows if it unrolls that loop.
#pragma unroll(S == 1 || S == F ? F : 1)
    for (int step = begin; step < at.end; ++step) {
      if (step < p.OH) {
#pragma unroll
        for (int k = 0; k < kWindows; ++k) {
          const std::uint32_t column_bit = kColumnBit << (phase + (kWindows - 1 - k) * S);
#pragma unroll
          for (int v = 0; v < V; ++v) {
            const std::uint32_t absent = ~taps[k][v / 4] | covers[k];
            const auto gradient = widen<Sum>(element<X>(gradients[k], v));
#pragma unroll
            for (int f = 0; f < F; ++f) {
              const std::uint32_t bits = (column_bit | kRowBit << f) << (v % 4 * 8);
              if ((absent & bits) == 0) {
                sums[f][v] += gradient;
              }
            }
          }
        }
      }
      if (step + 1 < at.end) {
        load_step(step + 1);
      }
#pragma unroll
      for (int s = 0; s < S; ++s) {
        const int row = step * S - p.pt + s;
        if (step >= at.begin && row >= 0 && row < p.IH) {
          X* to = dx + in + std::int64_t{row} * p.IW * p.C;
          store_pack(reinterpret_cast<std::uint32_t*>(to), rounded<X>(sums[s]));
        }
      }
#pragma unroll
      for (int f = 0; f < F; ++f) {
#pragma unroll
        for (int v = 0; v < V; ++v) {
          sums[f][v] = f + S < F ? sums[f + S < F ? f + S : f][v] : Sum{0};
        }
      }
    }
  }
}

/// Strips of `steps` rows of windows in `columns` columns.
inline Strips make_strips(const Pool2dProblem& p, std::int64_t columns, std::int64_t steps, int V) {
  const std::int64_t packs = p.C / V;
  // The taller, the less is read twice where windows overlap; but threads must fill the device.
  const std::int64_t most = p.sh > 1 ? 4 : p.N * columns * packs < 1 << 18 ? 8 : 16;
  const std::int64_t height = balanced(steps, most);
  const std::int64_t strips = ceil_div(steps, height);
  return {Divider<std::uint32_t>(packs),
          Divider<std::uint32_t>(columns),
          Divider<std::uint32_t>(strips),
          static_cast<std::uint32_t>(p.N * strips * columns * packs),
          narrow(steps),
          narrow(height),
          narrow(p.IH),
          narrow(p.IW),
          narrow(p.OH),
          narrow(p.OW),
          narrow(p.C),
          narrow(p.pt),
          narrow(p.pl)};
}

/// Calls body(F, S) with integral constants if kernels above take the problem; returns whether.
template <class X, class Body>
bool with_strips(const Pool2dProblem& p, bool aligned, Body&& body) {
  constexpr std::int64_t kMost = INT32_MAX;
  constexpr int V = kPackSize<X>;
  const std::int64_t pixels = std::max(p.IH * p.IW, p.OH * p.OW);
  if constexpr (!std::is_same_v<X, double>) {
    const bool fits = aligned && p.C % V == 0 && p.C <= kMost / pixels &&
                      p.N <= kMost / (pixels * (p.C / V)) && p.FH == p.FW && p.sh == p.sw &&
                      p.dh == 1 && p.dw == 1;
    const auto take = [&]<int F, int S>() {
      if (fits && p.FH == F && p.sh == S) {
        body(std::integral_constant<int, F>{}, std::integral_constant<int, S>{});
        return true;
      }
      return false;
    };
    return take.template operator()<2, 2>() || take.template operator()<3, 1>() ||
           take.template operator()<3, 2>();
  }
  return false;
}

}  // namespace cks::kernels::cuda
