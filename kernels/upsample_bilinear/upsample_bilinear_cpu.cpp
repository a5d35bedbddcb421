#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/upsample_bilinear/formulas_impl.h"
#include "cks/kernels/upsample_bilinear/upsample_bilinear.h"

namespace cks::kernels {
namespace {

template <class T>
void forward(const BilinearProblem& p, const T* x, T* y) {
  const BilinearAxis rows(p.IH, p.OH, p.align_corners);
  const BilinearAxis columns(p.IW, p.OW, p.align_corners);
  parallel_for_rows(p.N, p.OH, p.OW * p.C, [&](std::int64_t n, std::int64_t oh) {
    const BilinearPlace h = place_of(rows, oh);
    const T* const image = x + n * p.IH * p.IW * p.C;
    T* to = y + (n * p.OH + oh) * p.OW * p.C;
    for (std::int64_t ow = 0; ow < p.OW; ++ow, to += p.C) {
      const BilinearPlace w = place_of(columns, ow);
      for (std::int64_t c = 0; c < p.C; ++c) {
        to[c] = static_cast<T>(interpolated(h, w, [&](std::int64_t ih, std::int64_t iw) {
          return static_cast<double>(image[(ih * p.IW + iw) * p.C + c]);
        }));
      }
    }
  });
}

template <class T>
void backward(const BilinearProblem& p, const T* dy, T* dx) {
  const BilinearAxis rows(p.IH, p.OH, p.align_corners);
  const BilinearAxis columns(p.IW, p.OW, p.align_corners);
  parallel_for_rows(p.N, p.IH, p.IW * p.C, [&](std::int64_t n, std::int64_t ih) {
    const T* const image = dy + n * p.OH * p.OW * p.C;
    T* to = dx + (n * p.IH + ih) * p.IW * p.C;
    for (std::int64_t iw = 0; iw < p.IW; ++iw, to += p.C) {
      for (std::int64_t c = 0; c < p.C; ++c) {
        to[c] =
            static_cast<T>(gathered(rows, ih, columns, iw, [&](std::int64_t oh, std::int64_t ow) {
              return static_cast<double>(image[(oh * p.OW + ow) * p.C + c]);
            }));
      }
    }
  });
}

}  // namespace

namespace CKS_CPU {

void upsample_bilinear_forward(const BilinearProblem& problem, const void* x, void* y) {
  const auto run = [&](const auto* from, auto* to) { forward(problem, from, to); };
  visit_real_elements("upsample_bilinear", problem.dtype, run, x, y);
}

void upsample_bilinear_backward(const BilinearProblem& problem, const void* dy, void* dx) {
  const auto run = [&](const auto* from, auto* to) { backward(problem, from, to); };
  visit_real_elements("upsample_bilinear", problem.dtype, run, dy, dx);
}

}  // namespace CKS_CPU
}  // namespace cks::kernels
