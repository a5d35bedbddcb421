// Sk-dilated for first layers: a product of channels of dY x all taps and input channels together,
// whose sums run over the positions.
//
//   block       eight warps that together keep 64 channels x all terms in registers while tile
//               after tile passes: each 32 channels x a quarter of the terms. In bf16
//               the next tile is staged while one is multiplied
//   shared      strips of pixels (stem.h), tiles of dY in rows of a position's 64 channels
//   operands    a lane reads a pair of neighbouring positions of a term from the strip, masked
//               where a position does not exist; dY is read transposed
//   slices      partial gradients of the blocks, added in order by a second kernel
//
// What are planes of float32 is summed as in stem.cu, but cut after 64 positions in tf32 too.
#include "cks/kernels/conv2d/hopper/operands.h"
#include "cks/kernels/conv2d/stem/kernels.h"
#include "cks/kernels/conv2d/stem/stem.cuh"

namespace cks::kernels::stem {
namespace {

constexpr int kThreads = 32 * kGradientWarps;
constexpr int kHalves = 2;  // products of 16 channels, of a warp
constexpr int kSteps = kPositions / kTermsOfStep;
constexpr int kCutSteps = 4;
constexpr int kRowBytes = kGradientChannels * 2;
constexpr int kTileBytes = kPositions * kRowBytes;     // of a plane of dY
constexpr int kChunks = kRowBytes / 16;                // of eight channels, of a position
constexpr int kOwn = kPositions * kChunks / kThreads;  // chunks that a thread stages

template <class T>
struct Parameters {
  StemTapsShape s;
  StripSource source;
  cuda::Divider<std::uint32_t> by_column_stride;
  const Loaded<T>* x;
  const Loaded<T>* dy;
  float* out;  // dW, or [slices][dW]
  std::int64_t filter_size;
  int slices;
  bool packs;  // dY takes 16 bytes at a time
};

/// Where a block's shared memory begins what, of one of its buffers.
template <int kPlanes>
struct Shared {
  unsigned char* dy;     // [plane][position][chunk, swizzled over the row]
  uint2* pairs;          // of positions: words from the strip's start, mask
  std::uint32_t* strip;  // [plane][copy]

  __device__ Shared(unsigned char* raw, const StemTiles& t, int which) {
    constexpr int kBuffers = gradient_buffers(kPlanes), kPairs = kPositions / 2;
    dy = raw + which * kPlanes * kTileBytes;
    auto* const all_pairs = reinterpret_cast<uint2*>(raw + kBuffers * kPlanes * kTileBytes);
    pairs = all_pairs + which * kPairs;
    strip = reinterpret_cast<std::uint32_t*>(all_pairs + kBuffers * kPairs) +
            which * kPlanes * t.copies * t.copy_words;
  }
};

/// Bytes from a tile's start to a chunk: rows that are read together then meet in no bank.
__device__ __forceinline__ int chunk_at(int position, int chunk) {
  return position * kRowBytes + ((chunk ^ (position & 7)) << 4);
}

/// Eight channels of dY.
template <class L>
struct Chunk {
  alignas(16) L value[8];
};

/// The channels of a position from `from` on, of which so many exist.
template <class L>
__device__ __forceinline__ Chunk<L> load_chunk(const L* from, int existing, bool packs) {
  constexpr int kWords = static_cast<int>(sizeof(Chunk<L>)) / 16;
  Chunk<L> chunk;
  if (packs && existing >= 8) {
#pragma unroll
    for (int i = 0; i < kWords; ++i) {
      const uint4 words = __ldg(reinterpret_cast<const uint4*>(from) + i);
      reinterpret_cast<uint4*>(chunk.value)[i] = words;
    }
  } else {
#pragma unroll
    for (int v = 0; v < 8; ++v) {
      chunk.value[v] = v < existing ? __ldg(from + v) : L{0};
    }
  }
  return chunk;
}

template <int kPlanes>
__device__ __forceinline__ void store_chunk(unsigned char* dy, int at, const Chunk<float>& chunk) {
  std::uint32_t pairs[4][kPlanes];
#pragma unroll
  for (int v = 0; v < 4; ++v) {
    ampere::split_pair(make_float2(chunk.value[2 * v], chunk.value[2 * v + 1]), pairs[v]);
  }
#pragma unroll
  for (int plane = 0; plane < kPlanes; ++plane) {
    *reinterpret_cast<uint4*>(dy + plane * kTileBytes + at) =
        make_uint4(pairs[0][plane], pairs[1][plane], pairs[2][plane], pairs[3][plane]);
  }
}
template <int kPlanes>
__device__ __forceinline__ void store_chunk(unsigned char* dy, int at,
                                            const Chunk<std::uint16_t>& chunk) {
  static_assert(kPlanes == 1, "bfloat16 is its own plane");
  *reinterpret_cast<uint4*>(dy + at) = *reinterpret_cast<const uint4*>(chunk.value);
}

/// dY, pixels and pairs of positions of one tile. place: of the thread's chunks of dY, then of its
/// pair.
template <class T, int kPlanes>
__device__ __forceinline__ void stage_tile(const Parameters<T>& p, int tile, int channel0,
                                           const int (&place)[kOwn + 1],
                                           const Shared<kPlanes>& shared) {
  const Conv2dProblem& problem = p.source.problem;
  const StemTiles& t = p.s.tiles;
  const int thread = static_cast<int>(threadIdx.x);
  const Origin origin = origin_of(t, tile);
  const int channel = channel0 + thread % kChunks * 8;
  Chunk<Loaded<T>> chunk[kOwn];
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
    const std::int64_t at = output_of(problem, origin, place[i]);
    const int existing = at < 0 ? 0 : static_cast<int>(problem.OC) - channel;
    chunk[i] = load_chunk(p.dy + (existing > 0 ? at + channel : 0), existing, p.packs);
  }
  p.source.template stage<kThreads, kPlanes>(
      p.x, tile, shared.strip, [&](int row, int column, int c) {
        const auto phase_column = static_cast<std::uint32_t>(column);
        const std::uint32_t index = p.by_column_stride.divide(phase_column);
        const std::uint32_t phase = phase_column - index * p.by_column_stride.divisor;
        const auto stride = static_cast<int>(p.by_column_stride.divisor);
        return row * t.row_pitch + (c * stride + static_cast<int>(phase)) * p.s.phase_pitch +
               static_cast<int>(index);
      });
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
    store_chunk<kPlanes>(shared.dy,
                         chunk_at(thread / kChunks + i * (kThreads / kChunks), thread % kChunks),
                         chunk[i]);
  }
  if (thread < kPositions / 2) {
    const int first = place[kOwn];
    const Place at = unpacked(first);
    const bool exists = output_of(problem, origin, first) >= 0;
    const bool next = exists && origin.ow + at.ow + 1 < problem.OW;
    shared.pairs[thread] =
        make_uint2(exists ? static_cast<unsigned>(position_element(t, problem, at) / 2) : 0U,
                   (exists ? 0x0000ffffU : 0U) | (next ? 0xffff0000U : 0U));
  }
}

/// A warp's sums: [half of its channels][tile of terms][element of a lane].
template <int kTiles>
using Sums = float[kHalves][kTiles][4];

/// words: from a pair of positions to those of the lane's terms.
template <int kPlanes, int kTiles>
__device__ __forceinline__ void multiply_tile(const StemTiles& t, const Shared<kPlanes>& shared,
                                              const int (&words)[kTiles], Sums<kTiles>& sums) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int channel_chunk = static_cast<int>(threadIdx.x) / 32 % 2 * 4 + lane / 8 % 2;
  const auto multiply = [&](Sums<kTiles>& to, int begin, int end, int left, int right) {
    const unsigned char* const dy = shared.dy + left * kTileBytes;
    const std::uint32_t* const strip = shared.strip + right * t.copies * t.copy_words;
#pragma unroll 2
    for (int step = begin; step < end; ++step) {
      std::uint32_t a[kHalves][4];
      const int position = step * kTermsOfStep + lane / 16 * 8 + lane % 8;
#pragma unroll
      for (int half = 0; half < kHalves; ++half) {
        const unsigned char* const row = dy + chunk_at(position, channel_chunk + half * 2);
        ampere::load_matrices<true>(a[half],
                                    static_cast<std::uint32_t>(__cvta_generic_to_shared(row)));
      }
      const uint2 low = shared.pairs[step * 8 + lane % 4];
      const uint2 high = shared.pairs[step * 8 + 4 + lane % 4];
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
        const std::uint32_t b[2] = {strip[low.x + words[i]] & low.y,
                                    strip[high.x + words[i]] & high.y};
#pragma unroll
        for (int half = 0; half < kHalves; ++half) {
          ampere::multiply_bf16(to[half][i], a[half], b);
        }
      }
    }
  };
  if constexpr (kPlanes == 1) {
    multiply(sums, 0, kSteps, 0, 0);
  } else {
#pragma unroll 1
    for (int begin = 0; begin < kSteps; begin += kCutSteps) {
      Sums<kTiles> cut{};
      multiply_planes<kPlanes>(
          [&](int left, int right) { multiply(cut, begin, begin + kCutSteps, left, right); });
#pragma unroll
      for (int i = 0; i < kHalves * kTiles * 4; ++i) {
        const int half = i / (kTiles * 4), at = i / 4 % kTiles;
        sums[half][at][i % 4] += cut[half][at][i % 4];
      }
    }
  }
}

template <class T, int kPlanes, int kTiles>
__global__ void __launch_bounds__(kThreads, gradient_blocks(kPlanes, kTiles))
    stem_taps_kernel(const __grid_constant__ Parameters<T> p) {
  cuda::begin_kernel();
  extern __shared__ __align__(16) unsigned char raw[];
  const StemTapsShape& s = p.s;
  const StemTiles& t = s.tiles;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int channel0 = static_cast<int>(blockIdx.y) * kGradientChannels;

  int place[kOwn + 1];
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
    place[i] = place_of(t, thread / kChunks + i * (kThreads / kChunks));
  }
  place[kOwn] = place_of(t, thread % (kPositions / 2) * 2);
  int words[kTiles];
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
    const int term = (i * 4 + warp / 2) * 8 + lane / 4;
    words[i] = term < s.terms ? term_words(s, p.source.problem, term) : 0;
  }

  const auto cut = [&](std::int64_t at) { return static_cast<int>(t.count * at / p.slices); };
  const int begin = cut(blockIdx.x), end = cut(std::int64_t{blockIdx.x} + 1);
  Sums<kTiles> sums{};
  const auto stage = [&](int tile, int which) {
    if (tile < end) {
      stage_tile(p, tile, channel0, place, Shared<kPlanes>(raw, t, which));
    }
  };
  stage(begin, 0);
  __syncthreads();
  for (int tile = begin; tile < end; ++tile) {
    const int which = (tile - begin) % gradient_buffers(kPlanes);
    if constexpr (gradient_buffers(kPlanes) == 2) {
      stage(tile + 1, 1 - which);
    }
    multiply_tile<kPlanes>(t, Shared<kPlanes>(raw, t, which), words, sums);
    __syncthreads();
    if constexpr (gradient_buffers(kPlanes) == 1) {
      stage(tile + 1, which);
      __syncthreads();
    }
  }

  float* const out = p.out + blockIdx.x * p.filter_size;
#pragma unroll
  for (int i = 0; i < kHalves * kTiles * 4; ++i) {
    const int half = i / (kTiles * 4), at = i / 4 % kTiles;
    const int channel = channel0 + warp % 2 * 32 + half * 16 + i % 4 / 2 * 8 + lane / 4;
    const int term = (at * 4 + warp / 2) * 8 + lane % 4 * 2 + i % 2;
    if (channel < p.source.problem.OC && term < s.terms) {
      out[std::int64_t{channel} * s.terms + term] = sums[half][at][i % 4];
    }
  }
}

template <class T, int kPlanes>
void launch_taps(const StemTapsShape& s, const PreparedConv2d& conv, const Conv2dOperands& o) {
  const Conv2dProblem& problem = conv.problem;
  const std::int64_t split_k = conv.plan.split_k;
  const Parameters<T> p{s,
                        StripSource(problem, s.tiles),
                        cuda::Divider<std::uint32_t>(problem.sw),
                        static_cast<const Loaded<T>*>(o.x),
                        static_cast<const Loaded<T>*>(o.y),
                        static_cast<float*>(cuda::gradient_slices(conv, o)),
                        problem.OC * s.terms,
                        narrow(split_k),
                        problem.y_pitch * static_cast<std::int64_t>(sizeof(T)) % 16 == 0 &&
                            cuda::aligned_for_packs(o.y)};
  const auto kernel = s.term_tiles == 1   ? stem_taps_kernel<T, kPlanes, 1>
                      : s.term_tiles == 5 ? stem_taps_kernel<T, kPlanes, 5>
                                          : stem_taps_kernel<T, kPlanes, 8>;
  cuda::launch("sk_dilated", kernel,
               dim3(static_cast<unsigned>(split_k), static_cast<unsigned>(s.channel_tiles)),
               kThreads, static_cast<std::size_t>(s.shared_bytes), p);
  cuda::add_gradient_slices(conv, o);
}

}  // namespace

std::int64_t run_stem_taps(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  const auto& s = conv.data<StemTapsShape>();
  const auto launch_planes = s.planes == 1   ? launch_taps<bfloat16, 1>
                             : s.planes == 2 ? launch_taps<float, 2>
                                             : launch_taps<float, 3>;
  launch_planes(s, conv, operands);
  return executed_of(s);
}

}  // namespace cks::kernels::stem
