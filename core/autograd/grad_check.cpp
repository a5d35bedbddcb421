#include "cks/core/autograd/grad_check.h"

#include <cmath>
#include <cstring>
#include <numeric>

#include "cks/core/autograd/autograd.h"
#include "cks/core/tensor/check.h"
#include "cks/core/tensor/random.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {
namespace {

double project(const Tensor& result, const std::vector<double>& projection) {
  const std::vector<double> values = result.to_vector<double>();
  return std::inner_product(values.begin(), values.end(), projection.begin(), 0.0);
}

bool same_bits(const Tensor& a, const Tensor& b) {
  if (!(a.shape() == b.shape())) {
    return false;
  }
  const std::vector<double> first = a.to_vector<double>();
  const std::vector<double> second = b.to_vector<double>();
  return first.empty() ||
         std::memcmp(first.data(), second.data(), first.size() * sizeof(double)) == 0;
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
                                  std::size_t input, const std::vector<double>& projection,
                                  double step) {
  const NoGradGuard no_grad;
  const std::vector<double> elements = leaves[input].to_vector<double>();
  Tensor flat = leaves[input].detach().reshape({leaves[input].numel()});
  std::vector<double> differences(elements.size());
  const auto write = [&](std::size_t i, double x) {  // on any device
    const auto row = static_cast<std::int64_t>(i);
    flat.slice(row, row + 1).fill_(x);
  };
  const auto value_at = [&](std::size_t i, double x) {
    write(i, x);
    return project(function(leaves), projection);
  };
  for (std::size_t i = 0; i < differences.size(); ++i) {
    // The distance as it is after rounding.
    const double above = elements[i] + step;
    const double below = elements[i] - step;
    differences[i] = (value_at(i, above) - value_at(i, below)) / (above - below);
    write(i, elements[i]);
  }
  return differences;
}

std::string describe(const GradCheckReport& report, const Tensor& input, double tolerance) {
  return formatted(
      "grad_check: {}: relative error {:.3g} (tolerance {:.3g}) at element {} of input {} {}: "
      "backward gives {:.12g}, differences give {:.12g}",
      report.ok ? "ok" : "failed", report.max_relative_error, tolerance, report.worst_element,
      report.worst_input, input.shape(), report.analytic, report.numeric);
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
  Tensor drawn = Tensor::empty(result.shape(), DType::float64);
  fill_uniform(drawn, 0.5, 1.5, make_random_key(options.seed, RandomPurpose::data));
  std::vector<double> projection = drawn.to_vector<double>();
  for (std::size_t i = 1; i < projection.size(); i += 2) {  // signs keep sums from hiding errors
    projection[i] *= -1.0;
  }
  const std::vector<Tensor> analytic =
      gradients(result, leaves, Tensor::from_vector(projection, result.shape(), result.device()));

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
