#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "cks/kernels/conv2d/conv2d.h"
#include "tests/kernels/conv2d/conv2d_harness.h"
#include "tests/support/sanitized.h"

// What holds for the three passes without any reference: they are adjoint to each other, a value
// that is not finite reaches only the results it is a factor of, a transposed convolution scatters.

using cks::DType;
using cks::kernels::Conv2dPass;
using cks::kernels::Conv2dPlan;
using cks::kernels::Conv2dProblem;
using namespace cks::testing;  // NOLINT(google-build-using-namespace): this is a test

namespace {

double inner_product(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

double inner_product_of_magnitudes(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0, std::plus<>(),
                            [](double u, double v) { return std::abs(u * v); });
}

/// One axis, by definition: does output o read input i through tap f?
struct Axis {
  std::int64_t inputs, taps, outputs, stride, pad, dilation;
  bool reads(std::int64_t i, std::int64_t f, std::int64_t o) const {
    return o * stride - pad + f * dilation == i;
  }
};

Axis rows_of(const Conv2dProblem& p) { return {p.IH, p.FH, p.OH, p.sh, p.pt, p.dh}; }
Axis columns_of(const Conv2dProblem& p) { return {p.IW, p.FW, p.OW, p.sw, p.pl, p.dw}; }

enum class Operand { x, w, y };

/// Where an index of one tensor meets an index of another on one axis: for some index of the third.
bool meets(const Axis& axis, Operand source, std::int64_t from, Operand target, std::int64_t to) {
  const auto index = [&](Operand operand, std::int64_t third) {
    return operand == source ? from : operand == target ? to : third;
  };
  const bool third_is_x = source != Operand::x && target != Operand::x;
  const bool third_is_w = source != Operand::w && target != Operand::w;
  const std::int64_t extent = third_is_x ? axis.inputs : third_is_w ? axis.taps : axis.outputs;
  for (std::int64_t third = 0; third < extent; ++third) {
    if (axis.reads(index(Operand::x, third), index(Operand::w, third), index(Operand::y, third))) {
      return true;
    }
  }
  return false;
}

/// One element of a tensor by its four indices; for the filter n stands for oc, c for ic of the
/// group.
struct Element {
  std::int64_t n, h, w, c;
};

Element element_of(const Extents& shape, std::int64_t flat) {
  return {flat / (shape[1] * shape[2] * shape[3]), flat / (shape[2] * shape[3]) % shape[1],
          flat / shape[3] % shape[2], flat % shape[3]};
}

/// Whether a product has both: the source's element as a factor, the target's as its sum.
bool reaches(const Conv2dProblem& p, Operand source, const Element& from, Operand target,
             const Element& to) {
  if (!meets(rows_of(p), source, from.h, target, to.h) ||
      !meets(columns_of(p), source, from.w, target, to.w)) {
    return false;
  }
  const std::int64_t in = p.IC / p.G;
  const std::int64_t out = p.OC / p.G;
  const auto is = [&](Operand a, Operand b) { return source == a && target == b; };
  if (is(Operand::x, Operand::y)) {
    return from.n == to.n && from.c / in == to.c / out;
  }
  if (is(Operand::y, Operand::x)) {
    return from.n == to.n && from.c / out == to.c / in;
  }
  if (is(Operand::w, Operand::y)) {
    return from.n == to.c;
  }
  if (is(Operand::w, Operand::x)) {
    return from.n / out * in + from.c == to.c;
  }
  if (is(Operand::x, Operand::w)) {
    return from.c == to.n / out * in + to.c;
  }
  return from.c == to.n;  // y to w
}

struct Spread {
  Conv2dPass pass;
  Operand source, target;
};

const Spread kSpreads[] = {{Conv2dPass::forward, Operand::x, Operand::y},
                           {Conv2dPass::forward, Operand::w, Operand::y},
                           {Conv2dPass::backward_data, Operand::y, Operand::x},
                           {Conv2dPass::backward_data, Operand::w, Operand::x},
                           {Conv2dPass::backward_filter, Operand::x, Operand::w},
                           {Conv2dPass::backward_filter, Operand::y, Operand::w}};

/// Puts one value into a random element of the source; all that it reaches must be not finite, all
/// else must keep its bits.
void check_spread(const ListedProblem& listed, const Spread& spread, double value,
                  std::uint64_t seed, Failures& failures) {
  const Conv2dProblem p = listed.at(seed % 2 == 0 ? DType::float32 : DType::float64);
  Conv2dValues values = make_values(p, Fill::reals, seed);
  Conv2dMemory clean(spread.pass, p, values, false);
  std::vector<double>& tensor = spread.source == Operand::x   ? values.x
                                : spread.source == Operand::w ? values.w
                                                              : values.y;
  const Extents source_shape = spread.source == Operand::x   ? x_shape(p)
                               : spread.source == Operand::w ? w_shape(p)
                                                             : y_shape(p);
  const std::int64_t flat =
      random_integer(seed, 99, 0, static_cast<std::int64_t>(tensor.size()) - 1);
  tensor[static_cast<std::size_t>(flat)] = value;
  Conv2dMemory poisoned(spread.pass, p, values, false);
  const Extents shape = result_shape(spread.pass, p);
  for (const Conv2dPlan& plan :
       cks::kernels::possible_plans(spread.pass, p, cks::kernels::describe_cpu())) {
    clean.run(plan);
    poisoned.run(plan);
    const std::vector<double> expected = clean.result();
    const std::vector<double> got = poisoned.result();
    for (std::size_t i = 0; i < got.size(); ++i) {
      const bool reached = reaches(p, spread.source, element_of(source_shape, flat), spread.target,
                                   element_of(shape, static_cast<std::int64_t>(i)));
      if (reached ? std::isfinite(got[i]) : got[i] != expected[i]) {
        failures.add(listed.name + " (" + to_string(p) + "), plan " + plan.to_string(),
                     std::string(reached ? "kept finite" : "changed") + " at " +
                         print_index(static_cast<std::int64_t>(i), shape) + " by " +
                         std::to_string(value) + " in the operand at " +
                         print_index(flat, source_shape));
        break;
      }
    }
  }
}

}  // namespace

TEST_CASE("conv2d: the passes are adjoint: <Y(x,w), dy> = <x, dX(dy,w)> = <w, dW(x,dy)>") {
  Failures failures;
  double largest = 0.0;
  std::uint64_t seed = 0;
  for (const ListedProblem& listed : conv2d_problems()) {
    if (++seed % (kSanitized ? 4 : 1) != 0) {
      continue;
    }
    const Conv2dProblem p = listed.at(DType::float64);
    const Conv2dValues values = make_values(p, Fill::reals, seed);
    const auto computed = [&](Conv2dPass pass) {
      Conv2dMemory memory(pass, p, values, false);
      memory.run(select(pass, p, cks::kernels::describe_cpu()));
      return memory.result();
    };
    const std::vector<double> y = computed(Conv2dPass::forward);
    const std::vector<double> dx = computed(Conv2dPass::backward_data);
    const std::vector<double> dw = computed(Conv2dPass::backward_filter);
    const double by_y = inner_product(y, values.y);
    const double by_x = inner_product(values.x, dx);
    const double by_w = inner_product(values.w, dw);
    const double scale = 1e-3 + std::max({inner_product_of_magnitudes(y, values.y),
                                          inner_product_of_magnitudes(values.x, dx),
                                          inner_product_of_magnitudes(values.w, dw)});
    const double gap = std::max(std::abs(by_y - by_x), std::abs(by_y - by_w)) / scale;
    if (!(gap <= 1e-12)) {
      failures.add(listed.name + " (" + to_string(p) + ")", "<Y,dy> " + std::to_string(by_y) +
                                                                ", <x,dX> " + std::to_string(by_x) +
                                                                ", <w,dW> " + std::to_string(by_w));
    }
    largest = std::max(largest, gap);
  }
  MESSAGE("adjointness: largest relative gap " << largest);
}

TEST_CASE("conv2d: NaN and infinity reach exactly the results they are a factor of") {
  Failures failures;
  std::uint64_t seed = 0;
  for (const ListedProblem& listed : conv2d_problems()) {
    ++seed;
    const Conv2dProblem p = listed.at(DType::float32);
    if (p.N == 0 || counted_multiply_adds(p) > 60'000 || p.x_pitch * p.N * p.IH * p.IW > 60'000) {
      continue;
    }
    const Spread& spread = kSpreads[seed % 6];
    const double value = seed / 6 % 2 == 0 ? std::numeric_limits<double>::quiet_NaN()
                                           : std::numeric_limits<double>::infinity();
    try {
      check_spread(listed, spread, value, seed, failures);
    } catch (const std::exception& error) {
      failures.add(listed.name, std::string("threw: ") + error.what());
    }
  }
}

TEST_CASE("conv2d: a transposed convolution scatters each input pixel through the filter") {
  Failures failures;
  std::uint64_t seed = 0;
  int count = 0;
  for (const ListedProblem& listed : conv2d_problems()) {
    ++seed;
    if (!listed.transposed || ++count % (kSanitized ? 4 : 1) != 0) {
      continue;
    }
    // In its own terms: input [N,H,W,in] is the problem's Y, the result [N,.,.,out] its X, and the
    // filter [in,FH,FW,out/G].
    const cks::kernels::Conv2dSizes& s = listed.sizes;
    const Conv2dProblem p = listed.at(DType::float64);
    CAPTURE(listed.name);
    CHECK(p.IH == (s.IH - 1) * s.stride.h - s.padding.top - s.padding.bottom +
                      s.dilation.h * (s.FH - 1) + listed.output_padding.h + 1);
    CHECK(p.IW == (s.IW - 1) * s.stride.w - s.padding.left - s.padding.right +
                      s.dilation.w * (s.FW - 1) + listed.output_padding.w + 1);
    REQUIRE(y_shape(p) == Extents{s.N, s.IH, s.IW, s.IC});
    REQUIRE(x_shape(p) == Extents{s.N, p.IH, p.IW, s.OC});
    REQUIRE(w_shape(p) == Extents{s.IC, s.FH, s.FW, s.OC / s.groups});
    const Conv2dValues values = make_values(p, Fill::small_integers, seed);

    std::vector<double> expected(values.x.size());
    const std::int64_t out_per_group = s.OC / s.groups;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      expected[i] = values.x_bias[i % static_cast<std::size_t>(s.OC)];
    }
    for (std::size_t i = 0; i < values.y.size(); ++i) {
      const Element from = element_of(y_shape(p), static_cast<std::int64_t>(i));
      for (std::size_t j = 0; j < values.w.size(); ++j) {
        const Element tap = element_of(w_shape(p), static_cast<std::int64_t>(j));
        const std::int64_t h = from.h * s.stride.h - s.padding.top + tap.h * s.dilation.h;
        const std::int64_t w = from.w * s.stride.w - s.padding.left + tap.w * s.dilation.w;
        if (tap.n == from.c && h >= 0 && h < p.IH && w >= 0 && w < p.IW) {
          const std::int64_t channel = from.c / (s.IC / s.groups) * out_per_group + tap.c;
          expected[static_cast<std::size_t>(((from.n * p.IH + h) * p.IW + w) * s.OC + channel)] +=
              values.y[i] * values.w[j];
        }
      }
    }
    for (const Conv2dPlan& plan :
         cks::kernels::possible_plans(Conv2dPass::backward_data, p, cks::kernels::describe_cpu())) {
      Conv2dMemory memory(Conv2dPass::backward_data, p, values, true);
      memory.run(plan);
      const Comparison same = compare(memory.result(), x_shape(p), expected, x_shape(p));
      if (!same) {
        failures.add(listed.name + ", plan " + plan.to_string(), same.message);
      }
    }
  }
  CHECK(count > 100);
}

TEST_CASE("conv2d: an empty batch gives an empty result, and a filter gradient of zeros") {
  const ListedProblem listed{
      "empty", {.N = 0, .IH = 4, .IW = 4, .IC = 3, .OC = 5, .FH = 3, .FW = 3, .padding = 1}};
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Conv2dProblem p = listed.at(dtype);
    for (const Conv2dPass pass : kPasses) {
      for (const Conv2dPlan& plan :
           cks::kernels::possible_plans(pass, p, cks::kernels::describe_cpu())) {
        CAPTURE(plan.to_string());
        Conv2dMemory memory(pass, p, make_values(p, Fill::reals, 1), true);
        CHECK(memory.run(plan) == 0);
        const std::vector<double> result = memory.result();
        CHECK(result.size() == (pass == Conv2dPass::backward_filter ? 5U * 3 * 3 * 3 : 0U));
        CHECK(compare(result, std::vector<double>(result.size(), 0.0)).ok);
        CHECK(memory.damage().empty());
      }
    }
  }
}
