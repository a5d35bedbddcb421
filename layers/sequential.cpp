#include "cks/layers/sequential.h"

#include "cks/layers/check.h"

namespace cks {

Module& Sequential::at(std::int64_t index) {
  if (index < 0 || index >= size()) {
    layers::fail_option(
        *this, "Sequential",
        "has no module " + std::to_string(index) + ", it holds " + std::to_string(size()));
  }
  return *owned_[static_cast<std::size_t>(index)];
}

Tensor Sequential::forward(const Tensor& input) {
  Tensor value = input;
  for (const auto& module : owned_) {
    value = (*module)(value);
  }
  return value;
}

}  // namespace cks
