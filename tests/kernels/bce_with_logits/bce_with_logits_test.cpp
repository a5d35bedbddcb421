#include "cks/kernels/bce_with_logits/bce_with_logits.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/support/run_kernel.h"

TEST_CASE_TEMPLATE("bce_with_logits is accurate wherever the logit is, and so is its gradient", T,
                   float, double) {
  std::vector<T> logits;
  std::vector<T> targets;
  std::vector<T> factors;
  std::vector<double> losses;
  std::vector<double> gradients;
  for (int repeat = 0; repeat < 300; ++repeat) {  // more than a block of work
    for (const double x :
         {-1e30, -200.0, -40.0, -20.0, -3.5, -1e-3, 0.0, 1e-3, 1.0, 20.0, 40.0, 1e30}) {
      for (const double t : {0.0, 0.25, 1.0}) {
        logits.push_back(static_cast<T>(x));
        targets.push_back(static_cast<T>(t));
        factors.push_back(static_cast<T>(1 + repeat % 3));
        const auto wide = static_cast<long double>(logits.back());
        const auto share = static_cast<long double>(t);
        // -log of the sigmoid and of 1 minus it, each from the side on which it does not cancel.
        const auto softplus = [](long double z) {
          return z > 0 ? z + std::log1p(std::exp(-z)) : std::log1p(std::exp(z));
        };
        losses.push_back(static_cast<double>((share == 0 ? 0 : share * softplus(-wide)) +
                                             (share == 1 ? 0 : (1 - share) * softplus(wide))));
        gradients.push_back((1 + repeat % 3) *
                            static_cast<double>(1 / (1 + std::exp(-wide)) - share));
      }
    }
  }
  const auto count = static_cast<std::int64_t>(logits.size());
  const auto y = run_kernel<T>(count, [&](T* out) {
    target::bce_with_logits_forward(cks::dtype_of<T>(), count, on_device(logits),
                                    on_device(targets), out);
  });
  const auto dx = run_kernel<T>(count, [&](T* out) {
    target::bce_with_logits_backward(cks::dtype_of<T>(), count, on_device(logits),
                                     on_device(targets), on_device(factors), out);
  });
  const auto step = static_cast<double>(std::numeric_limits<T>::epsilon());
  for (std::size_t i = 0; i < y.size(); ++i) {
    REQUIRE(std::abs(static_cast<double>(y[i]) - losses[i]) <=
            8 * step * losses[i] + static_cast<double>(std::numeric_limits<T>::min()));
    REQUIRE(std::abs(static_cast<double>(dx[i]) - gradients[i]) <= 8 * step);
  }
}
