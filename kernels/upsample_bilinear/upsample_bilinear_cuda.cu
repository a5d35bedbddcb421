// Bilinear resizing on a GPU: a thread makes one element of the result. Gradients are gathered in
// the CPU's order, so nothing is ever added by two threads.
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/upsample_bilinear/formulas_impl.h"
#include "cks/kernels/upsample_bilinear/upsample_bilinear.h"

namespace cks::kernels::cuda {
namespace {

constexpr int kThreads = 256;

/// Calls body(i, image, row, column, channel) for this thread's share of the elements i of images
/// [N,H,W,C].
template <class Body>
__device__ __forceinline__ void for_share(std::int64_t N, std::int64_t H, std::int64_t W,
                                          std::int64_t C, Body&& body) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
       i < N * H * W * C; i += stride) {
    const std::int64_t pixel = i / C;
    const std::int64_t row = pixel / W;
    body(i, row / H, row % H, pixel % W, i % C);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) forward_kernel(BilinearProblem p, const T* x, T* y) {
  begin_kernel();
  const BilinearAxis rows(p.IH, p.OH, p.align_corners);
  const BilinearAxis columns(p.IW, p.OW, p.align_corners);
  for_share(p.N, p.OH, p.OW, p.C,
            [&](std::int64_t i, std::int64_t n, std::int64_t oh, std::int64_t ow, std::int64_t c) {
              const BilinearPlace h = place_of(rows, oh);
              const BilinearPlace w = place_of(columns, ow);
              const auto at = [&](std::int64_t ih, std::int64_t iw) {
                return static_cast<double>(x[((n * p.IH + ih) * p.IW + iw) * p.C + c]);
              };
              const double upper = (1.0 - w.share) * at(h.low, w.low) + w.share * at(h.low, w.high);
              const double lower =
                  (1.0 - w.share) * at(h.high, w.low) + w.share * at(h.high, w.high);
              y[i] = static_cast<T>((1.0 - h.share) * upper + h.share * lower);
            });
}

template <class T>
__global__ void __launch_bounds__(kThreads) backward_kernel(BilinearProblem p, const T* dy, T* dx) {
  begin_kernel();
  const BilinearAxis rows(p.IH, p.OH, p.align_corners);
  const BilinearAxis columns(p.IW, p.OW, p.align_corners);
  for_share(p.N, p.IH, p.IW, p.C,
            [&](std::int64_t i, std::int64_t n, std::int64_t ih, std::int64_t iw, std::int64_t c) {
              const BilinearOutputs near_rows = outputs_near(rows, ih);
              const BilinearOutputs near_columns = outputs_near(columns, iw);
              double sum = 0.0;
              for (std::int64_t oh = near_rows.begin; oh < near_rows.end; ++oh) {
                const double row_weight = place_of(rows, oh).weight_of(ih);
                for (std::int64_t ow = near_columns.begin; ow < near_columns.end; ++ow) {
                  sum += row_weight * place_of(columns, ow).weight_of(iw) *
                         static_cast<double>(dy[((n * p.OH + oh) * p.OW + ow) * p.C + c]);
                }
              }
              dx[i] = static_cast<T>(sum);
            });
}

}  // namespace

void upsample_bilinear_forward(const BilinearProblem& problem, const void* x, void* y) {
  const auto run = [&]<class T>(const T* from, T* to) {
    const std::int64_t count = problem.N * problem.OH * problem.OW * problem.C;
    if (count > 0) {
      launch("upsample_bilinear", forward_kernel<T>, grid_for(count, kThreads), kThreads, 0,
             problem, from, to);
    }
  };
  visit_real_elements("upsample_bilinear", problem.dtype, run, x, y);
}

void upsample_bilinear_backward(const BilinearProblem& problem, const void* dy, void* dx) {
  const auto run = [&]<class T>(const T* from, T* to) {
    const std::int64_t count = problem.N * problem.IH * problem.IW * problem.C;
    if (count > 0) {
      launch("upsample_bilinear", backward_kernel<T>, grid_for(count, kThreads), kThreads, 0,
             problem, from, to);
    }
  };
  visit_real_elements("upsample_bilinear", problem.dtype, run, dy, dx);
}

}  // namespace cks::kernels::cuda
