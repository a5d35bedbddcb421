#include <doctest/doctest.h>

#include <vector>

#include "cks/kernels/batch_norm/batch_norm.h"
#include "tests/support/compare.h"
#include "tests/support/fill.h"
#include "tests/support/run_kernel.h"

using namespace cks::testing;  // NOLINT(google-build-using-namespace): this is a test

TEST_CASE("batch_norm: the statistics of sums that are left are those of the elements") {
  constexpr double kEps = 1e-5;
  constexpr double kMomentum = 0.1;
  for (const std::int64_t rows : {2, 31, 900}) {  // each leaves its own; few, and more than at once
    for (const std::int64_t C : {1, 8, 37, 512}) {
      CAPTURE(rows);
      CAPTURE(C);
      const auto width = static_cast<std::size_t>(C);
      std::vector<float> sums;  // [rows,2,C]
      std::vector<double> mean(width, 0.0), square(width, 0.0);
      for (std::uint64_t row = 0; row < static_cast<std::uint64_t>(rows); ++row) {
        std::vector<float> squares;
        for (std::size_t c = 0; c < width; ++c) {
          const auto x = static_cast<float>(3.0 + random_real(1, row * width + c));
          sums.push_back(x);
          squares.push_back(x * x);
          mean[c] += static_cast<double>(x) / static_cast<double>(rows);
          square[c] += static_cast<double>(x) * static_cast<double>(x) / static_cast<double>(rows);
        }
        sums.insert(sums.end(), squares.begin(), squares.end());
      }
      std::vector<double> variances(width), moved_mean(width), moved_var(width);
      for (std::size_t c = 0; c < width; ++c) {
        const double variance = square[c] - mean[c] * mean[c];
        const double n = static_cast<double>(rows);
        variances[c] = variance;
        moved_mean[c] = kMomentum * mean[c];
        moved_var[c] = 1.0 - kMomentum + kMomentum * variance * n / (n - 1.0);
      }
      TargetBuffer running_mean(width * sizeof(float));
      TargetBuffer running_var(width * sizeof(float));
      TargetBuffer got_inv_std(width * sizeof(float));
      const auto got = run_kernel<float>(C, [&](float* out) {
        write_to(running_mean.as<float>(), std::vector<float>(width, 0.0F));
        write_to(running_var.as<float>(), std::vector<float>(width, 1.0F));
        const auto call = [&](const float* left) {
          target::batch_norm_statistics_of_sums({rows, C, cks::DType::float32}, kEps, kMomentum,
                                                rows, left, out, got_inv_std.data(),
                                                running_mean.data(), running_var.data());
        };
        call(on_device(sums));
      });
      const auto equal = [](const std::vector<float>& a, const std::vector<double>& b,
                            double tolerance) {
        const Comparison result = compare(a, b, {.absolute = tolerance});
        CHECK_MESSAGE(result.ok, result.message);
      };
      equal(got, mean, 1e-6);
      std::vector<float> of_inv_std;
      for (const float value : read_from<float>(got_inv_std)) {
        const auto wide = static_cast<double>(value);
        of_inv_std.push_back(static_cast<float>(1.0 / (wide * wide) - kEps));
      }
      equal(of_inv_std, variances, 2e-6);
      equal(read_from<float>(running_mean), moved_mean, 1e-6);
      equal(read_from<float>(running_var), moved_var, 1e-6);
      CHECK(got_inv_std.intact());
      CHECK(running_mean.intact());
      CHECK(running_var.intact());
    }
  }
}
