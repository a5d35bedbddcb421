#include "cks/kernels/dropout/dropout.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "cks/kernels/random/philox.h"
#include "tests/support/run_kernel.h"

using cks::kernels::DropoutProblem;

namespace {

template <class T>
std::vector<T> run(std::int64_t count, double probability, std::uint64_t key, std::int64_t step,
                   T value) {
  const std::vector<T> x(static_cast<std::size_t>(count), value);
  const std::vector<std::int64_t> steps{step};
  return run_kernel<T>(count, [&](T* y) {
    TargetBuffer drawn(sizeof(std::int64_t));
    cks::kernels::target::dropout({cks::dtype_of<T>(), count, probability, key}, on_device(steps),
                                  drawn.as<std::int64_t>(), on_device(x), y);
    if (count > 0) {
      CHECK(read_from<std::int64_t>(drawn) == steps);
    }
  });
}

}  // namespace

TEST_CASE("dropout: element i is kept by random word i, in either dtype") {
  for (const std::int64_t count : {0, 1, 3, 4, 4095, 10001}) {
    const std::vector<float> narrow = run<float>(count, 0.25, 99, 7, 3.0F);
    const std::vector<double> wide = run<double>(count, 0.25, 99, 7, 3.0);
    for (std::size_t i = 0; i < narrow.size(); ++i) {
      const bool kept =
          cks::kernels::to_unit_interval(cks::kernels::random_word(99, 7, i)) >= 0.25F;
      REQUIRE(wide[i] == (kept ? 4.0 : 0.0));
      REQUIRE(narrow[i] == (kept ? 4.0F : 0.0F));
    }
  }
}

TEST_CASE("dropout: bfloat16 is scaled as float32 and rounded once") {
  if (!kTestsCuda) {
    return;
  }
  for (const std::int64_t count : {0, 1, 5, 4095, 10001}) {
    const float value = 1.2734375F;
    const auto narrow = run(count, 0.1, 99, 7, cks::bfloat16(value));
    const std::vector<float> wide = run(count, 0.1, 99, 7, value);
    for (std::size_t i = 0; i < wide.size(); ++i) {
      REQUIRE(narrow[i].bits == cks::bfloat16(wide[i]).bits);
    }
  }
}

TEST_CASE("dropout: a part of a batch is dropped as in the whole one") {
  const std::vector<float> whole = run<float>(9000, 0.5, 3, 2, 1.0F);
  for (const std::int64_t first : {1, 2, 3, 4, 7, 4097}) {
    const std::vector<float> ones(4500, 1.0F);
    const std::vector<std::int64_t> steps{2};
    const std::vector<float> part = run_kernel<float>(4500, [&](float* y) {
      cks::kernels::target::dropout({cks::DType::float32, 4500, 0.5, 3, first}, on_device(steps),
                                    nullptr, on_device(ones), y);
    });
    CHECK(part == std::vector<float>(whole.begin() + first, whole.begin() + first + 4500));
  }
}

TEST_CASE("dropout: drops the share it should, another one at another step or key") {
  const std::vector<double> y = run<double>(100000, 0.3, 1, 1, 1.0);
  double dropped = 0.0;
  for (const double value : y) {
    dropped += value == 0.0 ? 1.0 : 0.0;
  }
  // Five standard deviations of a binomial distribution.
  CHECK(std::abs(dropped - 30000.0) < 5.0 * std::sqrt(100000.0 * 0.3 * 0.7));
  CHECK(run<double>(100000, 0.3, 1, 1, 1.0) == y);
  CHECK(run<double>(100000, 0.3, 1, 2, 1.0) != y);
  CHECK(run<double>(100000, 0.3, 2, 1, 1.0) != y);
}

TEST_CASE("dropout: probability 0 keeps all, 1 drops all") {
  CHECK(run<float>(1000, 0.0, 1, 1, 2.0F) == std::vector<float>(1000, 2.0F));
  CHECK(run<float>(1000, 1.0, 1, 1, 2.0F) == std::vector<float>(1000, 0.0F));
}
