// Halves of tensors: one launch finds what is largest in each block's share, a second one takes the
// largest of all and rounds, from the tensor's end, of which the cache still holds most.
#include <cuda_fp16.h>

#include <algorithm>

#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/common/math.h"
#include "cks/kernels/halves/halves.h"

namespace cks::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kMostBlocks = 1024;  // of a tensor, whose largest elements the header has room for
constexpr std::size_t kMaximaAt = 64;  // bytes into the header
static_assert(kMaximaAt + kMostBlocks * sizeof(unsigned) <= kHalvesHeader);
constexpr int kInFlight = 4;  // loads of a thread
constexpr int kMostJobs = 2;

/// A tensor as quads, 4 elements each.
struct Quads {
  const float* from;
  std::int64_t count;
  std::int64_t pitch;
  int across;  // of a pixel; 0: they lie one after the other
  int blocks;
  unsigned char* halves;

  __device__ __forceinline__ float4 operator[](std::int64_t i) const {
    const std::int64_t at = across == 0 ? i * 4 : i / across * pitch + i % across * 4;
    return *reinterpret_cast<const float4*>(from + at);
  }
  __device__ unsigned* maxima() const { return reinterpret_cast<unsigned*>(halves + kMaximaAt); }
};

struct Work {
  Quads tensor[kMostJobs];

  /// The block's tensor, and which of its blocks it is.
  const __device__ __forceinline__ Quads& of_block(int& block) const {
    block = static_cast<int>(blockIdx.x);
    if (block < tensor[0].blocks) {
      return tensor[0];
    }
    block -= tensor[0].blocks;
    return tensor[1];
  }
};

/// The bits of |x|, in whose order they are; 0 for Inf and NaN.
__device__ __forceinline__ unsigned magnitude(float x) {
  constexpr unsigned kInf = 0x7f800000;
  const unsigned bits = __float_as_uint(x) & 0x7fffffff;
  return bits < kInf ? bits : 0;
}

/// Of all threads of a block, known to all of them.
__device__ unsigned largest_of_block(unsigned value) {
  __shared__ unsigned of_warp[kThreads / 32];
  for (int distance = 16; distance > 0; distance /= 2) {
    value = max(value, __shfl_xor_sync(~0U, value, distance));
  }
  if (threadIdx.x % 32 == 0) {
    of_warp[threadIdx.x / 32] = value;
  }
  __syncthreads();
  for (const unsigned other : of_warp) {
    value = max(value, other);
  }
  return value;
}

__global__ void __launch_bounds__(kThreads) find_largest_kernel(const __grid_constant__ Work work) {
  begin_kernel();
  int block = 0;
  const Quads& quads = work.of_block(block);
  const std::int64_t stride = std::int64_t{quads.blocks} * kThreads;
  unsigned largest = 0;
  for (std::int64_t first = std::int64_t{block} * kThreads + threadIdx.x; first < quads.count;
       first += kInFlight * stride) {
    float4 quad[kInFlight];
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      const std::int64_t at = first + i * stride;
      quad[i] = at < quads.count ? quads[at] : float4{};
    }
#pragma unroll
    for (const float4& q : quad) {
      largest = max(max(largest, max(magnitude(q.x), magnitude(q.y))),
                    max(magnitude(q.z), magnitude(q.w)));
    }
  }
  largest = largest_of_block(largest);
  if (threadIdx.x == 0) {
    quads.maxima()[block] = largest;
  }
}

/// The exponent of halves whose largest element has these bits.
__device__ __forceinline__ int exponent_of(unsigned largest) {
  constexpr int kTop = 14, kLeast = -126;  // 2^-exponent stays a float32
  return largest == 0 ? 0 : max(kLeast, static_cast<int>(largest >> 23) - 127 - kTop);
}

__device__ __forceinline__ unsigned rounded_halves(float first, float second, float scale) {
  const __half2 pair = __floats2half2_rn(first * scale, second * scale);
  return *reinterpret_cast<const unsigned*>(&pair);
}

__global__ void __launch_bounds__(kThreads)
    round_to_halves_kernel(const __grid_constant__ Work work) {
  begin_kernel();
  int block = 0;
  const Quads& quads = work.of_block(block);
  unsigned largest = 0;
  for (int i = static_cast<int>(threadIdx.x); i < quads.blocks; i += kThreads) {
    largest = max(largest, quads.maxima()[i]);
  }
  const int exponent = exponent_of(largest_of_block(largest));
  if (block == 0 && threadIdx.x == 0) {
    *reinterpret_cast<int*>(quads.halves) = exponent;
  }
  const float scale = __uint_as_float(static_cast<unsigned>(127 - exponent) << 23);
  auto* const to = reinterpret_cast<uint4*>(quads.halves + kHalvesHeader);
  const std::int64_t count = quads.count / 2, stride = std::int64_t{quads.blocks} * kThreads;
  constexpr int kPairs = kInFlight / 2;
  for (std::int64_t last = count - 1 - std::int64_t{block} * kThreads - threadIdx.x; last >= 0;
       last -= kPairs * stride) {
    float4 quad[kPairs][2];
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      const std::int64_t at = last - i * stride;
      quad[i][0] = at >= 0 ? quads[2 * at] : float4{};
      quad[i][1] = at >= 0 ? quads[2 * at + 1] : float4{};
    }
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      if (const std::int64_t at = last - i * stride; at >= 0) {
        const auto& [a, b] = quad[i];
        to[at] = make_uint4(rounded_halves(a.x, a.y, scale), rounded_halves(a.z, a.w, scale),
                            rounded_halves(b.x, b.y, scale), rounded_halves(b.z, b.w, scale));
      }
    }
  }
}

}  // namespace

void make_halves(const char* operation, std::span<const HalvesJob> jobs) {
  Work work{};
  int blocks = 0, at = 0;
  for (const HalvesJob& job : jobs) {
    const std::int64_t quads = job.pixels * job.channels / 4;
    Quads& tensor = work.tensor[at++];
    tensor = {
        job.from,
        quads,
        job.pitch,
        job.pitch == job.channels ? 0 : narrow(job.channels / 4),
        narrow(std::clamp<std::int64_t>(ceil_div(quads, kThreads * kInFlight), 1, kMostBlocks)),
        static_cast<unsigned char*>(job.halves)};
    blocks += tensor.blocks;
  }
  if (blocks > 0) {
    launch(operation, find_largest_kernel, static_cast<unsigned>(blocks), kThreads, 0, work);
    launch(operation, round_to_halves_kernel, static_cast<unsigned>(blocks), kThreads, 0, work);
  }
}

}  // namespace cks::kernels::cuda
