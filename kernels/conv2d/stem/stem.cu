// ConvV2 for first layers: a product of positions x channels whose terms are all taps and input
// channels together.
//
//   block       four warps of 32 positions each, and up to 64 channels; walks over tiles of
//               positions, and stages the pixels of the next while it multiplies those of one
//   shared      the whole filter as the products take it, for each pair of terms where a patch has
//               it, two strips of pixels (stem.h)
//   operands    a lane reads a pair of terms of a position from the strip; what a pair has beyond
//               its run is masked, since a neighbouring pixel might be NaN
//   channels    are dealt to the columns of the products so that a lane has 16 bytes of neighbours
//
// In strict fp32 sums are cut after 64 terms and go on in registers, as in hopper/planes.cu.
#include <algorithm>

#include "cks/kernels/conv2d/hopper/operands.h"
#include "cks/kernels/conv2d/stem/kernels.h"
#include "cks/kernels/conv2d/stem/stem.cuh"

namespace cks::kernels::stem {
namespace {

constexpr int kThreads = kPositions;
constexpr int kHalves = 2;    // products of 16 positions, of a warp
constexpr int kCutSteps = 4;  // of 16 terms
constexpr int kPairs = kTermsOfStep / 2;

template <class T>
struct Parameters {
  StemShape s;
  StripSource source;
  const Loaded<T>* x;
  const T* w;
  T* y;
  TypedEpilogue<T> epilogue;
  bool packs;  // Y and the residual take 16 bytes at a time
};

/// Where a block's shared memory begins what.
struct Shared {
  std::uint32_t* filter;  // [plane][step][columns / 16][lane][4]
  uint2* pairs;           // of terms: words from a position's first, mask
  float* affine;          // bias, scale, shift of the columns
  std::uint32_t* strips;

  __device__ Shared(unsigned char* raw, const StemShape& s)
      : filter(reinterpret_cast<std::uint32_t*>(raw)),
        pairs(reinterpret_cast<uint2*>(filter + s.planes * s.filter_words)),
        affine(reinterpret_cast<float*>(pairs + s.steps * kPairs)),
        strips(reinterpret_cast<std::uint32_t*>(affine + 3 * s.columns)) {}
};

template <class T>
constexpr int kPack = 16 / static_cast<int>(sizeof(T));  // channels of a store

/// The channel that column n of the products' eight columns j has.
template <class T>
__device__ __forceinline__ int channel_of(int j, int n) {
  return 2 * j / kPack<T> * 4 * kPack<T> + n / 2 * kPack<T> + 2 * j % kPack<T> + n % 2;
}

/// Each pair of terms of each channel, in the lane's order of the products.
template <class T, int kPlanes, int kColumns>
__device__ __forceinline__ void stage_filter(const Parameters<T>& p, int channel0,
                                             std::uint32_t* filter) {
  const StemShape& s = p.s;
  const std::int64_t size = std::int64_t{s.runs} * s.run_length;
  for (int i = static_cast<int>(threadIdx.x); i < s.filter_words; i += kThreads) {
    const int lane = i / 4 % 32, step = i / (8 * kColumns);
    const int j = i / 128 % (kColumns / 16) * 2 + i / 2 % 2;
    const int pair = step * kPairs + lane % 4 + i % 2 * 4;
    const int run = pair / s.run_pairs, term = 2 * (pair - run * s.run_pairs);
    const int channel = channel0 + channel_of<T>(j, lane / 4);
    const T* from = p.w + channel * size + run * s.run_length + term;
    const bool exists = run < s.runs && channel < p.source.problem.OC;
    const float first = exists ? static_cast<float>(from[0]) : 0.0F;
    const float second = exists && term + 1 < s.run_length ? static_cast<float>(from[1]) : 0.0F;
    std::uint32_t planes[kPlanes];
    ampere::split_pair(make_float2(first, second), planes);
#pragma unroll
    for (int plane = 0; plane < kPlanes; ++plane) {
      filter[plane * s.filter_words + i] = planes[plane];
    }
  }
}

/// Where a position's patch has each pair of terms.
__device__ __forceinline__ void fill_pairs(const StemShape& s, const Conv2dProblem& p,
                                           uint2* pairs) {
  for (int pair = static_cast<int>(threadIdx.x); pair < s.steps * kPairs; pair += kThreads) {
    const TermPair at = term_pair(s, p, pair);
    pairs[pair] = make_uint2(static_cast<unsigned>(at.words), at.mask);
  }
}

template <class T>
__device__ __forceinline__ void fill_affine(const Parameters<T>& p, int channel0, float* affine) {
  const int columns = p.s.columns;
  for (int i = static_cast<int>(threadIdx.x); i < columns; i += kThreads) {
    const auto value = [&](const T* values, float missing) {
      return values != nullptr && channel0 + i < p.source.problem.OC
                 ? static_cast<float>(values[channel0 + i])
                 : missing;
    };
    affine[i] = value(p.epilogue.bias, 0.0F);
    affine[columns + i] = value(p.epilogue.scale, 1.0F);
    affine[2 * columns + i] = value(p.epilogue.shift, 0.0F);
  }
}

/// A warp's sums of 32 positions: [half][eight columns][element of a lane].
template <int kColumns>
using Sums = float[kHalves][kColumns / 8][4];

/// base: words from the strip's start to a lane's positions, [half][row, row + 8].
template <int kPlanes, int kColumns>
__device__ __forceinline__ void multiply_tile(const StemShape& s, const Shared& shared,
                                              const std::uint32_t* strip,
                                              const int (&base)[kHalves][2], Sums<kColumns>& sums) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const auto multiply = [&](Sums<kColumns>& to, int begin, int end, int left, int right) {
    const std::uint32_t* const pixels = strip + left * s.tiles.copies * s.tiles.copy_words;
    const auto* const filter =
        reinterpret_cast<const uint4*>(shared.filter + right * s.filter_words) + lane;
#pragma unroll 2
    for (int step = begin; step < end; ++step) {
      const uint2 low = shared.pairs[step * kPairs + lane % 4];
      const uint2 high = shared.pairs[step * kPairs + 4 + lane % 4];
      std::uint32_t a[kHalves][4];
#pragma unroll
      for (int half = 0; half < kHalves; ++half) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          a[half][i] = pixels[base[half][i] + low.x] & low.y;
          a[half][2 + i] = pixels[base[half][i] + high.x] & high.y;
        }
      }
#pragma unroll
      for (int j = 0; j < kColumns / 8; j += 2) {
        const uint4 word = filter[(step * (kColumns / 16) + j / 2) * 32];
        const std::uint32_t b[2][2] = {{word.x, word.y}, {word.z, word.w}};
#pragma unroll
        for (int half = 0; half < kHalves; ++half) {
          ampere::multiply_bf16(to[half][j], a[half], b[0]);
          ampere::multiply_bf16(to[half][j + 1], a[half], b[1]);
        }
      }
    }
  };
  if constexpr (kPlanes < 3) {
    multiply_planes<kPlanes>([&](int left, int right) { multiply(sums, 0, s.steps, left, right); });
  } else {
    for (int begin = 0; begin < s.steps; begin += kCutSteps) {
      Sums<kColumns> cut{};
      multiply_planes<kPlanes>([&](int left, int right) {
        multiply(cut, begin, min(begin + kCutSteps, s.steps), left, right);
      });
#pragma unroll
      for (int i = 0; i < kHalves * kColumns / 2; ++i) {
        const int half = i / (kColumns / 2), j = i / 4 % (kColumns / 8);
        sums[half][j][i % 4] += cut[half][j][i % 4];
      }
    }
  }
}

template <class T>
__device__ __forceinline__ void store_pack(T* to, const float (&values)[kPack<T>]) {
  if constexpr (sizeof(T) == 2) {
    std::uint32_t pairs[4][1];
#pragma unroll
    for (int v = 0; v < 4; ++v) {
      ampere::split_pair(make_float2(values[2 * v], values[2 * v + 1]), pairs[v]);
    }
    *reinterpret_cast<uint4*>(to) = make_uint4(pairs[0][0], pairs[1][0], pairs[2][0], pairs[3][0]);
  } else {
    *reinterpret_cast<float4*>(to) = make_float4(values[0], values[1], values[2], values[3]);
  }
}

/// What is left to do to a pack's values, which begin `at` elements behind the result's base.
template <class T>
__device__ __forceinline__ void finish_pack(const Parameters<T>& p, std::int64_t at, int existing,
                                            float (&values)[kPack<T>]) {
  const TypedEpilogue<T>& e = p.epilogue;
  if (e.residual != nullptr) {
    if (p.packs && existing >= kPack<T>) {
      const auto residual = cuda::load_pack<kPack<T>>(e.residual + at);
#pragma unroll
      for (int v = 0; v < kPack<T>; ++v) {
        values[v] += static_cast<float>(residual[v]);
      }
    } else {
#pragma unroll
      for (int v = 0; v < kPack<T>; ++v) {
        values[v] += v < existing ? static_cast<float>(e.residual[at + v]) : 0.0F;
      }
    }
  }
#pragma unroll
  for (int v = 0; v < kPack<T>; ++v) {
    values[v] = activated(values[v], e.slope);
  }
}

template <class T, int kColumns>
__device__ __forceinline__ void store_tile(const Parameters<T>& p, const float* affine,
                                           int channel0, int tile, const int (&place)[kHalves][2],
                                           const Sums<kColumns>& sums) {
  constexpr int V = kPack<T>;
  const int t = static_cast<int>(threadIdx.x) % 4;
  const Origin origin = origin_of(p.s.tiles, tile);
  std::int64_t row[kHalves][2];
#pragma unroll
  for (int i = 0; i < kHalves * 2; ++i) {
    row[i / 2][i % 2] = output_of(p.source.problem, origin, place[i / 2][i % 2]);
  }
#pragma unroll
  for (int q = 0; q < kColumns / 4 / V; ++q) {
    const int column = (q * 4 + t) * V;
    const int existing = static_cast<int>(p.source.problem.OC) - channel0 - column;
    if (existing <= 0) {
      continue;
    }
    float bias[V], scale[V], shift[V];
#pragma unroll
    for (int v = 0; v < V; ++v) {
      bias[v] = affine[column + v];
      scale[v] = affine[kColumns + column + v];
      shift[v] = affine[2 * kColumns + column + v];
    }
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if (row[half][i] < 0) {
          continue;
        }
        float values[V];
#pragma unroll
        for (int v = 0; v < V; ++v) {
          values[v] = sums[half][(q * V + v) / 2][2 * i + v % 2] + bias[v];
        }
        const std::int64_t at = row[half][i] + channel0 + column;
        if (!p.epilogue.is_plain) {
#pragma unroll
          for (int v = 0; v < V; ++v) {
            values[v] = values[v] * scale[v] + shift[v];
          }
          finish_pack(p, at, existing, values);
        }
        if (p.packs && existing >= V) {
          store_pack(p.y + at, values);
        } else {
#pragma unroll
          for (int v = 0; v < V; ++v) {
            if (v < existing) {
              p.y[at + v] = static_cast<T>(values[v]);
            }
          }
        }
      }
    }
  }
}

/// That a multiprocessor runs at once.
template <int kPlanes>
constexpr int kBlocks = 5 - kPlanes;

template <class T, int kPlanes, int kColumns>
__global__ void __launch_bounds__(kThreads, kBlocks<kPlanes>)
    stem_kernel(const __grid_constant__ Parameters<T> p) {
  cuda::begin_kernel();
  extern __shared__ __align__(16) unsigned char raw[];
  const StemShape& s = p.s;
  const StemTiles& t = s.tiles;
  const Shared shared(raw, s);
  const int channel0 = static_cast<int>(blockIdx.y) * kColumns;
  const int strip_words = kPlanes * t.copies * t.copy_words;
  const auto stage = [&](int tile, int strip) {
    p.source.template stage<kThreads, kPlanes>(
        p.x, tile, shared.strips + strip * strip_words, [&](int row, int column, int channel) {
          return row * t.row_pitch + column * t.held_channels + channel;
        });
  };

  int base[kHalves][2], place[kHalves][2];
#pragma unroll
  for (int i = 0; i < kHalves * 2; ++i) {
    const int thread = static_cast<int>(threadIdx.x);
    const int packed = place_of(t, thread / 32 * 32 + i * 8 + thread % 32 / 4);
    place[i / 2][i % 2] = packed;
    base[i / 2][i % 2] =
        packed == kNoPlace ? 0 : pair_at(t, patch_element(t, p.source.problem, unpacked(packed)));
  }

  stage_filter<T, kPlanes, kColumns>(p, channel0, shared.filter);
  fill_pairs(s, p.source.problem, shared.pairs);
  fill_affine(p, channel0, shared.affine);
  const auto step = static_cast<int>(gridDim.x);
  int tile = static_cast<int>(blockIdx.x);
  stage(tile, 0);
  __syncthreads();
  for (int strip = 0; tile < t.count; tile += step, strip ^= 1) {
    if (t.count - tile > step) {
      stage(tile + step, strip ^ 1);
    }
    Sums<kColumns> sums{};
    multiply_tile<kPlanes, kColumns>(s, shared, shared.strips + strip * strip_words, base, sums);
    store_tile<T, kColumns>(p, shared.affine, channel0, tile, place, sums);
    __syncthreads();
  }
}

template <class T, int kPlanes>
void launch_stem(const StemShape& s, const Conv2dProblem& problem, const Conv2dOperands& o) {
  const bool packs =
      problem.y_pitch % kPack<T> == 0 && cuda::aligned_for_packs(o.result, o.epilogue.residual);
  const Parameters<T> p{s,
                        StripSource(problem, s.tiles),
                        static_cast<const Loaded<T>*>(o.x),
                        static_cast<const T*>(o.w),
                        static_cast<T*>(o.result),
                        TypedEpilogue<T>(o.epilogue),
                        packs};
  // As many blocks as stay on the GPU; each then walks over its tiles.
  const int resident = hopper::multiprocessor_count() *
                       std::clamp(2 * kMostShared / s.shared_bytes, 1, kBlocks<kPlanes>);
  const int walkers = std::min(s.tiles.count, std::max(1, resident / s.channel_tiles));
  cuda::launch("convv2",
               s.columns == 64 ? stem_kernel<T, kPlanes, 64> : stem_kernel<T, kPlanes, 32>,
               dim3(static_cast<unsigned>(walkers), static_cast<unsigned>(s.channel_tiles)),
               kThreads, static_cast<std::size_t>(s.shared_bytes), p);
}

}  // namespace

std::int64_t run_stem(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  const auto& s = conv.data<StemShape>();
  const auto launch_planes = s.planes == 1   ? launch_stem<bfloat16, 1>
                             : s.planes == 2 ? launch_stem<float, 2>
                                             : launch_stem<float, 3>;
  launch_planes(s, conv.problem, operands);
  return executed_of(s);
}

}  // namespace cks::kernels::stem
