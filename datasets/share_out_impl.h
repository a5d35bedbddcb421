#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "cks/core/tensor/random.h"

namespace cks {

/// Adds round(share * count) of the items, at least one and not all (of a single one none), to
/// `chosen` and the others to `kept`, in the order they have. The key says which ones.
template <class T>
void share_out(std::span<const T> items, double share, RandomKey key, std::vector<T>& kept,
               std::vector<T>& chosen) {
  const auto count = static_cast<std::int64_t>(items.size());
  const std::int64_t number = std::min(
      std::max<std::int64_t>(1, std::llround(share * static_cast<double>(count))), count - 1);
  const std::vector<std::int64_t> order = random_permutation(count, key);
  std::vector<bool> is_chosen(items.size());
  for (std::int64_t i = 0; i < number; ++i) {
    is_chosen[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])] = true;
  }
  for (std::size_t i = 0; i < items.size(); ++i) {
    (is_chosen[i] ? chosen : kept).push_back(items[i]);
  }
}

}  // namespace cks
