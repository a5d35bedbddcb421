#include "cks/core/grad_check.h"

#include <cmath>
#include <cstdio>
#include <cstring>

#include "cks/core/autograd.h"
#include "cks/core/ops/common.h"
#include "cks/core/random.h"

namespace cks {
namespace {

double project(const Tensor& result, const Tensor& projection) {
  const double* values = result.data_as<double>();
  const double* weights = projection.data_as<double>();
  double sum = 0.0;
  for (std::int64_t i = 0; i < result.numel(); ++i) {
    sum += values[i] * weights[i];
  }
  return sum;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() &&
         (a.numel() == 0 || std::memcmp(a.data(), b.data(),
                                        static_cast<std::size_t>(a.numel()) * sizeof(double)) == 0);
}

/// Largest magnitude; NaN if any is.
double largest(const std::vector<double>& values) {
  double result = 0.0;
  for (const double value : values) {
    if (!(std::fabs(value) <= result)) {
      result = std::fabs(value);
    }
    if (std::isnan(result)) {
      break;
    }
  }
  return result;
}

/// The differences for every element of leaves[input].
std::vector<double> differentiate(const GradCheckFunction& function, std::vector<Tensor>& leaves,
                                  std::size_t input, const Tensor& projection, double step) {
  const NoGradGuard no_grad;
  Tensor& leaf = leaves[input];
  double* elements = leaf.data_as<double>();
  std::vector<double> differences(static_cast<std::size_t>(leaf.numel()));
  const auto value_at = [&](std::size_t i, double x) {
    elements[i] = x;
    leaf.bump_version();
    return project(function(leaves), projection);
  };
  for (std::size_t i = 0; i < differences.size(); ++i) {
    const double x = elements[i];
    // The distance as it is after rounding.
    const double above = x + step;
    const double below = x - step;
    differences[i] = (value_at(i, above) - value_at(i, below)) / (above - below);
    elements[i] = x;
    leaf.bump_version();
  }
  return differences;
}

std::string describe(const GradCheckReport& report, const Tensor& input, double tolerance) {
  char text[320];
  std::snprintf(text, sizeof text,
                "grad_check: %s: relative error %.3g (tolerance %.3g) at element %lld of input %zu "
                "%s: backward gives %.12g, differences give %.12g",
                report.ok ? "ok" : "failed", report.max_relative_error, tolerance,
                static_cast<long long>(report.worst_element), report.worst_input,
                input.shape().to_string().c_str(), report.analytic, report.numeric);
  return text;
}

}  // namespace

GradCheckReport grad_check(const GradCheckFunction& function, const std::vector<Tensor>& inputs,
                           const GradCheckOptions& options) {
  if (inputs.empty() || !(options.step > 0.0) || !(options.floor > 0.0)) {
    throw Error("grad_check: expected at least one input, a step > 0 and a floor > 0");
  }
  std::vector<Tensor> leaves;
  for (const Tensor& input : inputs) {
    ops::require_dtype("grad_check", {"input", input}, DType::float64);
    leaves.push_back(input.detach().clone().set_requires_grad());
  }
  const GradMode record(true);
  const Tensor result = function(leaves);
  ops::require_dtype("grad_check", {"result", result}, DType::float64);
  if (!same_bits(result, function(leaves))) {
    throw Error("grad_check: the function gives another result when it is called again");
  }
  Tensor projection = Tensor::empty(result.shape(), DType::float64);
  fill_uniform(projection, 0.5, 1.5, make_random_key(options.seed, RandomPurpose::data));
  for (std::int64_t i = 1; i < projection.numel(); i += 2) {  // signs keep sums from hiding errors
    projection.data_as<double>()[i] *= -1.0;
  }
  const std::vector<Tensor> analytic = gradients(result, leaves, projection);

  GradCheckReport report;
  report.ok = true;
  report.max_relative_error = -1.0;
  for (std::size_t input = 0; input < leaves.size(); ++input) {
    const std::vector<double> numeric =
        differentiate(function, leaves, input, projection, options.step);
    // An input that the result does not depend on has gradient zero.
    const std::vector<double> exact = analytic[input].defined()
                                          ? analytic[input].to_vector<double>()
                                          : std::vector<double>(numeric.size(), 0.0);
    const double scale = std::fmax(options.floor, std::fmax(largest(numeric), largest(exact)));
    double& input_error = report.relative_errors.emplace_back(0.0);
    for (std::size_t i = 0; i < numeric.size(); ++i) {
      const double error = std::fabs(exact[i] - numeric[i]) / scale;
      report.ok = report.ok && error <= options.tolerance;
      if (!(error <= input_error)) {
        input_error = error;
      }
      // The first NaN is the worst there can be.
      if (!std::isnan(report.max_relative_error) && !(error <= report.max_relative_error)) {
        report.max_relative_error = error;
        report.worst_input = input;
        report.worst_element = static_cast<std::int64_t>(i);
        report.analytic = exact[i];
        report.numeric = numeric[i];
      }
    }
  }
  report.max_relative_error = report.worst_element < 0 ? 0.0 : report.max_relative_error;
  report.message = describe(report, leaves[report.worst_input], options.tolerance);
  return report;
}

}  // namespace cks
