#pragma once
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "cks/core/tensor/tensor.h"

namespace cks::testing {

/// All float32 elements of named tensors, one after the other.
inline std::vector<float> floats_of(const NamedTensors& tensors) {
  std::vector<float> all;
  for (const auto& [name, tensor] : tensors) {
    if (tensor.dtype() == DType::float32) {
      const std::vector<float> values = tensor.to_vector<float>();
      all.insert(all.end(), values.begin(), values.end());
    }
  }
  return all;
}

/// Euclidean distance, relative to the length of `a`.
inline double gap(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double distance = 0.0;
  double length = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto value = static_cast<double>(a[i]);
    const double difference = value - static_cast<double>(b[i]);
    distance += difference * difference;
    length += value * value;
  }
  return std::sqrt(distance / length);
}

}  // namespace cks::testing
