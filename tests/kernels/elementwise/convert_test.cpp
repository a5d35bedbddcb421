#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "cks/kernels/elementwise/elementwise.h"
#include "tests/support/compare.h"
#include "tests/support/run_kernel.h"

namespace cks::kernels {
namespace {

template <class To, class From>
To converted(From value) {
  return run_kernel<To>(1, [&](To* out) {
    target::convert(dtype_of<From>(), dtype_of<To>(), 1, on_device(std::vector{value}), out);
  })[0];
}

template <class From, class To>
void check_pair() {
  for (const std::int64_t count : {0, 1, 33, 40000}) {
    // Values that every dtype holds exactly.
    std::vector<From> x;
    std::vector<float> expected;
    for (std::int64_t i = 0; i < count; ++i) {
      expected.push_back(static_cast<float>(i % 256));
      x.push_back(static_cast<From>(expected.back()));
    }
    const auto y = run_kernel<To>(count, [&](To* out) {
      target::convert(dtype_of<From>(), dtype_of<To>(), count, on_device(x), out);
    });
    const auto result = compare(y, expected);
    CHECK_MESSAGE(result.ok, name_of(dtype_of<From>()), " to ", name_of(dtype_of<To>()), ": ",
                  result.message);
  }
}

TEST_CASE_TEMPLATE("convert: every pair of dtypes", From, float, bfloat16, double, std::int64_t,
                   std::int32_t, std::uint8_t) {
  check_pair<From, float>();
  check_pair<From, bfloat16>();
  check_pair<From, double>();
  check_pair<From, std::int64_t>();
  check_pair<From, std::int32_t>();
  check_pair<From, std::uint8_t>();
}

TEST_CASE("convert: real numbers outside an integer's range") {
  const double nan = std::nan("");
  const double inf = std::numeric_limits<double>::infinity();
  CHECK(converted<std::uint8_t>(-0.9) == 0);
  CHECK(converted<std::uint8_t>(-5.0F) == 0);
  CHECK(converted<std::uint8_t>(255.9F) == 255);
  CHECK(converted<std::uint8_t>(256.0F) == 255);
  CHECK(converted<std::uint8_t>(nan) == 0);
  CHECK(converted<std::int32_t>(-1.9) == -1);
  CHECK(converted<std::int32_t>(2147483647.9) == 2147483647);
  CHECK(converted<std::int32_t>(2147483648.0) == 2147483647);
  CHECK(converted<std::int32_t>(-2147483648.0F) == std::numeric_limits<std::int32_t>::min());
  CHECK(converted<std::int32_t>(-1e20F) == std::numeric_limits<std::int32_t>::min());
  CHECK(converted<std::int64_t>(inf) == std::numeric_limits<std::int64_t>::max());
  CHECK(converted<std::int64_t>(-inf) == std::numeric_limits<std::int64_t>::min());
  CHECK(converted<std::int64_t>(9223372036854775808.0) == std::numeric_limits<std::int64_t>::max());
  CHECK(converted<std::int64_t>(bfloat16(1e30F)) == std::numeric_limits<std::int64_t>::max());
}

TEST_CASE("convert: integers wrap, bfloat16 rounds to nearest even") {
  CHECK(converted<std::uint8_t>(std::int64_t{257}) == 1);
  CHECK(converted<std::uint8_t>(std::int32_t{-1}) == 255);
  CHECK(converted<std::int32_t>((std::int64_t{1} << 32) + 5) == 5);
  CHECK(converted<std::int64_t>(std::int32_t{-7}) == -7);
  CHECK(static_cast<float>(converted<bfloat16>(1.0F + 1.0F / 256.0F)) == 1.0F);
  CHECK(static_cast<float>(converted<bfloat16>(1.0F + 3.0F / 256.0F)) == 1.0F + 1.0F / 64.0F);
  CHECK(std::isnan(static_cast<float>(converted<bfloat16>(std::nan("")))));
  CHECK(std::isinf(converted<float>(1e300)));
}

TEST_CASE("round_tensors: a list longer than a launch takes, of any sizes, as convert()") {
  const std::vector<std::int64_t> sizes = {40000, 0, 1, 33, 1024, 1025, 8, 16, 3, 4096};
  std::vector<std::int64_t> starts = {0};
  for (std::size_t i = 0; i < 300; ++i) {
    starts.push_back(starts.back() + sizes[i % sizes.size()]);
  }
  const auto x = testing::random_values<float>(starts.back(), 1);
  const auto rounded = run_kernel<bfloat16>(starts.back(), [&](bfloat16* out) {
    auto&& held = on_device(x);
    const float* in = held;
    std::vector<RoundedTensor> list;
    for (std::size_t i = 0; i + 1 < starts.size(); ++i) {
      list.push_back({in + starts[i], out + starts[i], starts[i + 1] - starts[i]});
    }
    target::round_tensors(list.data(), static_cast<std::int64_t>(list.size()));
    target::round_tensors(list.data(), 0);
  });
  const auto expected = run_kernel<bfloat16>(starts.back(), [&](bfloat16* out) {
    target::convert(DType::float32, DType::bfloat16, starts.back(), on_device(x), out);
  });
  CHECK(std::memcmp(rounded.data(), expected.data(), rounded.size() * sizeof(bfloat16)) == 0);
}

TEST_CASE_TEMPLATE("fill: every dtype", T, float, bfloat16, double, std::int64_t, std::int32_t,
                   std::uint8_t) {
  for (const std::int64_t count : {0, 1, 33, 40000}) {
    const auto y =
        run_kernel<T>(count, [&](T* out) { target::fill(dtype_of<T>(), count, 7.0, out); });
    const auto result = compare(y, std::vector<int>(static_cast<std::size_t>(count), 7));
    CHECK_MESSAGE(result.ok, result.message);
  }
}

TEST_CASE_TEMPLATE("accumulate adds to what is there", T, float, double) {
  for (const std::int64_t count : {0, 1, 33, 40000}) {
    const auto x = testing::random_values<T>(count, 1);
    const auto before = testing::random_values<T>(count, 2);
    std::vector<double> expected;
    for (std::size_t i = 0; i < x.size(); ++i) {
      expected.push_back(static_cast<double>(before[i]) + 0.5 * static_cast<double>(x[i]));
    }
    const auto y = run_kernel<T>(count, [&](T* out) {
      testing::write_to(out, before);
      target::accumulate(dtype_of<T>(), count, on_device(x), out, 0.5);
    });
    const auto result =
        compare(y, expected, {static_cast<double>(std::numeric_limits<T>::epsilon())});
    CHECK_MESSAGE(result.ok, result.message);
  }
}

}  // namespace
}  // namespace cks::kernels
