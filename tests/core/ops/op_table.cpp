#include "tests/core/ops/op_table.h"

#include "tests/support/fill.h"

namespace cks::testing {

std::function<double(std::int64_t)> between(double low, double high, std::uint64_t seed) {
  return [=](std::int64_t i) {
    return low + (high - low) * 0.5 * (random_real(seed, static_cast<std::uint64_t>(i)) + 1.0);
  };
}

std::function<double(std::int64_t)> away_from_zero(std::uint64_t seed) {
  return [=](std::int64_t i) {
    const double value = random_real(seed, static_cast<std::uint64_t>(i));
    return value < 0.0 ? 1.8 * value - 0.2 : 1.8 * value + 0.2;
  };
}

std::function<double(std::int64_t)> distinct(std::uint64_t seed) {
  return [=](std::int64_t i) {
    const std::int64_t place = (i * 389 + static_cast<std::int64_t>(seed) * 131) % 997;
    return (static_cast<double>(place) + 0.1 * static_cast<double>(seed)) / 997.0 * 4.0 - 2.0;
  };
}

std::function<double(std::int64_t)> cycle(std::int64_t count) {
  return [=](std::int64_t i) { return static_cast<double>(i % count); };
}

const std::vector<OpRow>& op_table() {
  static const std::vector<OpRow> table = [] {
    std::vector<OpRow> rows;
    for (const auto& part : {elementwise_rows(), shape_rows(), layer_rows()}) {
      rows.insert(rows.end(), part.begin(), part.end());
    }
    return rows;
  }();
  return table;
}

}  // namespace cks::testing
