#include "cks/core/tensor/random.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <thread>

#include "cks/core/capture/capture.h"
#include "cks/core/ops/counter.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/random_fill.h"
#include "cks/core/ops/reduce.h"
#include "cks/kernels/common/parallel_for.h"
#include "tests/core/test_ops.h"
#include "tests/support/devices.h"
#include "tests/support/tensors.h"

namespace cks {
namespace {

const RandomKey kKey = make_random_key(7, RandomPurpose::initialize, "conv1.weight");

std::vector<float> uniform(std::int64_t count, RandomKey key, std::uint64_t step = 0) {
  Tensor tensor = Tensor::empty({count});
  fill_uniform(tensor, 0.0, 1.0, key, step);
  return tensor.to_vector<float>();
}

TEST_CASE("make_random_key: seed, purpose and path all count") {
  std::set<std::uint64_t> keys;
  for (const std::uint64_t seed : {0ULL, 1ULL, 1ULL << 63}) {
    for (const auto purpose :
         {RandomPurpose::initialize, RandomPurpose::dropout, RandomPurpose::shuffle,
          RandomPurpose::augment, RandomPurpose::data}) {
      for (const char* path : {"", "a", "b", "ab", "ba"}) {
        keys.insert(make_random_key(seed, purpose, path).value);
      }
    }
  }
  CHECK(keys.size() == 3 * 5 * 5);
  CHECK(make_random_key(7, RandomPurpose::initialize, "conv1.weight").value == kKey.value);
}

TEST_CASE("fills depend on key, step and index alone: not on threads, length or shape") {
  const int threads = kernels::num_threads();
  kernels::set_num_threads(1);
  const std::vector<float> one = uniform(10'001, kKey);
  kernels::set_num_threads(5);
  const std::vector<float> five = uniform(10'001, kKey);
  kernels::set_num_threads(threads);
  CHECK(one == five);
  const std::vector<float> shorter = uniform(103, kKey);
  CHECK(std::equal(shorter.begin(), shorter.end(), one.begin()));
  Tensor matrix = Tensor::empty({3, 5});
  fill_uniform(matrix, 0.0, 1.0, kKey);
  CHECK(std::equal(one.begin(), one.begin() + 15, matrix.to_vector<float>().begin()));
  CHECK(uniform(100, kKey, 1) != uniform(100, kKey, 0));
}

TEST_CASE("fills with a step in memory draw the host's numbers, and others in each captured step") {
  for (const Device device : testing::test_devices()) {
    CAPTURE(device.to_string());
    Tensor step = Tensor::full({1}, 3.0, DType::int64, device);
    Tensor own = Tensor::empty({1001}, DType::float64, device);
    Tensor host = Tensor::empty({1001}, DType::float64);
    fill_uniform(own, -1.0, 2.0, kKey, step);
    fill_uniform(host, -1.0, 2.0, kKey, 3);
    CHECK(testing::compare(own, host, {1e-15}).ok);
    fill_normal(own, -1.0, 2.0, kKey, step);
    fill_normal(host, -1.0, 2.0, kKey, 3);
    CHECK(testing::compare(own, host, {1e-14}).ok);

    Tensor noise = Tensor::empty({8}, DType::float32, device);
    CapturedStep draw(
        [&] {
          fill_normal(noise, 0.0, 1.0, kKey, step);
          count_up_(step);
        },
        device);
    for (std::uint64_t repeat = 3; repeat < 8; ++repeat) {
      draw.run();
      Tensor expected = Tensor::empty({8});
      fill_normal(expected, 0.0, 1.0, kKey, repeat);
      CHECK(testing::compare(noise, expected, {1e-6}).ok);
    }
    CHECK_THROWS_AS(fill_normal(noise, 0.0, -1.0, kKey, step), Error);
    CHECK_THROWS_AS(fill_uniform(noise, 0.0, 1.0, kKey, Tensor::zeros({1}, DType::int32, device)),
                    DtypeError);
    CHECK_THROWS_AS(fill_uniform(noise, 0.0, 1.0, kKey, Tensor::zeros({2}, DType::int64, device)),
                    ShapeError);
  }
}

TEST_CASE("fills: float64 has the values of float32 up to rounding") {
  Tensor single = Tensor::empty({999});
  Tensor twice = Tensor::empty({999}, DType::float64);
  fill_normal(single, 1.0, 2.0, kKey, 3);
  fill_normal(twice, 1.0, 2.0, kKey, 3);
  CHECK(twice.to(DType::float32).to_vector<float>() == single.to_vector<float>());
  fill_uniform(single, -0.3, 0.7, kKey, 3);
  fill_uniform(twice, -0.3, 0.7, kKey, 3);
  CHECK(twice.to(DType::float32).to_vector<float>() == single.to_vector<float>());
}

TEST_CASE("fills: mean, variance and range are those asked for") {
  constexpr std::int64_t kCount = 200'000;
  const auto moments = [](const Tensor& tensor) {
    double sum = 0.0;
    double squares = 0.0;
    for (const double x : tensor.to_vector<double>()) {
      sum += x;
      squares += x * x;
    }
    const double mean = sum / kCount;
    return std::pair{mean, squares / kCount - mean * mean};
  };
  Tensor tensor = Tensor::empty({kCount}, DType::float64);
  fill_uniform(tensor, -1.0, 3.0, kKey);
  auto [mean, variance] = moments(tensor);
  // Five standard errors.
  CHECK(std::fabs(mean - 1.0) < 5 * std::sqrt(16.0 / 12.0 / kCount));
  CHECK(std::fabs(variance - 16.0 / 12.0) < 0.02);
  const std::vector<double> values = tensor.to_vector<double>();
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  CHECK(*low >= -1.0);
  CHECK(*low < -0.999);
  CHECK(*high < 3.0);
  CHECK(*high > 2.999);
  fill_normal(tensor, 2.0, 0.5, kKey);
  std::tie(mean, variance) = moments(tensor);
  CHECK(std::fabs(mean - 2.0) < 5 * 0.5 / std::sqrt(static_cast<double>(kCount)));
  CHECK(std::fabs(variance - 0.25) < 0.005);
  // Neighbours come from one pair of Box and Muller: they must not go together.
  const std::vector<double> normal = tensor.to_vector<double>();
  double product = 0.0;
  for (std::size_t i = 0; i + 1 < normal.size(); ++i) {
    product += (normal[i] - 2.0) * (normal[i + 1] - 2.0);
  }
  CHECK(std::fabs(product / kCount) < 5 * 0.25 / std::sqrt(static_cast<double>(kCount)));
}

TEST_CASE("fills: raise the version and refuse what they cannot fill") {
  Tensor tensor = Tensor::zeros({4});
  const std::uint64_t version = tensor.version();
  fill_normal(tensor, 0.0, 1.0, kKey);
  CHECK(tensor.version() > version);
  Tensor integers = Tensor::zeros({4}, DType::int32);
  CHECK_THROWS_AS(fill_uniform(integers, 0, 1, kKey), DtypeError);
  CHECK_THROWS_AS(fill_uniform(tensor, 1, 0, kKey), Error);
  CHECK_THROWS_AS(fill_uniform(tensor, 0, std::nan(""), kKey), Error);
  CHECK_THROWS_AS(fill_normal(tensor, 0, -1, kKey), Error);
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS(fill_uniform(tensor, 0, infinity, kKey), Error);
  CHECK_THROWS_AS(fill_uniform(tensor, -1e300, 1e300, kKey), Error);
  CHECK_THROWS_AS(fill_normal(tensor, std::nan(""), 1, kKey), Error);
  CHECK_THROWS_AS(fill_normal(tensor, 0, infinity, kKey), Error);
  CHECK_THROWS_AS(fill_normal(tensor, 1e300, 1, kKey), Error);
  Tensor wide = Tensor::zeros({2000}, DType::float64);
  CHECK_THROWS_AS(fill_uniform(wide, -1.7e308, 1.7e308, kKey), Error);  // their difference
  fill_uniform(wide, -8e307, 8e307, kKey);
  CHECK(max(wide).item() < 8e307);
  const Tensor leaf = Tensor::zeros({4}).set_requires_grad();
  Tensor recorded = leaf * 2.0;
  CHECK_THROWS_AS(fill_uniform(recorded, 0, 1, kKey), AutogradError);
  CHECK_THROWS_AS(fill_normal(recorded, 0, 1, kKey), AutogradError);
  Tensor undefined;
  CHECK_THROWS_AS(fill_uniform(undefined, 0, 1, kKey), Error);
  Tensor empty = Tensor::empty({0, 3});
  CHECK_NOTHROW(fill_uniform(empty, 0, 1, kKey));
}

TEST_CASE("random_permutation: each number once, seeded, and evenly spread") {
  const std::vector<std::int64_t> order = random_permutation(1000, kKey, 2);
  CHECK(std::set<std::int64_t>(order.begin(), order.end()).size() == 1000);
  CHECK(*std::min_element(order.begin(), order.end()) == 0);
  CHECK(*std::max_element(order.begin(), order.end()) == 999);
  CHECK(order == random_permutation(1000, kKey, 2));
  CHECK(order != random_permutation(1000, kKey, 3));
  CHECK(random_permutation(0, kKey).empty());
  CHECK_THROWS_AS(random_permutation(std::int64_t{1} << 62, kKey), OutOfMemoryError);
  CHECK(random_permutation(1, kKey) == std::vector<std::int64_t>{0});
  CHECK_THROWS_AS(random_permutation(-1, kKey), Error);
  int counts[6] = {};  // of the orders of three
  for (std::uint64_t step = 0; step < 6000; ++step) {
    const auto three = random_permutation(3, kKey, step);
    ++counts[three[0] * 2 + (three[1] > three[2] ? 1 : 0)];
  }
  for (const int count : counts) {
    CHECK(std::abs(count - 1000) < 150);  // five standard deviations
  }
}

TEST_CASE("RandomStream: seeded, in range, even") {
  RandomStream stream(kKey, 5);
  RandomStream again(kKey, 5);
  int counts[7] = {};
  double sum = 0.0;
  for (int i = 0; i < 7000; ++i) {
    const std::int64_t value = stream.below(7);
    REQUIRE(value >= 0);
    REQUIRE(value < 7);
    CHECK(value == again.below(7));
    ++counts[value];
    sum += stream.uniform(2.0, 4.0);
    CHECK(again.uniform() < 1.0);
  }
  for (const int count : counts) {
    CHECK(std::abs(count - 1000) < 150);
  }
  CHECK(std::fabs(sum / 7000 - 3.0) < 0.04);
  CHECK(stream.below(1) == 0);
  CHECK_THROWS_AS(stream.below(0), Error);
  RandomStream copy = stream;
  CHECK(copy.bits() == stream.bits());
  CHECK(copy.normal() == stream.normal());
  const std::int64_t big = std::int64_t{1} << 62;
  CHECK(stream.below(big) < big);
}

TEST_CASE("random: drawing on the host is forbidden inside a captured step") {
  Tensor tensor = Tensor::zeros({4});
  CapturedStep fill([&] { fill_uniform(tensor, 0, 1, kKey); });
  CHECK_THROWS_AS(fill.run(), CaptureError);
  CapturedStep permute([&] { random_permutation(4, kKey); });
  CHECK_THROWS_AS(permute.run(), CaptureError);
}

TEST_CASE("random: threads draw the same numbers at the same time") {
  const std::vector<float> expected = uniform(5000, kKey);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] { CHECK(uniform(5000, kKey) == expected); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

}  // namespace
}  // namespace cks
