#pragma once
#include <vector>

#include "cks/core/capture/capture_impl.h"
#include "cks/core/tensor/tensor.h"

namespace cks::ops {

/// The needed ones of the gradients of input, weight and bias, in this order, from functions that
/// make them. They do not need each other: in a captured step they run side by side, that of the
/// input, for which the layers before it wait, on the main line.
template <class Input, class Weight, class Bias>
std::vector<Tensor> run_gradients(const std::vector<bool>& needed, Input&& input, Weight&& weight,
                                  Bias&& bias) {
  std::vector<Tensor> grads(3);
  Branches branches;
  if (needed[2]) {
    branches.run([&] { grads[2] = bias(); });
  }
  if (needed[1]) {
    if (needed[0]) {
      branches.run([&] { grads[1] = weight(); });
    } else {
      grads[1] = weight();
    }
  }
  if (needed[0]) {
    grads[0] = input();
  }
  branches.join();
  return grads;
}

}  // namespace cks::ops
