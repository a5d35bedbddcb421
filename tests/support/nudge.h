#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

#include "cks/core/tensor/tensor.h"

namespace cks::testing {

/// Moves every element of float32 tensors by one unit in the last place, up and down in turn: the
/// least difference that two runs can start with.
inline void nudge(const std::vector<Tensor>& tensors) {
  for (Tensor tensor : tensors) {
    auto* elements = tensor.data_as<float>();
    for (std::int64_t i = 0; i < tensor.numel(); ++i) {
      elements[i] = std::nextafter(elements[i], i % 2 == 0 ? 9.0F : -9.0F);
    }
    tensor.bump_version();
  }
}

}  // namespace cks::testing
