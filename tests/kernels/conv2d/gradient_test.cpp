// What the copy engine or threads and the tensor cores are told to do for filter gradients
// (hopper/backward_filter/gradient.h), done here one element after the other, against the
// reference, exactly.
#include "cks/kernels/conv2d/hopper/backward_filter/gradient.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/kernels/conv2d/conv2d_harness.h"

namespace {

using cks::kernels::Conv2dPass;
using cks::kernels::Conv2dProblem;
using cks::kernels::Conv2dTile;
using namespace cks::kernels::hopper;
using namespace cks::testing;

/// The sums of all slices of dW, and how often each was written.
struct Sums {
  std::vector<double> values;
  std::vector<int> written;
  std::int64_t boxes = 0;
};

double product(const GradientPlan& g, const Conv2dValues& values, const Term& out, int oc,
               const Column& column) {
  const int ih = out.row * g.row_stride - g.top + column.tap / g.filter_width * g.row_dilation;
  const int iw =
      out.column * g.column_stride - g.left + column.tap % g.filter_width * g.column_dilation;
  if (out.image >= g.images || ih < 0 || ih >= g.height || iw < 0 || iw >= g.width) {
    return 0.0;  // the copy engine fills in zeros
  }
  const std::int64_t output =
      (std::int64_t{out.image} * g.out_height + out.row) * g.out_width + out.column;
  const std::int64_t pixel = (std::int64_t{out.image} * g.height + ih) * g.width + iw;
  return values.y[static_cast<std::size_t>(output * g.out_channels + oc)] *
         values.x[static_cast<std::size_t>(pixel * g.in_channels + column.channel)];
}

/// Output `i` of a box.
Term term_in(const GradientPlan& g, const GradientTap& tap, int box, int i) {
  Term at = term_of(g, tap, box);
  if (g.at_places) {
    at.image += i;
    return at;
  }
  for (int step = 0; step < i; ++step) {
    if (++at.column == g.out_width) {
      at.column = 0;
      if (++at.row == g.out_height) {
        at.row = 0;
        ++at.image;
      }
    }
  }
  return at;
}

void add_unit(const GradientPlan& g, const GradientTap& tap, const GradientUnit& unit,
              const Conv2dValues& values, Sums& sums) {
  const std::int64_t size = std::int64_t{g.out_channels} * g.filter_taps * g.in_channels;
  sums.boxes += steps_of(unit);
  for (int oc = unit.row; oc < std::min(unit.row + g.unit_rows, g.out_channels); ++oc) {
    for (int c = 0; c < g.unit_blocks * kBlock; ++c) {
      Column column = column_of(g, tap, unit.block + c / kBlock);
      column.channel += c % kBlock;
      if (column.tap >= g.filter_taps || column.channel >= g.in_channels) {
        continue;
      }
      const auto to = static_cast<std::size_t>(
          unit.slice * size + (std::int64_t{oc} * g.filter_taps + column.tap) * g.in_channels +
          column.channel);
      ++sums.written[to];
      for (int box = unit.first; box < unit.first + unit.terms; ++box) {
        for (int i = 0; i < kTerms; ++i) {
          sums.values[to] += product(g, values, term_in(g, tap, box, i), oc, column);
        }
      }
    }
  }
}

Sums add_all(const GradientPlan& g, const Conv2dValues& values, bool block_by_block) {
  const auto size = static_cast<std::size_t>(g.split_k) * g.out_channels * g.filter_taps *
                    static_cast<std::size_t>(g.in_channels);
  Sums sums{std::vector<double>(size), std::vector<int>(size), 0};
  if (block_by_block) {
    for (int unit = 0; unit < g.units; ++unit) {
      const GradientTap& tap = g.tap[group_of(g.tap, g.taps, unit)];
      add_unit(g, tap, unit_of(g, tap, unit - tap.first_unit), values, sums);
    }
    return sums;
  }
  for (int worker = 0; worker < 5; ++worker) {
    for (auto walk = g.walk(worker, 5); walk.next();) {
      add_unit(g, walk.group(), unit_of(g, walk.group(), walk.index()), values, sums);
    }
  }
  return sums;
}

/// Every fifth listed problem, as the copy engine or as threads take it.
int check_listed(bool by_threads) {
  Failures failures;
  int walks = 0;
  const Conv2dTile tile{64, by_threads ? 64 : 256};
  const auto check = [&](const WalkedProblem& one) {
    for (const bool at_places : {true, false}) {
      const std::int64_t split_k = 1 + static_cast<std::int64_t>(one.seed % 3);
      const GradientRequest request{one.problem, tile, at_places, split_k};
      if (!(by_threads ? fits_gradient(request) : takes_gradient(request, 2))) {
        continue;
      }
      const GradientPlan g = plan_gradient(request);
      const Sums sums = add_all(g, one.values, by_threads);
      ++walks;
      const std::string where = one.name + (at_places ? " at places" : " in a row");
      if (!std::all_of(sums.written.begin(), sums.written.end(), [](int n) { return n == 1; })) {
        failures.add(where, "an element is not written once");
      }
      if (sums.boxes * kTerms * tile.rows * tile.columns != executed_of(g)) {
        failures.add(where, "boxes " + std::to_string(sums.boxes));
      }
      one.expect(sums.values, where, failures);
    }
  };
  each_walked_problem({.passes = {Conv2dPass::backward_filter},
                       .every = 5,
                       .most_multiply_adds = 400'000,
                       .grouped = false,
                       .in_eights = !by_threads},
                      check);
  MESSAGE(walks << " walks");
  return walks;
}

}  // namespace

TEST_CASE("gradient boxes: every listed problem, at places and in a row, adds up the reference") {
  CHECK(check_listed(false) > 150);
}

TEST_CASE("gradient boxes that threads copy: the same of any channels and strides") {
  CHECK(check_listed(true) > 200);
}

TEST_CASE("gradient boxes at places execute exactly V where batch and channels fill them") {
  const Conv2dProblem p = cks::kernels::make_conv2d_problem({.N = 128,
                                                             .IH = 4,
                                                             .IW = 5,
                                                             .IC = 256,
                                                             .OC = 128,
                                                             .FH = 3,
                                                             .FW = 3,
                                                             .stride = 2,
                                                             .padding = 1});
  CHECK(executed_of(plan_gradient({p, {128, 256}, true, 2})) == exact_multiply_adds(p));
}
