#include "cks/kernels/random_fill/random_fill.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "cks/kernels/random_fill/formulas_impl.h"
#include "tests/support/run_kernel.h"

using cks::kernels::RandomFillProblem;
using cks::kernels::RandomKind;

namespace {

template <class T>
std::vector<T> run(RandomKind kind, std::int64_t count, double a, double b, std::uint64_t key,
                   std::int64_t step) {
  const std::vector<std::int64_t> steps{step};
  return run_kernel<T>(count, [&](T* y) {
    target::random_fill({kind, cks::dtype_of<T>(), count, a, b, key}, on_device(steps), y);
  });
}

}  // namespace

TEST_CASE_TEMPLATE("random_fill: element i is made of random word i", T, float, double) {
  for (const std::int64_t count : {0, 1, 3, 4, 5, 4097, 10001}) {
    const std::vector<T> uniform = run<T>(RandomKind::uniform, count, -1.0, 3.0, 99, 7);
    const std::vector<T> normal = run<T>(RandomKind::normal, count, 2.0, 0.5, 99, 7);
    for (std::size_t i = 0; i < uniform.size(); ++i) {
      const std::uint32_t word = cks::kernels::random_word(99, 7, i);
      REQUIRE(uniform[i] == static_cast<T>(-1.0 + 4.0 * static_cast<double>(word >> 8) * 0x1p-24));
      const std::uint32_t first = cks::kernels::random_word(99, 7, i / 2 * 2);
      const std::uint32_t second = cks::kernels::random_word(99, 7, i / 2 * 2 + 1);
      const auto [a, b] = cks::kernels::box_muller(first, second);
      REQUIRE(std::abs(static_cast<double>(normal[i]) - (2.0 + 0.5 * (i % 2 == 0 ? a : b))) <
              (sizeof(T) == 4 ? 1e-6 : 1e-14));
    }
  }
}

TEST_CASE("random_fill: the moments of the distributions, other numbers at another step or key") {
  constexpr std::int64_t kCount = 200000;
  const auto moments = [](const std::vector<float>& values) {
    double sum = 0.0;
    double squares = 0.0;
    for (const float value : values) {
      sum += value;
      squares += static_cast<double>(value) * value;
    }
    const double mean = sum / kCount;
    return std::pair(mean, squares / kCount - mean * mean);
  };
  const auto uniform = run<float>(RandomKind::uniform, kCount, 1.0, 3.0, 1, 1);
  const auto normal = run<float>(RandomKind::normal, kCount, -1.0, 2.0, 1, 1);
  const auto [uniform_mean, uniform_variance] = moments(uniform);
  const auto [normal_mean, normal_variance] = moments(normal);
  // Five standard deviations of the estimates.
  const double root = std::sqrt(static_cast<double>(kCount));
  CHECK(std::abs(uniform_mean - 2.0) < 5.0 * std::sqrt(1.0 / 3.0) / root);
  CHECK(std::abs(uniform_variance - 1.0 / 3.0) < 5.0 * std::sqrt(4.0 / 45.0) / root);
  CHECK(*std::min_element(uniform.begin(), uniform.end()) >= 1.0F);
  CHECK(*std::max_element(uniform.begin(), uniform.end()) <= 3.0F);
  CHECK(std::abs(normal_mean + 1.0) < 5.0 * 2.0 / root);
  CHECK(std::abs(normal_variance - 4.0) < 5.0 * 4.0 * std::sqrt(2.0) / root);
  CHECK(run<float>(RandomKind::normal, kCount, -1.0, 2.0, 1, 2) != normal);
  CHECK(run<float>(RandomKind::normal, kCount, -1.0, 2.0, 2, 1) != normal);
}
