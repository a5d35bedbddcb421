#include "cks/kernels/pool2d/pool2d.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tests/support/compare.h"
#include "tests/support/fill.h"
#include "tests/support/run_kernel.h"

using cks::Padding2d;
using cks::kernels::make_pool2d_problem;
using cks::kernels::Pool2dProblem;
using cks::kernels::Pool2dSizes;

namespace {

std::vector<Pool2dSizes> problems() {
  std::vector<Pool2dSizes> list;
  const auto add = [&](std::int64_t N, std::int64_t IH, std::int64_t IW, std::int64_t C,
                       std::int64_t FH, std::int64_t FW, cks::Size2 stride, Padding2d padding,
                       cks::Size2 dilation) {
    list.push_back({N, IH, IW, C, FH, FW, stride, padding, dilation, cks::DType::float32});
  };
  // Every chunk width, tiling windows with and without rest, overlap, gaps, uneven padding.
  for (const std::int64_t C : {1, 2, 3, 6, 8, 13, 16, 37}) {
    add(2, 7, 9, C, 2, 2, 2, 0, 1);
    add(3, 8, 6, C, 2, 3, {2, 3}, 0, 1);
    add(1, 7, 5, C, 3, 2, {2, 1}, {1, 0, 1, 1}, 1);
    add(2, 9, 11, C, 3, 3, {4, 5}, {2, 1, 0, 2}, 1);
    add(1, 9, 8, C, 2, 3, {1, 2}, {1, 2, 2, 1}, {3, 2});
    add(1, 4, 4, C, 1, 1, 1, 0, 1);
    add(0, 4, 4, C, 2, 2, 2, 0, 1);
  }
  add(4, 28, 28, 6, 2, 2, 2, 0, 1);
  // The same and more with windows that reach beyond the end.
  for (std::size_t i = 0, count = list.size(); i < count; ++i) {
    list.push_back(list[i]);
    list.back().ceil_mode = true;
  }
  list.push_back({1, 2, 2, 3, 3, 3, 2, 0, 1, cks::DType::float32, true});
  list.push_back({2, 5, 7, 4, 3, 2, {3, 4}, {0, 1, 1, 0}, 1, cks::DType::float32, true});
  add(1, 1, 2, 5, 2, 2, 1, {2, 2, 0, 0}, {3, 1});  // a row of windows that touch no pixel
  return list;
}

Pool2dProblem as(const Pool2dSizes& sizes, cks::DType dtype) {
  Pool2dSizes copy = sizes;
  copy.dtype = dtype;
  return make_pool2d_problem(copy, "pool");
}

std::size_t input_size(const Pool2dProblem& p) {
  return static_cast<std::size_t>(p.N * p.IH * p.IW * p.C);
}
std::size_t output_size(const Pool2dProblem& p) {
  return static_cast<std::size_t>(p.N * p.OH * p.OW * p.C);
}

/// Calls body(out, taps...) for each output element and body's tap function for its pixels.
template <class Start, class Tap, class End>
void for_windows(const Pool2dProblem& p, Start&& start, Tap&& tap, End&& end) {
  for (std::int64_t n = 0; n < p.N; ++n) {
    for (std::int64_t oh = 0; oh < p.OH; ++oh) {
      for (std::int64_t ow = 0; ow < p.OW; ++ow) {
        for (std::int64_t c = 0; c < p.C; ++c) {
          start();
          for (std::int64_t fh = 0; fh < p.FH; ++fh) {
            for (std::int64_t fw = 0; fw < p.FW; ++fw) {
              const std::int64_t ih = oh * p.sh - p.pt + fh * p.dh;
              const std::int64_t iw = ow * p.sw - p.pl + fw * p.dw;
              if (ih >= 0 && ih < p.IH && iw >= 0 && iw < p.IW) {
                const std::int64_t pixel = ih * p.IW + iw;
                tap(static_cast<std::size_t>((n * p.IH * p.IW + pixel) * p.C + c), pixel);
              }
            }
          }
          end(static_cast<std::size_t>(((n * p.OH + oh) * p.OW + ow) * p.C + c));
        }
      }
    }
  }
}

template <class T>
struct Maxima {
  std::vector<T> y;
  std::vector<std::int32_t> index;
};

template <class T>
Maxima<double> naive_max(const Pool2dProblem& p, const std::vector<T>& x) {
  Maxima<double> result{std::vector<double>(output_size(p)),
                        std::vector<std::int32_t>(output_size(p))};
  double best = 0.0;
  std::int64_t where = -1;
  for_windows(
      p,
      [&] {
        best = -std::numeric_limits<double>::infinity();
        where = -1;
      },
      [&](std::size_t at, std::int64_t pixel) {
        const auto value = static_cast<double>(x[at]);
        if (where < 0 || value > best || std::isnan(value)) {
          best = value;
          where = pixel;
        }
      },
      [&](std::size_t out) {
        result.y[out] = best;
        result.index[out] = static_cast<std::int32_t>(where);
      });
  return result;
}

template <class T>
std::vector<T> random_values(std::size_t count, std::uint64_t seed, bool few) {
  std::vector<T> values;
  for (std::size_t i = 0; i < count; ++i) {
    values.push_back(static_cast<T>(few ? static_cast<double>(random_integer(seed, i, 0, 2))
                                        : random_real(seed, i)));
  }
  return values;
}

std::int64_t elements(std::size_t count) { return static_cast<std::int64_t>(count); }

template <class T>
Maxima<T> run_max(const Pool2dProblem& p, const std::vector<T>& x) {
  Maxima<T> result;
  result.y = run_kernel<T>(elements(output_size(p)), [&](T* y) {
    TargetBuffer index(output_size(p) * sizeof(std::int32_t));
    target::max_pool2d_forward(p, on_device(x), y, index.as<std::int32_t>());
    CHECK(index.intact());
  });
  result.index = run_kernel<std::int32_t>(elements(output_size(p)), [&](std::int32_t* index) {
    TargetBuffer y(output_size(p) * sizeof(T));
    target::max_pool2d_forward(p, on_device(x), y.data(), index);
    CHECK(y.intact());
  });
  return result;
}

template <class T>
void check_max(const Pool2dSizes& sizes, bool few) {
  const Pool2dProblem p = as(sizes, cks::dtype_of<T>());
  const std::vector<T> x = random_values<T>(input_size(p), 1, few);
  const Maxima<double> expected = naive_max(p, x);
  const auto [y, index] = run_max(p, x);
  CHECK(index == expected.index);
  CHECK(std::vector<double>(y.begin(), y.end()) == expected.y);

  const std::vector<T> dy = random_values<T>(output_size(p), 2, few);
  std::vector<double> dx(input_size(p), 0.0);
  const std::int64_t image = p.IH * p.IW;
  for (std::size_t out = 0; out < dy.size(); ++out) {
    if (index[out] >= 0) {
      const std::int64_t n = static_cast<std::int64_t>(out) / (p.OH * p.OW * p.C);
      const std::int64_t c = static_cast<std::int64_t>(out) % p.C;
      dx[static_cast<std::size_t>((n * image + index[out]) * p.C + c)] +=
          static_cast<double>(dy[out]);
    }
  }
  const auto got = run_kernel<T>(elements(input_size(p)), [&, &where = index](T* result) {
    target::max_pool2d_backward(p, on_device(dy), on_device(where), result);
  });
  const auto result = compare(got, dx, {.absolute = few ? 0.0 : 1e-6});
  CHECK_MESSAGE(result.ok, result.message);
}

template <class T>
void check_avg(const Pool2dSizes& sizes, bool count_include_pad) {
  const Pool2dProblem p = as(sizes, cks::dtype_of<T>());
  const std::vector<T> x = random_values<T>(input_size(p), 3, false);
  const std::vector<T> dy = random_values<T>(output_size(p), 4, false);
  std::vector<double> y(output_size(p));
  std::vector<double> dx(input_size(p), 0.0);
  std::vector<std::size_t> taps;
  for_windows(
      p, [&] { taps.clear(); }, [&](std::size_t at, std::int64_t) { taps.push_back(at); },
      [&](std::size_t out) {
        // Taps between the ends of the padding along an axis.
        const auto padded = [](std::int64_t begin, std::int64_t filter, std::int64_t end) {
          return std::min(begin + filter, end) - begin;
        };
        const auto at_pixel = static_cast<std::int64_t>(out) / p.C;
        const double divisor = static_cast<double>(
            count_include_pad ? padded(at_pixel / p.OW % p.OH * p.sh - p.pt, p.FH, p.IH + p.pb) *
                                    padded(at_pixel % p.OW * p.sw - p.pl, p.FW, p.IW + p.pr)
                              : static_cast<std::int64_t>(taps.size()));
        double sum = 0.0;
        for (const std::size_t at : taps) {
          sum += static_cast<double>(x[at]);
          dx[at] += static_cast<double>(dy[out]) / divisor;
        }
        y[out] = sum / divisor;
      });
  const double tolerance = sizeof(T) == 4 ? 2e-6 : 1e-14;
  const auto forward = compare(
      run_kernel<T>(
          elements(output_size(p)),
          [&](T* out) { target::avg_pool2d_forward(p, count_include_pad, on_device(x), out); }),
      y, {.absolute = tolerance});
  CHECK_MESSAGE(forward.ok, forward.message);
  const auto backward = compare(
      run_kernel<T>(
          elements(input_size(p)),
          [&](T* out) { target::avg_pool2d_backward(p, count_include_pad, on_device(dy), out); }),
      dx, {.absolute = tolerance});
  CHECK_MESSAGE(backward.ok, backward.message);
}

}  // namespace

TEST_CASE("max_pool2d: values, first maximum and gradient equal the naive loops") {
  for (const Pool2dSizes& sizes : problems()) {
    CAPTURE(sizes.C);
    CAPTURE(sizes.FH);
    CAPTURE(sizes.IH);
    for (const bool few : {false, true}) {  // few values: ties in most windows
      check_max<float>(sizes, few);
      check_max<double>(sizes, few);
    }
  }
}

TEST_CASE("avg_pool2d: both ways of counting equal the naive loops") {
  for (const Pool2dSizes& sizes : problems()) {
    if (sizes.dilation == cks::Size2(1)) {
      CAPTURE(sizes.C);
      CAPTURE(sizes.IH);
      for (const bool include : {false, true}) {
        check_avg<float>(sizes, include);
        check_avg<double>(sizes, include);
      }
    }
  }
}

TEST_CASE("pool2d: sums that float32 cannot hold on the way are right in the end") {
  for (const std::int64_t C : {1, 16}) {
    CAPTURE(C);
    const auto in_all_channels = [C](std::vector<float> pixels) {
      std::vector<float> values;
      for (const float pixel : pixels) {
        values.insert(values.end(), static_cast<std::size_t>(C), pixel);
      }
      return values;
    };
    const Pool2dProblem wide = make_pool2d_problem({1, 1, 4, C, 1, 4, 4}, "pool");
    const auto mean = [&](const std::vector<float>& pixels) {
      const std::vector<float> x = in_all_channels(pixels);
      return run_kernel<float>(
          C, [&](float* y) { target::avg_pool2d_forward(wide, true, on_device(x), y); });
    };
    CHECK(mean({1e8F, 1, -1e8F, 0}) == in_all_channels({0.25F}));
    CHECK(mean({2e38F, 2e38F, 2e38F, 2e38F}) == in_all_channels({2e38F}));

    // One pixel in three windows.
    const Pool2dProblem shared =
        make_pool2d_problem({1, 1, 1, C, 1, 3, 1, Padding2d(0, 0, 2, 2)}, "pool");
    const std::vector<float> dy = in_all_channels({3e8F, 3, -3e8F});
    const std::vector<std::int32_t> index(dy.size(), 0);
    CHECK(run_kernel<float>(C, [&](float* dx) {
            target::avg_pool2d_backward(shared, true, on_device(dy), dx);
          }) == in_all_channels({1}));
    CHECK(run_kernel<float>(C, [&](float* dx) {
            target::max_pool2d_backward(shared, on_device(dy), on_device(index), dx);
          }) == in_all_channels({3}));
  }
}

TEST_CASE("max_pool2d: a NaN wins, the last one, and -infinity has a place") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float low = -std::numeric_limits<float>::infinity();
  const Pool2dProblem p = make_pool2d_problem({1, 2, 4, 1, 2, 2, 2}, "max_pool2d");
  const std::vector<float> x{nan, 5, low, low, 7, nan, low, low};
  const auto [y, index] = run_max(p, x);
  CHECK(std::isnan(y[0]));
  CHECK(index[0] == 5);
  CHECK(y[1] == low);
  CHECK(index[1] == 2);
}

TEST_CASE("global_avg_pool2d: the mean of each channel and its gradient") {
  for (const std::int64_t C : {1, 3, 6, 16, 40}) {
    const std::int64_t N = 3;
    const std::int64_t pixels = 35;
    const auto x = random_values<float>(static_cast<std::size_t>(N * pixels * C), 5, false);
    const auto dy = random_values<float>(static_cast<std::size_t>(N * C), 6, false);
    std::vector<double> y(static_cast<std::size_t>(N * C), 0.0);
    std::vector<double> dx(x.size());
    for (std::int64_t i = 0; i < N * pixels * C; ++i) {
      const std::int64_t out = i / (pixels * C) * C + i % C;
      y[static_cast<std::size_t>(out)] += static_cast<double>(x[static_cast<std::size_t>(i)]) / 35;
      dx[static_cast<std::size_t>(i)] = static_cast<double>(dy[static_cast<std::size_t>(out)]) / 35;
    }
    const auto got_y = run_kernel<float>(elements(y.size()), [&](float* out) {
      target::global_avg_pool2d_forward(cks::DType::float32, N, pixels, C, on_device(x), out);
    });
    const auto got_dx = run_kernel<float>(elements(dx.size()), [&](float* out) {
      target::global_avg_pool2d_backward(cks::DType::float32, N, pixels, C, on_device(dy), out);
    });
    CHECK_MESSAGE(compare(got_y, y, {.absolute = 1e-7}).ok, "forward, C ", C);
    CHECK_MESSAGE(compare(got_dx, dx, {.absolute = 1e-8}).ok, "backward, C ", C);
  }
}

TEST_CASE("pool2d: ceil_mode counts windows as PyTorch does") {
  const auto windows = [](std::int64_t in, std::int64_t filter, std::int64_t stride,
                          const Padding2d& padding, std::int64_t dilation = 1) {
    Pool2dSizes sizes{1, in, in, 1, filter, filter, stride, padding, dilation};
    const std::int64_t whole = make_pool2d_problem(sizes, "pool").OH;
    sizes.ceil_mode = true;
    return std::pair(whole, make_pool2d_problem(sizes, "pool").OH);
  };
  using Both = std::pair<std::int64_t, std::int64_t>;
  CHECK(windows(5, 2, 2, 0) == Both{2, 3});
  CHECK(windows(6, 2, 2, 0) == Both{3, 3});
  CHECK(windows(7, 3, 2, 1) == Both{4, 4});
  CHECK(windows(6, 3, 2, 1) == Both{3, 4});
  CHECK(windows(4, 2, 3, 1) == Both{2, 2});  // the third would begin in the padding behind
  CHECK(windows(8, 2, 3, 0, 3) == Both{2, 3});
  CHECK(make_pool2d_problem({1, 2, 2, 1, 3, 3, 2, 0, 1, cks::DType::float32, true}, "pool").OH ==
        1);
}

TEST_CASE("pool2d: impossible sizes are refused with all of them in the message") {
  CHECK_THROWS_WITH_AS(make_pool2d_problem({2, 3, 8, 4, 5, 2, 2, 0}, "max_pool2d"),
                       "max_pool2d: the window exceeds the padded image (input [2,3,8,4], window "
                       "{5,2}, stride {2,2}, padding {0,0,0,0}, dilation {1,1})",
                       cks::ShapeError);
  const auto message = [](const Pool2dSizes& sizes) -> std::string {
    try {
      make_pool2d_problem(sizes, "pool");
    } catch (const cks::ShapeError& error) {
      return error.what();
    }
    return "accepted";
  };
  CHECK(message({1, 8, 8, 1, 2, 2, 0}).find("stride must be at least 1") != std::string::npos);
  CHECK(message({1, 8, 8, 1, 2, 2, 2, -1}).find("padding is negative") != std::string::npos);
  CHECK(message({1, 8, 8, 1, 2, 2, 2, 2}).find("smaller than the window") != std::string::npos);
  CHECK(message({1, 8, 8, 1, 2, 2, 2, 0, 0}).find("dilation") != std::string::npos);
  CHECK(message({1, 0, 8, 1, 2, 2}).find("image is empty") != std::string::npos);
  CHECK(message({1, 8, 8, 1, 0, 2}).find("window must be") != std::string::npos);
  CHECK(message({1, 1 << 16, 1 << 15, 1, 2, 2}).find("2^31") != std::string::npos);
  CHECK(message({0, 8, 8, 1, 2, 2}) == "accepted");
}
