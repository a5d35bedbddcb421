// Bilinear resizing on a GPU: a thread makes one element of the result. Gradients are gathered in
// the CPU's order, so nothing is ever added by two threads.
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/upsample_bilinear/formulas_impl.h"
#include "cks/kernels/upsample_bilinear/upsample_bilinear.h"

namespace cks::kernels::cuda {
namespace {

constexpr int kThreads = 256;

/// Y from X, or with kGradient dX from dY.
template <bool kGradient, class T>
__global__ void __launch_bounds__(kThreads)
    upsample_kernel(BilinearProblem p, std::int64_t count, const T* from, T* to) {
  begin_kernel();
  const BilinearAxis rows(p.IH, p.OH, p.align_corners);
  const BilinearAxis columns(p.IW, p.OW, p.align_corners);
  const std::int64_t height = kGradient ? p.IH : p.OH, width = kGradient ? p.IW : p.OW;
  const std::int64_t from_height = kGradient ? p.OH : p.IH, from_width = kGradient ? p.OW : p.IW;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count;
       i += stride) {
    const std::int64_t c = i % p.C, pixel = i / p.C;
    const std::int64_t column = pixel % width, line = pixel / width;
    const std::int64_t row = line % height, n = line / height;
    const auto at = [&](std::int64_t h, std::int64_t w) {
      return static_cast<double>(from[((n * from_height + h) * from_width + w) * p.C + c]);
    };
    to[i] = static_cast<T>(kGradient
                               ? gathered(rows, row, columns, column, at)
                               : interpolated(place_of(rows, row), place_of(columns, column), at));
  }
}

template <bool kGradient>
void run(const BilinearProblem& p, const void* x, void* y) {
  const std::int64_t count = p.N * (kGradient ? p.IH * p.IW : p.OH * p.OW) * p.C;
  if (count == 0) {
    return;
  }
  const auto launch_typed = [&]<class T>(const T* from, T* to) {
    launch("upsample_bilinear", upsample_kernel<kGradient, T>, grid_for(count, kThreads), kThreads,
           0, p, count, from, to);
  };
  visit_real_elements("upsample_bilinear", p.dtype, launch_typed, x, y);
}

}  // namespace

void upsample_bilinear_forward(const BilinearProblem& problem, const void* x, void* y) {
  run<false>(problem, x, y);
}

void upsample_bilinear_backward(const BilinearProblem& problem, const void* dy, void* dx) {
  run<true>(problem, dy, dx);
}

}  // namespace cks::kernels::cuda
