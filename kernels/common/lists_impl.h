#pragma once
#include <algorithm>
#include <functional>
#include <iterator>
#include <type_traits>
#include <vector>

/// What lists are asked most. For sources alone, never for public headers or device code.
namespace cks {

template <class Items, class Item>
bool contains(const Items& items, const Item& item) {
  return std::find(std::begin(items), std::end(items), item) != std::end(items);
}

template <class Items, class Predicate>
bool any_of(const Items& items, Predicate&& predicate) {
  return std::any_of(std::begin(items), std::end(items), predicate);
}

template <class Items, class Predicate>
bool all_of(const Items& items, Predicate&& predicate) {
  return std::all_of(std::begin(items), std::end(items), predicate);
}

/// What `convert`, a function or a pointer to a member, makes of each item.
template <class Items, class Convert>
auto mapped(Items&& items, Convert&& convert) {
  std::vector<std::decay_t<decltype(std::invoke(convert, *std::begin(items)))>> results;
  results.reserve(std::size(items));
  for (auto&& item : items) {
    results.push_back(std::invoke(convert, item));
  }
  return results;
}

}  // namespace cks
