#pragma once
#include <array>
#include <span>

#include "cks/core/tensor/tensor.h"
#include "cks/kernels/elementwise/broadcast.h"

namespace cks::ops {

/// The kernels' view of a result and the tensors that broadcast to it.
template <class... Tensors>
kernels::BroadcastProblem broadcast_problem(const Shape& result, const Tensors&... operands) {
  const std::array<std::span<const std::int64_t>, sizeof...(operands)> extents = {
      std::span<const std::int64_t>(operands.shape().begin(), operands.shape().end())...};
  return kernels::make_broadcast({result.begin(), result.end()}, extents);
}

}  // namespace cks::ops
