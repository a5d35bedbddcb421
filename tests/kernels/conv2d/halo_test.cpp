// What the copy engine and the tensor cores are told to do for patches with their halo
// (hopper/halo.h), done here one position after the other, against the reference, exactly.
#include "cks/kernels/conv2d/hopper/halo.h"

#include <doctest/doctest.h>

#include "tests/kernels/conv2d/conv2d_harness.h"

namespace {

using cks::DType;
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
    const int at = (patch.image * h.source_height + row) * h.source_width + column;
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
  std::uint64_t seed = 0;
  for (const ListedProblem& listed : conv2d_problems()) {
    cks::kernels::Conv2dSizes sizes = listed.sizes;
    sizes.IC = std::min<std::int64_t>((sizes.IC + 7) / 8 * 8, 16);
    sizes.OC = std::min<std::int64_t>((sizes.OC + 7) / 8 * 8, 16);
    sizes.dtype = DType::bfloat16;
    ++seed;
    if (listed.transposed || sizes.groups != 1) {
      continue;
    }
    const Conv2dProblem p = cks::kernels::make_conv2d_problem(sizes);
    for (const Conv2dPass pass : {Conv2dPass::forward, Conv2dPass::backward_data}) {
      if (!takes_halo(p, pass) || plain_multiply_adds(pass, p) > 1'000'000) {
        continue;
      }
      const bool forward = pass == Conv2dPass::forward;
      const Conv2dValues values = make_values(p, Fill::small_integers, seed);
      Conv2dProblem wide = p;
      wide.x_type = wide.w_type = wide.y_type = DType::float64;
      Conv2dMemory reference(pass, wide, values, false);
      reference.run_reference();
      const HaloPlan h = plan_halo(p, pass);
      const Walk walk{h, p, forward, forward ? values.x : values.y, values.w};
      std::vector<double> got(reference.result().size(), -1e9);
      for (int i = 0; i < h.patches; ++i) {
        const HaloPatch patch = patch_of(h, i);
        for (int position = 0; position < kHaloPositions; ++position) {
          const int pixel = pixel_of(h, patch, position);
          for (int to = 0; pixel >= 0 && to < h.target_channels; ++to) {
            got[static_cast<std::size_t>(pixel * h.target_channels + to)] =
                walk.sum(patch, position, to);
          }
        }
      }
      ++walks;
      const Extents shape = result_shape(pass, p);
      if (const Comparison same = compare(got, shape, reference.result(), shape); !same) {
        failures.add(listed.name + (forward ? " forward" : " backward"), same.message);
      }
    }
  }
  MESSAGE(walks << " walks");
  CHECK(walks > 80);
}
