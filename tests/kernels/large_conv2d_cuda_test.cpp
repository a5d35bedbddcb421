#include <doctest/doctest.h>

#include <vector>

#include "cks/kernels/conv2d/conv2d.h"
#include "tests/kernels/large.h"

// Convolutions of tensors beyond 2^31 elements; see large.h.

using namespace cks::kernels;  // NOLINT(google-build-using-namespace): this is a test
using namespace cks::testing;  // NOLINT(google-build-using-namespace): this is a test

namespace {

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
    const auto conv = cks::kernels::prepare_conv2d(p, plan, this_gpu());
    run_conv2d(conv, a.data(), b.data(), {}, result.data(), workspace.data());
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
      const Conv2dProblem p = make_conv2d_problem({.N = batch,
                                                   .IH = side,
                                                   .IW = side,
                                                   .IC = wide_input ? kWide : kNarrow,
                                                   .OC = wide_input ? kNarrow : kWide,
                                                   .FH = 3,
                                                   .FW = 3,
                                                   .stride = stride,
                                                   .padding = 1});
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

}  // namespace
