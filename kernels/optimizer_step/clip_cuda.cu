#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/optimizer_step/clip.h"

namespace cks::kernels::cuda {
namespace {

constexpr int kWarp = 32;

/// One warp: its lanes add in turn, and then in a fixed tree.
__global__ void clip_factor_kernel(const double* squares, std::int64_t count, double max_norm,
                                   double* norm, double* factor) {
  double sum = 0.0;
  for (std::int64_t i = threadIdx.x; i < count; i += kWarp) {
    sum += squares[i];
  }
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    sum += __shfl_xor_sync(0xffffffffU, sum, distance);
  }
  if (threadIdx.x == 0) {
    *norm = sqrt(sum);
    *factor = clip_ratio(*norm, max_norm);
  }
}

__global__ void all_set_kernel(const std::uint8_t* flags, std::int64_t count,
                               std::uint8_t* result) {
  bool all = true;
  for (std::int64_t i = threadIdx.x; i < count; i += kWarp) {
    all = all && flags[i] != 0;
  }
  all = __all_sync(0xffffffffU, all ? 1 : 0) != 0;
  if (threadIdx.x == 0) {
    *result = all ? 1 : 0;
  }
}

}  // namespace

void clip_factor(const double* squares, std::int64_t count, double max_norm, double* norm,
                 double* factor) {
  launch("clip_factor", clip_factor_kernel, 1, kWarp, 0, squares, count, max_norm, norm, factor);
}

void all_set(const std::uint8_t* flags, std::int64_t count, std::uint8_t* result) {
  launch("all_set", all_set_kernel, 1, kWarp, 0, flags, count, result);
}

}  // namespace cks::kernels::cuda
