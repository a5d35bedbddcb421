// What the copy engine and the tensor cores are told to do for patches (hopper/patches.h), done
// here one row of a stage after the other, against the reference, exactly.
#include "cks/kernels/conv2d/hopper/patches.h"

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
    for (int i = 0; i < g.rows * kPatchWidth; ++i) {
      const int row = at.row + i / kPatchWidth, column = at.column + i % kPatchWidth;
      if (row < g.out_height && column < g.out_width) {
        const int output = (at.image * g.out_height + row) * g.out_width + column;
        rows[static_cast<std::size_t>(i)] =
            values.y[static_cast<std::size_t>(output * g.out_channels + oc)];
      }
    }
    for (int w = 0; w < g.windows; ++w) {
      const PatchWindow& window = g.window[w];
      for (int i = 0; i < window.rows * window.columns; ++i) {
        const int row =
            (at.row + window.first_row + i / window.columns) * g.row_stride + window.row_class;
        const int column =
            (at.column + window.first_column + i % window.columns) * g.column_stride +
            window.column_class;
        if (row >= 0 && row < g.height && column >= 0 && column < g.width) {
          const int pixel = (at.image * g.height + row) * g.width + column;
          rows[static_cast<std::size_t>(window.offset / kRow + i)] =
              values.x[static_cast<std::size_t>(pixel * g.in_channels + ic)];
        }
      }
    }
  }

  /// The products of a patch with what a tap meets, eight terms side by side.
  double product(const PatchPlan& g, const TapGroup::Tap& tap) const {
    double sum = 0.0;
    for (int row = 0; row < g.rows; ++row) {
      for (int i = 0; i < kPatchWidth; ++i) {
        sum += rows[static_cast<std::size_t>(row * kPatchWidth + i)] *
               rows[static_cast<std::size_t>((tap.offset + row * tap.pitch) / kRow + i)];
      }
    }
    return sum;
  }
};

struct Sums {
  std::vector<double> values;  // [split_k][OC][taps][IC]
  std::vector<int> written;
  std::int64_t executed = 0;
};

void add_unit(const PatchPlan& g, const TapGroup& group, const PatchUnit& unit,
              const Conv2dValues& values, Sums& sums) {
  const std::int64_t size = std::int64_t{g.out_channels} * g.filter_taps * g.in_channels;
  sums.executed +=
      std::int64_t{unit.patches} * g.rows * kPatchWidth * kPatchBlock * kPatchBlock * g.group_taps;
  for (int oc = unit.oc; oc < std::min(unit.oc + kPatchBlock, g.out_channels); ++oc) {
    for (int ic = unit.ic; ic < std::min(unit.ic + kPatchBlock, g.in_channels); ++ic) {
      const auto at = [&](int tap) {
        return static_cast<std::size_t>(
            unit.slice * size + (std::int64_t{oc} * g.filter_taps + tap) * g.in_channels + ic);
      };
      for (int t = 0; t < g.group_taps; ++t) {
        if (group.tap[t].tap >= 0) {
          ++sums.written[at(group.tap[t].tap)];
        }
      }
      for (int patch = unit.first; patch < unit.first + unit.patches; ++patch) {
        const Stage stage(g, values, start_of(g, patch), oc, ic);
        for (int t = 0; t < g.group_taps; ++t) {
          const double product = stage.product(g, group.tap[t]);
          if (group.tap[t].tap >= 0) {
            sums.values[at(group.tap[t].tap)] += product;
          }
        }
      }
    }
  }
}

Sums add_all(const PatchPlan& g, const Conv2dValues& values) {
  const auto size = static_cast<std::size_t>(g.split_k) * g.out_channels * g.filter_taps *
                    static_cast<std::size_t>(g.in_channels);
  Sums sums{std::vector<double>(size), std::vector<int>(size), 0};
  for (int worker = 0; worker < 5; ++worker) {
    for (auto walk = g.walk(worker, 5); walk.next();) {
      add_unit(g, walk.group(), unit_of(g, walk.index()), values, sums);
    }
  }
  return sums;
}

}  // namespace

TEST_CASE("gradient patches: every listed problem adds up the reference") {
  Failures failures;
  int walks = 0;
  const auto check = [&](const WalkedProblem& one) {
    for (const int group_taps : {8, 9}) {
      const PatchRequest request{one.problem, group_taps, kPatchRows[group_taps - 8],
                                 1 + static_cast<std::int64_t>(one.seed / 4 % 3), 1};
      if (!takes_patches(request, 2)) {
        continue;
      }
      const PatchPlan g = plan_patches(request);
      const Sums sums = add_all(g, one.values);
      ++walks;
      const std::string where = one.name + ", taps " + std::to_string(group_taps);
      if (!std::all_of(sums.written.begin(), sums.written.end(), [](int n) { return n == 1; })) {
        failures.add(where, "an element is not written once");
      }
      if (sums.executed != executed_of(g)) {
        failures.add(where, "executed " + std::to_string(sums.executed));
      }
      one.expect(sums.values, where, failures);
    }
  };
  each_walked_problem({.passes = {Conv2dPass::backward_filter},
                       .every = 4,
                       .most_multiply_adds = 200'000,
                       .grouped = false},
                      check);
  MESSAGE(walks << " walks");
  CHECK(walks > 80);
}

TEST_CASE("gradient patches: rows that waste least") {
  const auto rows_for = [](std::int64_t height) {
    return best_patch_rows(
        cks::kernels::make_conv2d_problem({.N = 1, .IH = height, .IW = 8, .IC = 8, .OC = 8}));
  };
  CHECK(rows_for(16) == 8);
  CHECK(rows_for(14) == 14);
  CHECK(rows_for(28) == 14);
  CHECK(rows_for(56) == 14);
  CHECK(rows_for(7) == 8);
}
