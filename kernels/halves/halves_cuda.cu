// Halves of tensors: the first launch finds the largest element of a sample, the second one rounds
// everything to what that suggests and finds the largest of all, the third one rounds again where
// the sample was wrong, and otherwise ends at once.
#include <cuda_fp16.h>

#include <algorithm>

#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/common/math.h"
#include "cks/kernels/halves/halves.h"

namespace cks::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kMostBlocks = 1056;  // of a tensor: eight for each multiprocessor of a large GPU
constexpr int kSampled = 16;       // one of so many stretches of kThreads quads
constexpr int kMostSamplers = kThreads;  // blocks of a tensor's sample
constexpr int kInFlight = 4;             // loads of a thread
constexpr int kMostJobs = 2;

/// Before the halves.
struct Header {
  int exponent;  // of the halves
  int suggested;
  unsigned largest;                   // bits of the largest magnitude
  unsigned of_sample[kMostSamplers];  // of each block
};
static_assert(sizeof(Header) <= kHalvesHeader);

/// A tensor as quads, 4 elements each.
struct Quads {
  const float* from;
  std::int64_t count;
  std::int64_t pitch;
  int across;  // of a pixel; 0: they lie one after the other
  int blocks, samplers;
  unsigned char* halves;

  __device__ __forceinline__ float4 operator[](std::int64_t i) const {
    const std::int64_t at = across == 0 ? i * 4 : i / across * pitch + i % across * 4;
    return *reinterpret_cast<const float4*>(from + at);
  }
  __device__ __forceinline__ Header& header() const { return *reinterpret_cast<Header*>(halves); }
};

struct Work {
  Quads tensor[kMostJobs];

  /// The block's tensor, and which of its blocks it is, of which it has `count`.
  __device__ __forceinline__ auto of_block(int Quads::*count, int& block) const -> const Quads& {
    block = static_cast<int>(blockIdx.x);
    if (block < tensor[0].*count) {
      return tensor[0];
    }
    block -= tensor[0].*count;
    return tensor[1];
  }
};

/// The bits of |x|, in whose order they are; 0 for Inf and NaN.
__device__ __forceinline__ unsigned magnitude(float x) {
  constexpr unsigned kInf = 0x7f800000;
  const unsigned bits = __float_as_uint(x) & 0x7fffffff;
  return bits < kInf ? bits : 0;
}
__device__ __forceinline__ unsigned largest_of(const float4& q) {
  return max(max(magnitude(q.x), magnitude(q.y)), max(magnitude(q.z), magnitude(q.w)));
}

/// Of all threads of a block, known to all of them.
__device__ unsigned largest_of_block(unsigned value) {
  __shared__ unsigned of_warp[kThreads / 32];
  for (int distance = 16; distance > 0; distance /= 2) {
    value = max(value, __shfl_xor_sync(~0U, value, distance));
  }
  __syncthreads();  // all have read what an earlier call left
  if (threadIdx.x % 32 == 0) {
    of_warp[threadIdx.x / 32] = value;
  }
  __syncthreads();
  for (const unsigned other : of_warp) {
    value = max(value, other);
  }
  return value;
}

__global__ void __launch_bounds__(kThreads) sample_kernel(const __grid_constant__ Work work) {
  begin_kernel();
  int block = 0;
  const Quads& quads = work.of_block(&Quads::samplers, block);
  const std::int64_t stride = std::int64_t{quads.samplers} * kThreads * kSampled;
  unsigned largest = 0;
  for (std::int64_t first = std::int64_t{block} * kThreads * kSampled + threadIdx.x;
       first < quads.count; first += kInFlight * stride) {
    float4 quad[kInFlight];
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      const std::int64_t at = first + i * stride;
      quad[i] = at < quads.count ? quads[at] : float4{};
    }
#pragma unroll
    for (const float4& q : quad) {
      largest = max(largest, largest_of(q));
    }
  }
  largest = largest_of_block(largest);
  if (threadIdx.x == 0) {
    quads.header().of_sample[block] = largest;
    if (block == 0) {
      quads.header().largest = 0;
    }
  }
}

/// The exponent whose halves of a magnitude of these bits lie in [2^top, 2^(top+1)).
__device__ __forceinline__ int exponent_for(unsigned largest, int top) {
  constexpr int kLeast = -126;  // 2^-exponent stays a float32
  return largest == 0 ? 0 : max(kLeast, static_cast<int>(largest >> 23) - 127 - top);
}

__device__ __forceinline__ unsigned rounded_halves(float first, float second, float scale) {
  const __half2 pair = __floats2half2_rn(first * scale, second * scale);
  return *reinterpret_cast<const unsigned*>(&pair);
}

/// Rounds the block's share; returns the largest magnitude that the thread met.
__device__ __forceinline__ unsigned round_share(const Quads& quads, int block, int exponent) {
  const float scale = __uint_as_float(static_cast<unsigned>(127 - exponent) << 23);
  auto* const to = reinterpret_cast<uint4*>(quads.halves + kHalvesHeader);
  const std::int64_t count = quads.count / 2, stride = std::int64_t{quads.blocks} * kThreads;
  constexpr int kPairs = kInFlight / 2;
  unsigned largest = 0;
  for (std::int64_t first = std::int64_t{block} * kThreads + threadIdx.x; first < count;
       first += kPairs * stride) {
    float4 quad[kPairs][2];
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      const std::int64_t at = first + i * stride;
      quad[i][0] = at < count ? quads[2 * at] : float4{};
      quad[i][1] = at < count ? quads[2 * at + 1] : float4{};
    }
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      if (const std::int64_t at = first + i * stride; at < count) {
        const auto& [a, b] = quad[i];
        largest = max(largest, max(largest_of(a), largest_of(b)));
        to[at] = make_uint4(rounded_halves(a.x, a.y, scale), rounded_halves(a.z, a.w, scale),
                            rounded_halves(b.x, b.y, scale), rounded_halves(b.z, b.w, scale));
      }
    }
  }
  return largest;
}

constexpr int kTop = 14;  // of an exponent that follows from all elements
constexpr int kRoom = 6;  // that one leaves which follows from a sample: what that missed may be
                          // 2^kRoom times as large

__global__ void __launch_bounds__(kThreads) round_kernel(const __grid_constant__ Work work) {
  begin_kernel();
  int block = 0;
  const Quads& quads = work.of_block(&Quads::blocks, block);
  Header& header = quads.header();
  const int thread = static_cast<int>(threadIdx.x);
  const unsigned of_sample = thread < quads.samplers ? header.of_sample[thread] : 0;
  const int exponent = exponent_for(largest_of_block(of_sample), kTop - kRoom);
  const unsigned largest = largest_of_block(round_share(quads, block, exponent));
  if (thread == 0) {
    atomicMax(&header.largest, largest);  // in any order the same
    if (block == 0) {
      header.exponent = header.suggested = exponent;
    }
  }
}

__global__ void __launch_bounds__(kThreads) round_again_kernel(const __grid_constant__ Work work) {
  begin_kernel();
  int block = 0;
  const Quads& quads = work.of_block(&Quads::blocks, block);
  Header& header = quads.header();
  const int exponent = exponent_for(header.largest, kTop);
  if (header.suggested >= exponent && header.suggested <= exponent + kRoom) {
    return;
  }
  round_share(quads, block, exponent);
  if (block == 0 && threadIdx.x == 0) {
    header.exponent = exponent;
  }
}

}  // namespace

void make_halves(const char* operation, std::span<const HalvesJob> jobs) {
  Work work{};
  int blocks = 0, samplers = 0, at = 0;
  const auto share = [](std::int64_t quads, int each, int most) {
    return narrow(std::clamp<std::int64_t>(ceil_div(quads, each), 1, most));
  };
  for (const HalvesJob& job : jobs) {
    const std::int64_t quads = job.pixels * job.channels / 4;
    Quads& tensor = work.tensor[at++];
    tensor = {job.from,
              quads,
              job.pitch,
              job.pitch == job.channels ? 0 : narrow(job.channels / 4),
              share(quads, kThreads * kInFlight, kMostBlocks),
              share(quads, kThreads * kSampled, kMostSamplers),
              static_cast<unsigned char*>(job.halves)};
    blocks += tensor.blocks;
    samplers += tensor.samplers;
  }
  if (at > 0) {
    launch(operation, sample_kernel, static_cast<unsigned>(samplers), kThreads, 0, work);
    launch(operation, round_kernel, static_cast<unsigned>(blocks), kThreads, 0, work);
    launch(operation, round_again_kernel, static_cast<unsigned>(blocks), kThreads, 0, work);
  }
}

}  // namespace cks::kernels::cuda
