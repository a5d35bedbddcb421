#include <doctest/doctest.h>

#include <algorithm>

#include "cks/kernels/elementwise/elementwise.h"
#include "cks/kernels/pool2d/pool2d.h"
#include "cks/kernels/reduce/reduce.h"
#include "tests/kernels/large.h"

// Element-wise operations, reductions and pools of tensors beyond 2^31 elements; see large.h.

using namespace cks::kernels;  // NOLINT(google-build-using-namespace): this is a test
using namespace cks::testing;  // NOLINT(google-build-using-namespace): this is a test
using cks::DType;

namespace {

// --- Element-wise operations and reductions -----------------------------------------------------

TEST_CASE("large: element-wise operations and sums") {
  for (const std::int64_t batch : kBatches) {
    const Matrix host(batch * kSide * kSide, kWide, 11);
    const std::int64_t count = host.size();
    CAPTURE(count);
    if (!fits(2 * count)) {
      continue;
    }
    DeviceBuffer x(bytes_of(count));
    DeviceBuffer y(bytes_of(count));
    host.write_to(x);
    check_positions(x, count, 200, [&](std::int64_t i) { return host[i]; });

    cuda::unary_forward(UnaryOp::relu, DType::float32, count, x.data(), y.data(), {});
    const auto relu = [&](std::int64_t i) { return std::max(host[i], 0.0); };
    check_positions(y, count, 200, relu);
    cuda::accumulate(DType::float32, count, x.data(), y.data(), 2.0);
    check_positions(y, count, 200, [&](std::int64_t i) { return relu(i) + 2.0 * host[i]; });
    cuda::convert(DType::float32, DType::int32, count, x.data(), y.data());
    cuda::convert(DType::int32, DType::float32, count, y.data(), y.data());
    check_positions(y, count, 200, [&](std::int64_t i) { return host[i]; });
    cuda::fill(DType::float32, count, 3.0, y.data());
    check_positions(y, count, 200, [](std::int64_t) { return 3.0; });

    const ReduceProblem all{.outer = 1, .count = count, .inner = 1, .dtype = DType::float32};
    const ReduceProblem rows{
        .outer = 1, .count = host.rows(), .inner = kWide, .dtype = DType::float32};
    for (const ReduceProblem& problem : {all, rows}) {
      DeviceBuffer workspace(cuda::reduce_workspace_bytes(problem));
      DeviceBuffer sums(bytes_of(problem.inner));
      // Divided by the rows, so that float32 holds the result.
      const double scale = 1.0 / static_cast<double>(host.rows());
      cuda::reduce(ReduceOp::sum, problem, scale, x.data(), sums.data(), workspace.data());
      if (problem.inner == 1) {
        const double mean = scale * host.sum();
        check_positions(
            sums, 1, 0, [&](std::int64_t) { return mean; }, 1e-5 * kWide);
      } else {
        const double of_rows = host.sum_of_rows() * scale;
        check_positions(
            sums, kWide, 50, [&](std::int64_t i) { return of_rows + host.of_column(i); }, 1e-5);
      }
    }
  }
}

// --- Pools --------------------------------------------------------------------------------------

/// A pool with windows of 3x3 at stride 1, whose X, Y and index are all beyond the limit.
struct Pool {
  Pool2dProblem p;
  Matrix x, dy;

  explicit Pool(std::int64_t batch)
      : p(make_pool2d_problem({.N = batch,
                               .IH = kSide,
                               .IW = kSide,
                               .C = kWide,
                               .FH = 3,
                               .FW = 3,
                               .stride = 1,
                               .padding = 1},
                              "large")),
        x(batch * kSide * kSide, kWide, 21),
        dy(batch * kSide * kSide, kWide, 23) {}

  /// Calls body(h, w) for the neighbours of a pixel that are in the image, in order.
  template <class Body>
  static void for_window(std::int64_t h, std::int64_t w, Body&& body) {
    for (std::int64_t i = std::max<std::int64_t>(h - 1, 0); i <= std::min(h + 1, kSide - 1); ++i) {
      for (std::int64_t j = std::max<std::int64_t>(w - 1, 0); j <= std::min(w + 1, kSide - 1);
           ++j) {
        body(i, j);
      }
    }
  }
  struct Place {
    std::int64_t n, h, w, c;
  };
  static Place place_of(std::int64_t i) {
    const std::int64_t pixel = i / kWide;
    return {pixel / kSide / kSide, pixel / kSide % kSide, pixel % kSide, i % kWide};
  }
  /// The pixel of the image at which a window has its first greatest element.
  std::int64_t greatest(const Place& at) const {
    std::int64_t best = -1;
    for_window(at.h, at.w, [&](std::int64_t h, std::int64_t w) {
      const std::int64_t image = at.n * kSide * kSide;
      if (best < 0 || x.at(image + h * kSide + w, at.c) > x.at(image + best, at.c)) {
        best = h * kSide + w;
      }
    });
    return best;
  }
  double max_forward(std::int64_t i) const {
    const Place at = place_of(i);
    return x.at(at.n * kSide * kSide + greatest(at), at.c);
  }
  double max_backward(std::int64_t i) const {
    const Place at = place_of(i);
    double sum = 0.0;
    for_window(at.h, at.w, [&](std::int64_t h, std::int64_t w) {
      if (greatest({at.n, h, w, at.c}) == at.h * kSide + at.w) {
        sum += dy.at((at.n * kSide + h) * kSide + w, at.c);
      }
    });
    return sum;
  }
  double avg_forward(std::int64_t i) const {
    const Place at = place_of(i);
    double sum = 0.0;
    for_window(at.h, at.w, [&](std::int64_t h, std::int64_t w) {
      sum += x.at((at.n * kSide + h) * kSide + w, at.c);
    });
    return sum / 9.0;
  }
};

TEST_CASE("large: pools") {
  for (const std::int64_t batch : kBatches) {
    const Pool host(batch);
    const std::int64_t count = host.x.size();
    CAPTURE(count);
    if (!fits(3 * count)) {
      continue;
    }
    DeviceBuffer x(bytes_of(count));
    DeviceBuffer y(bytes_of(count));
    DeviceBuffer index(cuda::max_pool2d_index_bytes(host.p));
    host.x.write_to(x);
    cuda::max_pool2d_forward(host.p, x.data(), y.data(), index.data());
    check_positions(y, count, 200, [&](std::int64_t i) { return host.max_forward(i); });
    constexpr double kRounding = 1e-6;
    cuda::avg_pool2d_forward(host.p, /*count_include_pad=*/true, x.data(), y.data());
    check_positions(
        y, count, 200, [&](std::int64_t i) { return host.avg_forward(i); }, kRounding);

    DeviceBuffer means(bytes_of(batch * kWide));
    cuda::global_avg_pool2d_forward(DType::float32, batch, kSide * kSide, kWide, x.data(),
                                    means.data());
    check_positions(
        means, batch * kWide, 50,
        [&](std::int64_t i) {
          double sum = 0.0;
          for (std::int64_t pixel = 0; pixel < kSide * kSide; ++pixel) {
            sum += host.x.at(i / kWide * kSide * kSide + pixel, i % kWide);
          }
          return sum / (kSide * kSide);
        },
        kRounding);

    host.dy.write_to(y);
    cuda::max_pool2d_backward(host.p, y.data(), index.data(), x.data());
    check_positions(x, count, 200, [&](std::int64_t i) { return host.max_backward(i); });
  }
}

}  // namespace
