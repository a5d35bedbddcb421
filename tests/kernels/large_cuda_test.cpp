#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <functional>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "cks/kernels/conv2d/conv2d.h"
#include "cks/kernels/elementwise/elementwise.h"
#include "cks/kernels/pool2d/pool2d.h"
#include "cks/kernels/reduce/reduce.h"
#include "tests/support/device_buffer.h"
#include "tests/support/fill.h"

// The CUDA kernels on tensors of more than 2^31 elements, and of more than 2^32 where the GPU has
// the memory, checked at positions around these numbers, at the first, the last and some drawn
// ones. All values are small integers, so that every sum is exact in any order.

using namespace cks::kernels;  // NOLINT(google-build-using-namespace): this is a test
using cks::DType;
using cks::testing::DeviceBuffer;
using cks::testing::random_bits;
using cks::testing::random_integer;

namespace {

constexpr std::int64_t kSide = 32;
constexpr std::int64_t kWide = 1024;  // channels; an image has 2^20 elements
constexpr std::int64_t kNarrow = 8;

// Images of a batch just beyond 2^31 and 2^32 elements.
constexpr std::array<std::int64_t, 2> kBatches = {(1 << 11) + 1, (1 << 12) + 1};

std::size_t bytes_of(std::int64_t elements) {
  return static_cast<std::size_t>(elements) * sizeof(float);
}

/// Counts cases for which the GPU has too little memory, and says so when the program ends.
class Skipped {
 public:
  ~Skipped() {
    if (count_ > 0) {
      std::printf("%d cases skipped: too little free GPU memory, one needs %.0f GB\n", count_,
                  1e-9 * static_cast<double>(most_));
    }
  }
  void add(std::size_t bytes) {
    ++count_;
    most_ = std::max(most_, bytes);
  }

 private:
  int count_ = 0;
  std::size_t most_ = 0;
};

/// Whether `elements` float32 and some workspace fit into the GPU's memory.
bool fits(std::int64_t elements) {
  static Skipped skipped;
  constexpr std::size_t kReserve = std::size_t{2} << 30;
  std::size_t free_bytes = 0;
  std::size_t total_bytes = 0;
  CKS_CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total_bytes));
  const std::size_t wanted = bytes_of(elements) + kReserve;
  if (free_bytes < wanted) {
    skipped.add(wanted);
    return false;
  }
  return true;
}

/// A matrix of integers in [-2, 2] that the host can compute anywhere: element (i, j) is the sum of
/// an integer of the row and one of the column.
class Matrix {
 public:
  Matrix(std::int64_t rows, std::int64_t columns, std::uint64_t seed)
      : of_row_(draw(rows, seed)), of_column_(draw(columns, seed + 1)) {}

  std::int64_t rows() const { return static_cast<std::int64_t>(of_row_.size()); }
  std::int64_t columns() const { return static_cast<std::int64_t>(of_column_.size()); }
  std::int64_t size() const { return rows() * columns(); }
  double at(std::int64_t row, std::int64_t column) const {
    return static_cast<double>(of_row_[static_cast<std::size_t>(row)]) + of_column(column);
  }
  double operator[](std::int64_t i) const { return at(i / columns(), i % columns()); }
  double of_column(std::int64_t j) const {
    return static_cast<double>(of_column_[static_cast<std::size_t>(j)]);
  }
  /// Of the rows' integers.
  double sum_of_rows() const { return std::accumulate(of_row_.begin(), of_row_.end(), 0.0); }
  double sum() const {
    return sum_of_rows() * static_cast<double>(columns()) +
           std::accumulate(of_column_.begin(), of_column_.end(), 0.0) * static_cast<double>(rows());
  }

  /// Writes all elements: a broadcast sum.
  void write_to(DeviceBuffer& target) const {
    DeviceBuffer row_values(bytes_of(rows()));
    DeviceBuffer column_values(bytes_of(columns()));
    row_values.upload(of_row_.data());
    column_values.upload(of_column_.data());
    const std::array<std::int64_t, 2> result = {rows(), columns()};
    const std::array<std::int64_t, 2> a = {rows(), 1};
    const std::array<std::int64_t, 2> b = {1, columns()};
    const std::array<std::span<const std::int64_t>, 2> operands = {a, b};
    cuda::binary_forward(BinaryOp::add, DType::float32, make_broadcast(result, operands),
                         row_values.data(), column_values.data(), target.data());
    CKS_CUDA_CHECK(cudaDeviceSynchronize());
  }

 private:
  static std::vector<float> draw(std::int64_t count, std::uint64_t seed) {
    std::vector<float> values;
    for (std::int64_t i = 0; i < count; ++i) {
      values.push_back(
          static_cast<float>(random_integer(seed, static_cast<std::uint64_t>(i), -1, 1)));
    }
    return values;
  }
  std::vector<float> of_row_, of_column_;
};

template <class T>
T element_of(const DeviceBuffer& buffer, std::int64_t i) {
  T value{};
  CKS_CUDA_CHECK(cudaMemcpy(&value, static_cast<const T*>(buffer.data()) + i, sizeof(T),
                            cudaMemcpyDeviceToHost));
  return value;
}

/// The first, the last, those around 2^31 and 2^32, and `drawn` others of `count`.
std::vector<std::int64_t> positions(std::int64_t count, int drawn) {
  std::vector<std::int64_t> list = {0, count - 1};
  for (const std::int64_t power : {std::int64_t{1} << 31, std::int64_t{1} << 32}) {
    for (std::int64_t i = power - 1; i <= power + 1; ++i) {
      if (i < count) {
        list.push_back(i);
      }
    }
  }
  for (int i = 0; i < drawn; ++i) {
    list.push_back(static_cast<std::int64_t>(random_bits(77, static_cast<std::uint64_t>(i)) %
                                             static_cast<std::uint64_t>(count)));
  }
  return list;
}

/// Compares float32 elements with what the host computes for each position.
void check_positions(const DeviceBuffer& result, std::int64_t count, int drawn,
                     const std::function<double(std::int64_t)>& expected, double tolerance = 0.0) {
  CKS_CUDA_CHECK(cudaDeviceSynchronize());
  int wrong = 0;
  for (const std::int64_t i : positions(count, drawn)) {
    const auto got = static_cast<double>(element_of<float>(result, i));
    const double want = expected(i);
    if (!(std::abs(got - want) <= tolerance) && ++wrong <= 5) {
      CAPTURE(i);
      CHECK(got == want);
    }
  }
  CHECK(wrong == 0);
  CHECK(result.intact());
}

// --- Convolutions -------------------------------------------------------------------------------

DeviceDescription this_gpu() {
  cudaDeviceProp properties{};
  CKS_CUDA_CHECK(cudaGetDeviceProperties(&properties, 0));
  return {.is_cuda = true,
          .compute_capability = 10 * properties.major + properties.minor,
          .multiprocessors = properties.multiProcessorCount};
}

/// X, W and Y of a problem as the host knows them.
struct Operands {
  Conv2dProblem p;
  Matrix x, w, y;

  explicit Operands(const Conv2dProblem& problem)
      : p(problem),
        x(problem.N * problem.IH * problem.IW, problem.IC, 1),
        w(problem.OC * problem.FH * problem.FW, problem.IC, 3),
        y(problem.N * problem.OH * problem.OW, problem.OC, 5) {}

  /// Calls body(pixel of X, tap) for each tap inside the image of one output.
  template <class Body>
  void for_taps(std::int64_t n, std::int64_t oh, std::int64_t ow, Body&& body) const {
    for (std::int64_t fh = 0; fh < p.FH; ++fh) {
      for (std::int64_t fw = 0; fw < p.FW; ++fw) {
        const std::int64_t ih = oh * p.sh - p.pt + fh * p.dh;
        const std::int64_t iw = ow * p.sw - p.pl + fw * p.dw;
        if (ih >= 0 && ih < p.IH && iw >= 0 && iw < p.IW) {
          body((n * p.IH + ih) * p.IW + iw, fh * p.FW + fw);
        }
      }
    }
  }
  double forward(std::int64_t i) const {
    const std::int64_t oc = i % p.OC;
    const std::int64_t pixel = i / p.OC;
    double sum = 0.0;
    for_taps(pixel / p.OW / p.OH, pixel / p.OW % p.OH, pixel % p.OW,
             [&](std::int64_t in, std::int64_t tap) {
               for (std::int64_t ic = 0; ic < p.IC; ++ic) {
                 sum += x.at(in, ic) * w.at(oc * p.FH * p.FW + tap, ic);
               }
             });
    return sum;
  }
  double backward_data(std::int64_t i) const {
    const std::int64_t ic = i % p.IC;
    const std::int64_t pixel = i / p.IC;
    const std::int64_t n = pixel / p.IW / p.IH;
    double sum = 0.0;
    for (std::int64_t oh = 0; oh < p.OH; ++oh) {
      for (std::int64_t ow = 0; ow < p.OW; ++ow) {
        for_taps(n, oh, ow, [&](std::int64_t in, std::int64_t tap) {
          for (std::int64_t oc = 0; in == pixel && oc < p.OC; ++oc) {
            sum += y.at((n * p.OH + oh) * p.OW + ow, oc) * w.at(oc * p.FH * p.FW + tap, ic);
          }
        });
      }
    }
    return sum;
  }
  double backward_filter(std::int64_t i) const {
    const std::int64_t ic = i % p.IC;
    const std::int64_t row = i / p.IC;
    const std::int64_t oc = row / (p.FH * p.FW);
    const std::int64_t fh = row / p.FW % p.FH;
    const std::int64_t fw = row % p.FW;
    double sum = 0.0;
    for (std::int64_t pixel = 0; pixel < y.rows(); ++pixel) {
      const std::int64_t ih = pixel / p.OW % p.OH * p.sh - p.pt + fh * p.dh;
      const std::int64_t iw = pixel % p.OW * p.sw - p.pl + fw * p.dw;
      if (ih >= 0 && ih < p.IH && iw >= 0 && iw < p.IW) {
        sum += y.at(pixel, oc) * x.at((pixel / p.OW / p.OH * p.IH + ih) * p.IW + iw, ic);
      }
    }
    return sum;
  }
};

/// Runs each plan that takes the problem.
void check_pass(const Conv2dProblem& p, Conv2dPass pass) {
  const Operands host(p);
  const bool is_forward = pass == Conv2dPass::forward;
  const bool is_data = pass == Conv2dPass::backward_data;
  const Matrix& first = is_data ? host.y : host.x;
  const Matrix& second = is_forward || is_data ? host.w : host.y;
  const Matrix& like = is_forward ? host.y : (is_data ? host.x : host.w);
  if (!fits(first.size() + second.size() + like.size())) {
    return;
  }
  DeviceBuffer a(bytes_of(first.size()));
  DeviceBuffer b(bytes_of(second.size()));
  DeviceBuffer result(bytes_of(like.size()));
  first.write_to(a);
  second.write_to(b);
  const int drawn = is_forward || is_data ? 200 : 20;
  std::vector<double> expected;
  for (const std::int64_t i : positions(like.size(), drawn)) {
    expected.push_back(is_forward ? host.forward(i)
                                  : (is_data ? host.backward_data(i) : host.backward_filter(i)));
  }
  for (const Conv2dPlan& plan : possible_plans(pass, p, this_gpu())) {
    CAPTURE(plan.to_string());
    DeviceBuffer workspace(plan.workspace_bytes);
    result.poison();
    if (is_forward) {
      cuda::conv2d_forward(p, plan, a.data(), b.data(), nullptr, result.data(), workspace.data());
    } else if (is_data) {
      cuda::conv2d_backward_data(p, plan, a.data(), b.data(), nullptr, result.data(),
                                 workspace.data());
    } else {
      cuda::conv2d_backward_filter(p, plan, a.data(), b.data(), result.data(), workspace.data());
    }
    std::size_t next = 0;
    check_positions(result, like.size(), drawn, [&](std::int64_t) { return expected[next++]; });
    CHECK(workspace.intact());
  }
}

/// With many input channels, whose X is beyond the limit, and with many output channels, whose Y
/// is.
void check_large(Conv2dPass pass, std::int64_t stride) {
  for (const std::int64_t batch : kBatches) {
    for (const bool wide_input : {true, false}) {
      const std::int64_t side = wide_input ? kSide : kSide * stride;
      Conv2dProblem p = make_conv2d_problem({.N = batch,
                                             .IH = side,
                                             .IW = side,
                                             .IC = wide_input ? kWide : kNarrow,
                                             .OC = wide_input ? kNarrow : kWide,
                                             .FH = 3,
                                             .FW = 3,
                                             .stride = stride,
                                             .padding = 1});
      p.x_align = p.w_align = p.y_align = 64;
      CAPTURE(to_string(p));
      check_pass(p, pass);
    }
  }
}

TEST_CASE("large: conv2d forward") { check_large(Conv2dPass::forward, 1); }
TEST_CASE("large: conv2d forward, stride 2") { check_large(Conv2dPass::forward, 2); }
TEST_CASE("large: conv2d backward_data") { check_large(Conv2dPass::backward_data, 1); }
TEST_CASE("large: conv2d backward_data, stride 2") { check_large(Conv2dPass::backward_data, 2); }
TEST_CASE("large: conv2d backward_filter") { check_large(Conv2dPass::backward_filter, 1); }

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

    cuda::unary_forward(UnaryOp::relu, DType::float32, count, x.data(), y.data());
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
    DeviceBuffer index(bytes_of(count));
    host.x.write_to(x);
    cuda::max_pool2d_forward(host.p, x.data(), y.data(), index.as<std::int32_t>());
    check_positions(y, count, 200, [&](std::int64_t i) { return host.max_forward(i); });
    for (const std::int64_t i : positions(count, 200)) {
      REQUIRE(element_of<std::int32_t>(index, i) == host.greatest(Pool::place_of(i)));
    }
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
    cuda::max_pool2d_backward(host.p, y.data(), index.as<std::int32_t>(), x.data());
    check_positions(x, count, 200, [&](std::int64_t i) { return host.max_backward(i); });
  }
}

}  // namespace
