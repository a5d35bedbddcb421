// What the copy engine and the tensor cores are told to do for patches with their halo
// (hopper/halo.h), done here one position after the other, against the reference, exactly.
#include "cks/kernels/conv2d/hopper/halo.h"

#include <doctest/doctest.h>

#include "tests/kernels/conv2d/conv2d_harness.h"

namespace {

using cks::DType;
using cks::kernels::Arithmetic;
using cks::kernels::Conv2dPass;
using cks::kernels::Conv2dProblem;
using namespace cks::kernels::hopper;
using namespace cks::testing;

struct Walk {
  const HaloPlan& h;
  const Conv2dProblem& p;
  bool forward;
  const std::vector<double>& source;
  const std::vector<double>& filter;

  /// Source pixel `i` of the window of a patch; outside the image the copy engine fills in zeros.
  double pixel(const HaloPatch& patch, int i, int channel) const {
    const int row = patch.row + h.first_row + i / h.window_columns;
    const int column = patch.column + h.first_column + i % h.window_columns;
    if (row < 0 || row >= h.source_height || column < 0 || column >= h.source_width) {
      return 0.0;
    }
    const std::int64_t at =
        (std::int64_t{patch.image} * h.source_height + row) * h.source_width + column;
    return source[static_cast<std::size_t>(at * h.source_channels + channel)];
  }
  double weight(int tap, int from, int to) const {
    const std::int64_t oc = forward ? to : from, ic = forward ? from : to;
    return filter[static_cast<std::size_t>((oc * h.taps + tap) * p.IC + ic)];
  }
  double sum(const HaloPatch& patch, int position, int to) const {
    double sum = 0.0;
    for (int t = 0; t < h.taps; ++t) {
      const int first = h.tap[t].offset / 128;
      const int at = first + position / kHaloWidth * h.window_columns + position % kHaloWidth;
      for (int from = 0; from < h.source_channels; ++from) {
        sum += pixel(patch, at, from) * weight(h.tap[t].tap, from, to);
      }
    }
    return sum;
  }
};

}  // namespace

TEST_CASE("halo: every listed problem adds up the reference") {
  Failures failures;
  int walks = 0;
  const auto check = [&](const WalkedProblem& one) {
    Conv2dProblem p = one.problem;
    p.x_type = p.w_type = p.y_type = DType::bfloat16;
    if (!takes_halo(p, one.pass, Arithmetic::bf16)) {
      return;
    }
    const bool forward = one.pass == Conv2dPass::forward;
    const HaloPlan h = plan_halo(p, one.pass);
    const Walk walk{h, p, forward, forward ? one.values.x : one.values.y, one.values.w};
    std::vector<double> got(one.expected.size(), -1e9);
    for (int i = 0; i < h.patches; ++i) {
      const HaloPatch patch = patch_of(h, i);
      for (int position = 0; position < kHaloPositions; ++position) {
        const std::int64_t pixel = pixel_of(h, patch, position);
        for (int to = 0; pixel >= 0 && to < h.target_channels; ++to) {
          got[static_cast<std::size_t>(pixel * h.target_channels + to)] =
              walk.sum(patch, position, to);
        }
      }
    }
    ++walks;
    one.expect(got, one.name + ", " + name_of(one.pass), failures);
  };
  each_walked_problem({.passes = {Conv2dPass::forward, Conv2dPass::backward_data},
                       .every = 1,
                       .most_multiply_adds = 1'000'000,
                       .grouped = false,
                       .most_channels = 16},
                      check);
  MESSAGE(walks << " walks");
  CHECK(walks > 300);
}

TEST_CASE("halo: takes what it is made for, 3x3 filters of 64 channels") {
  const Conv2dProblem p = cks::kernels::make_conv2d_problem({.N = 512,
                                                             .IH = 32,
                                                             .IW = 32,
                                                             .IC = 64,
                                                             .OC = 64,
                                                             .FH = 3,
                                                             .FW = 3,
                                                             .padding = 1,
                                                             .dtype = DType::bfloat16});
  CHECK(takes_halo(p, Conv2dPass::forward, Arithmetic::bf16));
  CHECK(takes_halo(p, Conv2dPass::backward_data, Arithmetic::bf16));
}
