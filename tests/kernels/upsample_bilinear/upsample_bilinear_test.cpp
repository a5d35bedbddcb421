#include "cks/kernels/upsample_bilinear/upsample_bilinear.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "tests/support/compare.h"
#include "tests/support/run_kernel.h"

using cks::kernels::BilinearProblem;

namespace {

struct Neighbours {
  std::int64_t low, high;
  double share;
};

/// The definition, in real numbers.
Neighbours neighbours(std::int64_t o, std::int64_t in, std::int64_t out, bool align_corners) {
  const auto i = static_cast<long double>(in);
  long double place =
      (static_cast<long double>(o) + 0.5L) * i / static_cast<long double>(out) - 0.5L;
  if (align_corners) {
    place =
        out == 1 ? 0.0L : static_cast<long double>(o) * (i - 1) / static_cast<long double>(out - 1);
  }
  place = std::clamp(place, 0.0L, i - 1);
  const auto low = static_cast<std::int64_t>(std::floor(place));
  return {low, std::min(low + 1, in - 1), static_cast<double>(place - std::floor(place))};
}

template <class T>
void check(const BilinearProblem& sizes) {
  BilinearProblem p = sizes;
  p.dtype = cks::dtype_of<T>();
  const std::int64_t in = p.N * p.IH * p.IW * p.C;
  const std::int64_t out = p.N * p.OH * p.OW * p.C;
  const auto x = random_values<T>(in, 1);
  const auto dy = random_values<T>(out, 2);
  std::vector<double> y(static_cast<std::size_t>(out));
  std::vector<double> dx(static_cast<std::size_t>(in));
  for (std::int64_t i = 0; i < out; ++i) {
    const std::int64_t c = i % p.C;
    const std::int64_t pixel = i / p.C;
    const std::int64_t n = pixel / (p.OH * p.OW);
    const Neighbours h = neighbours(pixel / p.OW % p.OH, p.IH, p.OH, p.align_corners);
    const Neighbours w = neighbours(pixel % p.OW, p.IW, p.OW, p.align_corners);
    const auto tap = [&](std::int64_t row, std::int64_t column, double weight) {
      const auto at = static_cast<std::size_t>(((n * p.IH + row) * p.IW + column) * p.C + c);
      y[static_cast<std::size_t>(i)] += weight * static_cast<double>(x[at]);
      dx[at] += weight * static_cast<double>(dy[static_cast<std::size_t>(i)]);
    };
    tap(h.low, w.low, (1 - h.share) * (1 - w.share));
    tap(h.low, w.high, (1 - h.share) * w.share);
    tap(h.high, w.low, h.share * (1 - w.share));
    tap(h.high, w.high, h.share * w.share);
  }
  const double tolerance = sizeof(T) == 4 ? 2e-6 : 1e-13;
  const auto forward = compare(
      run_kernel<T>(out, [&](T* to) { target::upsample_bilinear_forward(p, on_device(x), to); }), y,
      {.absolute = tolerance});
  CHECK_MESSAGE(forward.ok, forward.message);
  const auto backward = compare(
      run_kernel<T>(in, [&](T* to) { target::upsample_bilinear_backward(p, on_device(dy), to); }),
      dx, {.absolute = tolerance * 16});
  CHECK_MESSAGE(backward.ok, backward.message);
}

}  // namespace

TEST_CASE_TEMPLATE("upsample_bilinear equals the definition, both gradients of it", T, float,
                   double) {
  for (const bool align_corners : {false, true}) {
    CAPTURE(align_corners);
    for (const std::int64_t C : {1, 3, 8}) {
      for (const auto& [ih, iw, oh, ow] : std::vector<std::array<std::int64_t, 4>>{{4, 5, 8, 10},
                                                                                   {3, 7, 7, 5},
                                                                                   {1, 1, 4, 3},
                                                                                   {5, 6, 1, 1},
                                                                                   {2, 3, 9, 1},
                                                                                   {6, 4, 6, 4},
                                                                                   {9, 13, 4, 31},
                                                                                   {1, 7, 2, 20},
                                                                                   {11, 2, 3, 2}}) {
        CAPTURE(ih);
        CAPTURE(oh);
        check<T>({2, ih, iw, oh, ow, C, align_corners, cks::DType::float32});
      }
    }
    check<T>({0, 4, 4, 8, 8, 3, align_corners, cks::DType::float32});
  }
}
