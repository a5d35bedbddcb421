#include "cks/kernels/random/random_order.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <vector>

namespace cks::kernels {
namespace {

std::vector<std::int64_t> whole_order(std::int64_t count, std::uint64_t key, std::uint64_t step) {
  const RandomOrder order = make_random_order(count, key, step);
  std::vector<std::int64_t> numbers;
  for (std::int64_t position = 0; position < count; ++position) {
    numbers.push_back(order_at(order, position));
  }
  return numbers;
}

/// Each of 0 ... count-1 once.
bool is_permutation(const std::vector<std::int64_t>& numbers) {
  std::vector<bool> seen(numbers.size(), false);
  for (const std::int64_t number : numbers) {
    const auto index = static_cast<std::size_t>(number);
    if (number < 0 || index >= numbers.size() || seen[index]) {
      return false;
    }
    seen[index] = true;
  }
  return true;
}

/// How many standard deviations chi-square lies above its mean, for counts that should be even.
double excess(const std::vector<std::int64_t>& counts) {
  const double total =
      static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
  const double expected = total / static_cast<double>(counts.size());
  double chi_square = 0.0;
  for (const std::int64_t count : counts) {
    const double gap = static_cast<double>(count) - expected;
    chi_square += gap * gap / expected;
  }
  const double freedom = static_cast<double>(counts.size()) - 1.0;
  return (chi_square - freedom) / std::sqrt(2.0 * freedom);
}

}  // namespace

TEST_CASE("random order: a permutation for every count") {
  for (std::int64_t count = 1; count <= 300; ++count) {
    CAPTURE(count);
    REQUIRE(is_permutation(whole_order(count, 3, static_cast<std::uint64_t>(count))));
  }
  for (const std::int64_t count :
       {511, 512, 513, 1001, 4095, 4096, 4097, 50000, 60000, 65536, 65537}) {
    CAPTURE(count);
    REQUIRE(is_permutation(whole_order(count, 3, 0)));
  }
}

TEST_CASE("random order: another one for another key or step") {
  const auto order = whole_order(1000, 7, 2);
  CHECK(order == whole_order(1000, 7, 2));
  for (const auto& other :
       {whole_order(1000, 8, 2), whole_order(1000, 7, 3), whole_order(1000, 7 + (1ULL << 40), 2),
        whole_order(1000, 7, 2 + (1ULL << 40))}) {
    std::int64_t equal = 0;
    for (std::size_t i = 0; i < order.size(); ++i) {
      equal += order[i] == other[i] ? 1 : 0;
    }
    CHECK(equal < 10);  // one place in a thousand agrees by chance
  }
}

TEST_CASE("random order: every order of up to five numbers is as likely") {
  for (const std::int64_t count : {2, 3, 4, 5}) {
    std::map<std::vector<std::int64_t>, std::int64_t> seen;
    std::vector<std::int64_t> numbers(static_cast<std::size_t>(count));
    std::iota(numbers.begin(), numbers.end(), std::int64_t{0});
    do {
      seen[numbers] = 0;
    } while (std::next_permutation(numbers.begin(), numbers.end()));
    const auto orders = static_cast<std::uint64_t>(seen.size());
    for (std::uint64_t step = 0; step < 2000 * orders; ++step) {
      ++seen[whole_order(count, 11, step)];
    }
    REQUIRE(seen.size() == orders);
    std::vector<std::int64_t> counts;
    for (const auto& [order, times] : seen) {
      counts.push_back(times);
    }
    CAPTURE(count);
    CHECK(excess(counts) < 5.0);
  }
}

TEST_CASE("random order: every number at every place, every pair of neighbours, as often") {
  for (const std::int64_t count : {7, 8, 10, 16, 23, 32}) {
    const auto n = static_cast<std::size_t>(count);
    std::vector<std::int64_t> places(n * n, 0);  // [position][number]
    std::vector<std::int64_t> steps(n - 1, 0);   // of a number to its neighbour's, modulo count
    std::vector<std::int64_t> pairs(n * n, 0);   // [number][the one after it]
    for (std::uint64_t step = 0; step < 20000; ++step) {
      const auto order = whole_order(count, 5, step);
      for (std::size_t i = 0; i < n; ++i) {
        ++places[i * n + static_cast<std::size_t>(order[i])];
      }
      for (std::size_t i = 0; i + 1 < n; ++i) {
        ++pairs[static_cast<std::size_t>(order[i] * count + order[i + 1])];
        ++steps[static_cast<std::size_t>((order[i + 1] - order[i] + count) % count) - 1];
      }
    }
    std::vector<std::int64_t> different;  // a number never follows itself
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      if (i / n != i % n) {
        different.push_back(pairs[i]);
      }
    }
    CAPTURE(count);
    CHECK(excess(places) < 5.0);
    CHECK(excess(different) < 5.0);
    CHECK(excess(steps) < 5.0);
  }
}

TEST_CASE("random order: a large one is spread evenly, within and from step to step") {
  constexpr std::int64_t kCount = 60000;
  constexpr std::int64_t kCells = 20;
  const auto cell = [](std::int64_t number) {
    return static_cast<std::size_t>(number * kCells / kCount);
  };
  std::vector<std::int64_t> places(kCells * kCells, 0);      // [part of positions][of numbers]
  std::vector<std::int64_t> neighbours(kCells * kCells, 0);  // [part of a number][of the next]
  std::vector<std::int64_t> epochs(kCells * kCells, 0);      // [part now][of the step before]
  std::vector<std::int64_t> parities(4, 0);                  // of a number and the next
  auto before = whole_order(kCount, 1, 0);
  for (std::uint64_t step = 1; step <= 10; ++step) {
    const auto order = whole_order(kCount, 1, step);
    for (std::size_t i = 0; i < order.size(); ++i) {
      ++places[cell(static_cast<std::int64_t>(i)) * kCells + cell(order[i])];
      ++epochs[cell(order[i]) * kCells + cell(before[i])];
      if (i + 1 < order.size()) {
        ++neighbours[cell(order[i]) * kCells + cell(order[i + 1])];
        ++parities[static_cast<std::size_t>(order[i] % 2 * 2 + order[i + 1] % 2)];
      }
    }
    before = order;
  }
  CHECK(excess(places) < 5.0);
  CHECK(excess(neighbours) < 5.0);
  CHECK(excess(epochs) < 5.0);
  CHECK(excess(parities) < 5.0);
}

TEST_CASE("random order: counts beyond 32 bits") {
  const std::int64_t count = (std::int64_t{1} << 40) + 3;
  const RandomOrder order = make_random_order(count, 1, 1);
  std::vector<std::int64_t> numbers;
  for (std::int64_t i = 0; i < 1000; ++i) {
    numbers.push_back(order_at(order, count - 1 - i));
    REQUIRE(numbers.back() >= 0);
    REQUIRE(numbers.back() < count);
  }
  std::sort(numbers.begin(), numbers.end());
  CHECK(std::adjacent_find(numbers.begin(), numbers.end()) == numbers.end());
  CHECK(numbers.front() < count / 50);
  CHECK(numbers.back() > count - count / 50);
  const RandomOrder greatest = make_random_order(std::int64_t{1} << 62, 1, 1);
  CHECK(order_at(greatest, 0) != order_at(greatest, 1));
}

}  // namespace cks::kernels
