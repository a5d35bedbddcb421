#include "cks/kernels/pool2d/pool2d.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
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
  // Windows that GPUs walk in strips: more rows than a strip has, padding on every side, small
  // maps.
  for (const auto& [window, stride] : {std::pair(2, 2), std::pair(3, 1), std::pair(3, 2)}) {
    add(2, 19, 6, 16, window, window, stride, 0, 1);
    add(2, 18, 7, 24, window, window, stride, 1, 1);
    add(3, 5, 4, 8, window, window, stride, {window - 1, 0, window - 1, 1}, 1);
    add(1, 2, 3, 8, window, window, stride, {0, window - 1, 1, window - 1}, 1);
    add(1, 1, 1, 8, window, window, stride, window - 1, 1);
  }
  add(1, 17, 16, 8, 17, 16, 1, 0, 1);  // more taps than a byte can tell apart
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

/// Maxima and the pixels that have them.
struct NaiveMaxima {
  std::vector<double> y;
  std::vector<std::int64_t> pixel;
};

template <class T>
NaiveMaxima naive_max(const Pool2dProblem& p, const std::vector<T>& x) {
  NaiveMaxima result{std::vector<double>(output_size(p)),
                     std::vector<std::int64_t>(output_size(p))};
  double best = 0.0;
  std::int64_t where = -1;
  for_windows(
      p,
      [&] {
        best = -std::numeric_limits<double>::infinity();
        where = -1;
      },
      [&](std::size_t at, std::int64_t pixel) {
        const double value = as_double(x[at]);
        if (where < 0 || value > best || std::isnan(value)) {
          best = value;
          where = pixel;
        }
      },
      [&](std::size_t out) {
        result.y[out] = best;
        result.pixel[out] = where;
      });
  return result;
}

enum class Values : std::uint8_t { reals, few, special };

/// `few`: ties in most windows. `special`: infinities and NaNs among them.
template <class T>
std::vector<T> drawn(std::size_t count, std::uint64_t seed, Values kind) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const double special[] = {
      -kInfinity, -kInfinity, -kInfinity, -kInfinity,
      -1.0,       0.0,        kInfinity,  std::numeric_limits<double>::quiet_NaN()};
  std::vector<T> values;
  for (std::size_t i = 0; i < count; ++i) {
    const double value = kind == Values::reals ? random_real(seed, i)
                         : kind == Values::few ? static_cast<double>(random_integer(seed, i, 0, 2))
                                               : special[random_integer(seed, i, 0, 7)];
    values.push_back(from_double<T>(value));
  }
  return values;
}

std::int64_t elements(std::size_t count) { return static_cast<std::int64_t>(count); }

template <class T>
struct Maxima {
  std::vector<T> y;
  std::vector<std::uint8_t> index;
};

template <class T>
Maxima<T> run_max(const Pool2dProblem& p, const std::vector<T>& x) {
  const std::size_t bytes = target::max_pool2d_index_bytes(p);
  Maxima<T> result;
  result.y = run_kernel<T>(elements(output_size(p)), [&](T* y) {
    TargetBuffer index(bytes);
    target::max_pool2d_forward(p, on_device(x), y, index.data());
    CHECK(index.intact());
  });
  result.index = run_kernel<std::uint8_t>(
      elements(bytes),
      [&](std::uint8_t* index) {
        TargetBuffer y(output_size(p) * sizeof(T));
        target::max_pool2d_forward(p, on_device(x), y.data(), index);
        CHECK(y.intact());
      },
      sizeof(std::int32_t));
  return result;
}

template <class T>
std::vector<T> run_max_backward(const Pool2dProblem& p, const std::vector<T>& dy,
                                const std::vector<std::uint8_t>& index) {
  return run_kernel<T>(elements(input_size(p)), [&](T* dx) {
    target::max_pool2d_backward(p, on_device(dy), on_device(index), dx);
  });
}

template <class T>
void check_max(const Pool2dSizes& sizes, Values kind) {
  const Pool2dProblem p = as(sizes, cks::dtype_of<T>());
  const std::vector<T> x = drawn<T>(input_size(p), 1, kind);
  const NaiveMaxima expected = naive_max(p, x);
  const auto [y, index] = run_max(p, x);
  std::size_t equal = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double got = as_double(y[i]);
    equal += got == expected.y[i] || (std::isnan(got) && std::isnan(expected.y[i])) ? 1U : 0U;
  }
  CHECK(equal == expected.y.size());

  // What the index says shows in the gradient: no two of dY are alike.
  const std::vector<T> dy = drawn<T>(output_size(p), 2, Values::reals);
  std::vector<double> dx(input_size(p), 0.0);
  const std::int64_t image = p.IH * p.IW;
  for (std::size_t out = 0; out < dy.size(); ++out) {
    if (expected.pixel[out] >= 0) {
      const std::int64_t n = static_cast<std::int64_t>(out) / (p.OH * p.OW * p.C);
      const std::int64_t c = static_cast<std::int64_t>(out) % p.C;
      dx[static_cast<std::size_t>((n * image + expected.pixel[out]) * p.C + c)] +=
          as_double(dy[out]);
    }
  }
  // Sums of few such numbers are exact and rounded once.
  for (double& value : dx) {
    value = as_double(from_double<T>(value));
  }
  const auto result = compare(run_max_backward(p, dy, index), dx);
  CHECK_MESSAGE(result.ok, result.message);
}

template <class T>
void check_avg(const Pool2dSizes& sizes, bool count_include_pad) {
  const Pool2dProblem p = as(sizes, cks::dtype_of<T>());
  const std::vector<T> x = drawn<T>(input_size(p), 3, Values::reals);
  const std::vector<T> dy = drawn<T>(output_size(p), 4, Values::reals);
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
          sum += as_double(x[at]);
          dx[at] += as_double(dy[out]) / divisor;
        }
        y[out] = sum / divisor;
      });
  // Half of a bfloat16's last bit below 4, the last of a float32, some of a float64.
  const double tolerance = sizeof(T) == 2 ? 0x1p-7 + 2e-6 : sizeof(T) == 4 ? 2e-6 : 1e-14;
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

template <class T>
void check_global_avg(std::int64_t pixels, std::int64_t C) {
  const std::int64_t N = 3;
  const cks::DType dtype = cks::dtype_of<T>();
  const auto x = drawn<T>(static_cast<std::size_t>(N * pixels * C), 5, Values::reals);
  const auto dy = drawn<T>(static_cast<std::size_t>(N * C), 6, Values::reals);
  std::vector<double> y(dy.size(), 0.0);
  std::vector<double> dx(x.size());
  for (std::int64_t i = 0; i < N * pixels * C; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const auto out = static_cast<std::size_t>(i / (pixels * C) * C + i % C);
    y[out] += as_double(x[at]) / static_cast<double>(pixels);
    dx[at] = as_double(dy[out]) / static_cast<double>(pixels);
  }
  // Half of the last bit below 1, which is all that a bfloat16 or float32 may be off.
  const double tolerance = sizeof(T) == 2 ? 0x1p-9 + 1e-7 : sizeof(T) == 4 ? 1e-7 : 1e-15;
  const auto forward = compare(run_kernel<T>(N * C,
                                             [&](T* out) {
                                               target::global_avg_pool2d_forward(
                                                   dtype, N, pixels, C, on_device(x), out);
                                             }),
                               y, {.absolute = tolerance});
  CHECK_MESSAGE(forward.ok, forward.message);
  const auto backward = compare(run_kernel<T>(N * pixels * C,
                                              [&](T* out) {
                                                target::global_avg_pool2d_backward(
                                                    dtype, N, pixels, C, on_device(dy), out);
                                              }),
                                dx, {.absolute = tolerance});
  CHECK_MESSAGE(backward.ok, backward.message);
}

}  // namespace

TEST_CASE("max_pool2d: values, first maximum and gradient equal the naive loops") {
  for (const Pool2dSizes& sizes : problems()) {
    CAPTURE(sizes.C);
    CAPTURE(sizes.FH);
    CAPTURE(sizes.IH);
    for (const Values kind : {Values::reals, Values::few, Values::special}) {
      check_max<float>(sizes, kind);
      check_max<double>(sizes, kind);
      if (kTestsCuda) {
        check_max<cks::bfloat16>(sizes, kind);
      }
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
        if (kTestsCuda) {
          check_avg<cks::bfloat16>(sizes, include);
        }
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
    const std::vector<std::uint8_t> index =
        run_max(shared, std::vector<float>(static_cast<std::size_t>(C), 1)).index;
    CHECK(run_kernel<float>(C, [&](float* dx) {
            target::avg_pool2d_backward(shared, true, on_device(dy), dx);
          }) == in_all_channels({1}));
    CHECK(run_max_backward(shared, dy, index) == in_all_channels({3}));
  }
}

TEST_CASE("max_pool2d: a NaN wins, the last one, and -infinity has a place") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float low = -std::numeric_limits<float>::infinity();
  const Pool2dProblem p = make_pool2d_problem({1, 2, 4, 1, 2, 2, 2}, "max_pool2d");
  const std::vector<float> x{nan, 5, low, low, 7, nan, low, low};
  const auto [y, index] = run_max(p, x);
  CHECK(std::isnan(y[0]));
  CHECK(y[1] == low);
  CHECK(run_max_backward<float>(p, {1, 2}, index) == std::vector<float>{0, 0, 2, 0, 0, 1, 0, 0});
}

TEST_CASE("global_avg_pool2d: the mean of each channel and its gradient") {
  for (const std::int64_t C : {1, 3, 6, 16, 40, 136, 264}) {
    CAPTURE(C);
    for (const std::int64_t pixels : {1, 16, 35}) {
      CAPTURE(pixels);
      check_global_avg<float>(pixels, C);
      check_global_avg<double>(pixels, C);
      if (kTestsCuda) {
        check_global_avg<cks::bfloat16>(pixels, C);
      }
    }
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
