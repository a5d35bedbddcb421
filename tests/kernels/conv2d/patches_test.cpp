// What the copy engine and the tensor cores are told to do for patches
// (hopper/backward_filter/patches.h), done here one row of a stage after the other, against the
// reference, exactly.
#include "cks/kernels/conv2d/hopper/backward_filter/patches.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/kernels/conv2d/conv2d_harness.h"

namespace {

using cks::kernels::Conv2dPass;
using namespace cks::kernels::hopper;
using namespace cks::testing;

constexpr int kRow = 128;  // bytes of a position in a stage

/// A stage of one plane for one input and one output channel: what each 128 bytes hold.
struct Stage {
  std::vector<double> rows;

  Stage(const PatchPlan& g, const Conv2dValues& values, const PatchStart& at, int oc, int ic)
      : rows(static_cast<std::size_t>(g.plane_bytes / kRow)) {
    const auto fill = [&](int offset, int count, int columns, auto&& value) {
      for (int i = 0; i < count * g.patch_images; ++i) {
        const int place = i / g.patch_images, image = at.image + i % g.patch_images;
        if (image < g.images) {
          rows[static_cast<std::size_t>(offset / kRow + i)] =
              value(image, place / columns, place % columns);
        }
      }
    };
    fill(0, g.rows * g.columns, g.columns, [&](int image, int i, int j) {
      const int row = at.row - g.ahead + i, column = at.column + j;
      const int output = (image * g.out_height + row) * g.out_width + column;
      return has_outputs(g, at) && row < g.out_height && column < g.out_width
                 ? values.y[static_cast<std::size_t>(output * g.out_channels + oc)]
                 : 0.0;
    });
    for (int w = 0; w < g.windows; ++w) {
      const PatchWindow& window = g.window[w];
      fill(window.offset, window.rows * window.columns, window.columns,
           [&](int image, int i, int j) {
             const int row = (at.row + window.first_row + i) * g.row_stride + window.row_class;
             const int column =
                 (at.column + window.first_column + j) * g.column_stride + window.column_class;
             const int pixel = (image * g.height + row) * g.width + column;
             return has_pixels(g, at) && row >= 0 && row < g.height && column >= 0 &&
                            column < g.width
                        ? values.x[static_cast<std::size_t>(pixel * g.in_channels + ic)]
                        : 0.0;
           });
    }
  }
};

/// What the kernel multiplies of a step through a tap: pairs of 128 bytes of dY's stage and of the
/// pixels'.
template <class Body>
void each_product(const PatchPlan& g, const TapGroup::Tap& tap, const PatchStart& start,
                  Body&& body) {
  if (!g.at_places()) {
    for (int i = 0; i < g.rows * g.columns; ++i) {
      body(i, (tap.offset + i / g.columns * tap.pitch) / kRow + i % g.columns);
    }
  } else if (has_outputs(g, start)) {
    const std::uint32_t met = met_in_row(tap, start.row - g.ahead);
    for (int i = 0; i < g.columns * g.patch_images; ++i) {
      if ((met >> (i / kTermImages) & 1U) != 0) {
        body(i, tap.offset / kRow + i);
      }
    }
  }
}

struct Sums {
  std::vector<double> values;  // [split_k][OC][taps][IC]
  std::vector<int> written;
  std::int64_t executed = 0;
  bool stages_last = true;  // until all taps have met them
};

/// The sums of a block's patches of one output and one input channel, to sum(tap).
template <class Sum>
void add_patches(const PatchPlan& g, const PatchUnit& unit, const Conv2dValues& values, int oc,
                 int ic, Sums& sums, Sum&& sum) {
  std::vector<Stage> stages;
  for (PatchSteps step(g, unit); step.next();) {
    stages.emplace_back(g, values, step.start, oc, ic);
    for (int t = 0; t < g.group_taps; ++t) {
      const TapGroup::Tap& tap = g.group[unit.group].tap[t];
      each_product(g, tap, step.start, [&](int output, int pixel) {
        const int pixels = static_cast<int>(stages.size()) - 1 - tap.steps;
        if (tap.steps < 0 || tap.steps > g.reach || pixels < 0) {
          sums.stages_last = false;
        } else if (tap.tap >= 0) {
          sum(tap.tap) +=
              stages.back().rows[static_cast<std::size_t>(output)] *
              stages[static_cast<std::size_t>(pixels)].rows[static_cast<std::size_t>(pixel)];
        }
      });
    }
  }
}

void add_unit(const PatchPlan& g, const PatchUnit& unit, const Conv2dValues& values, bool writes,
              Sums& sums) {
  const TapGroup& group = g.group[unit.group];
  const std::int64_t size = std::int64_t{g.out_channels} * g.filter_taps * g.in_channels;
  for (PatchSteps step(g, unit); step.next();) {
    for (int t = 0; t < g.group_taps; ++t) {
      each_product(g, group.tap[t], step.start,
                   [&](int, int) { sums.executed += kPatchBlock * kPatchBlock; });
    }
  }
  for (int oc = unit.oc; oc < std::min(unit.oc + kPatchBlock, g.out_channels); ++oc) {
    for (int ic = unit.ic; ic < std::min(unit.ic + kPatchBlock, g.in_channels); ++ic) {
      const auto at = [&](int tap) {
        return static_cast<std::size_t>(
            unit.slice * size + (std::int64_t{oc} * g.filter_taps + tap) * g.in_channels + ic);
      };
      for (int t = 0; t < g.group_taps && writes; ++t) {
        if (group.tap[t].tap >= 0) {
          ++sums.written[at(group.tap[t].tap)];
        }
      }
      add_patches(g, unit, values, oc, ic, sums,
                  [&](int tap) -> double& { return sums.values[at(tap)]; });
    }
  }
}

Sums add_all(const PatchPlan& g, const Conv2dValues& values) {
  const auto size = static_cast<std::size_t>(g.split_k) * g.out_channels * g.filter_taps *
                    static_cast<std::size_t>(g.in_channels);
  Sums sums{std::vector<double>(size), std::vector<int>(size)};
  for (int z = 0; z < g.groups * g.split_k; ++z) {
    for (int y = 0; y < g.column_units; ++y) {
      for (int x = 0; x < g.row_units * kSharers; ++x) {
        add_unit(g, unit_of(g, {x, y, z}), values, x % kSharers == 0, sums);
      }
    }
  }
  return sums;
}

}  // namespace

TEST_CASE("gradient patches: every listed problem adds up the reference") {
  Failures failures;
  int walks = 0, at_places = 0;
  const auto walk = [&](const WalkedProblem& one, const PatchRequest& request) {
    if (!takes_patches(request, 2)) {
      return;
    }
    const PatchPlan g = plan_patches(request);
    const Sums sums = add_all(g, one.values);
    ++walks;
    at_places += g.at_places() ? 1 : 0;
    const std::string where = one.name + ", taps " + std::to_string(request.group_taps) +
                              (g.at_places() ? " at places" : "");
    if (!std::all_of(sums.written.begin(), sums.written.end(), [](int n) { return n == 1; })) {
      failures.add(where, "an element is not written once");
    }
    if (!sums.stages_last) {
      failures.add(where, "pixels of a stage that is not there");
    }
    if (sums.executed != executed_of(g)) {
      failures.add(where, "executed " + std::to_string(sums.executed));
    }
    one.expect(sums.values, where, failures);
  };
  const auto check = [&](const WalkedProblem& one) {
    const std::int64_t split_k = 1 + static_cast<std::int64_t>(one.seed / 4 % 3);
    for (const int group_taps : {8, 9}) {
      walk(one,
           {one.problem, group_taps, {1, kPatchRows[0][group_taps - 8], kPatchWidth}, split_k, 1});
      walk(one, {one.problem, group_taps, patch_at_places(one.problem), split_k, 1});
    }
  };
  each_walked_problem({.passes = {Conv2dPass::backward_filter},
                       .every = 2,
                       .most_multiply_adds = 200'000,
                       .grouped = false},
                      check);
  MESSAGE(walks << " walks, " << at_places << " at places");
  CHECK(walks > 200);
  CHECK(at_places > 60);
}

TEST_CASE("gradient patches at places multiply exactly V where images and channels fill them") {
  const auto plan_for = [](std::int64_t extent, std::int64_t stride) {
    const auto p = cks::kernels::make_conv2d_problem({.N = 64,
                                                      .IH = extent,
                                                      .IW = extent,
                                                      .IC = 64,
                                                      .OC = 128,
                                                      .FH = 3,
                                                      .FW = 3,
                                                      .stride = stride,
                                                      .padding = 1});
    const PatchExtent patch = patch_at_places(p);
    const PatchRequest request{p, 9, patch, 1, 1};
    REQUIRE(takes_patches(request, 2));
    CHECK(executed_of(plan_patches(request)) == exact_multiply_adds(p));
    return patch;
  };
  CHECK(plan_for(2, 1) == PatchExtent{64, 1, 2});
  CHECK(plan_for(4, 1) == PatchExtent{32, 1, 4});
  CHECK(plan_for(8, 1) == PatchExtent{16, 1, 8});
  CHECK(plan_for(8, 2) == PatchExtent{16, 1, 4});
}
