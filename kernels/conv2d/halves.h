#pragma once
#include <cstddef>

#include "cks/kernels/common/math.h"
#include "cks/kernels/conv2d/cuda/cost.h"
#include "cks/kernels/halves/halves.h"

/// What plans in fp16 have in common: both operands of a pass are made halves of (halves/halves.h),
/// unless the caller has them.
namespace cks::kernels {

inline std::int64_t x_elements(const Conv2dProblem& p) { return p.N * p.IH * p.IW * p.IC; }
inline std::int64_t w_elements(const Conv2dProblem& p) { return cuda::filter_size(p); }
inline std::int64_t y_elements(const Conv2dProblem& p) { return p.N * p.OH * p.OW * p.OC; }

/// How to make them.
inline HalvesJob x_halves_job(const Conv2dProblem& p, const void* x, void* halves) {
  return {static_cast<const float*>(x), p.N * p.IH * p.IW, p.IC, p.x_pitch, halves};
}
inline HalvesJob w_halves_job(const Conv2dProblem& p, const void* w, void* halves) {
  return {static_cast<const float*>(w), p.OC * p.FH * p.FW, p.IC / p.G, p.IC / p.G, halves};
}
inline HalvesJob y_halves_job(const Conv2dProblem& p, const void* y, void* halves) {
  return {static_cast<const float*>(y), p.N * p.OH * p.OW, p.OC, p.y_pitch, halves};
}

/// Whether they can be made: 16 bytes are 8 channels.
inline bool takes_halves(const Conv2dProblem& p) {
  return has_type(p, DType::float32) && p.is_aligned && p.IC / p.G % 8 == 0 && p.OC % 8 == 0 &&
         p.x_pitch % 8 == 0 && p.y_pitch % 8 == 0;
}

/// Bytes of both operands' halves.
inline std::size_t halves_of_pass(Conv2dPass pass, const Conv2dProblem& p) {
  return (pass != Conv2dPass::backward_data ? halves_bytes(x_elements(p)) : 0) +
         (pass != Conv2dPass::backward_filter ? halves_bytes(w_elements(p)) : 0) +
         (pass != Conv2dPass::forward ? halves_bytes(y_elements(p)) : 0);
}

/// Bytes of a filter gradient's slices of sums, behind which its halves lie.
inline std::size_t bytes_of_slices(const Conv2dPlan& plan, const Conv2dProblem& p) {
  const std::int64_t bytes = w_elements(p) * plan.split_k * std::int64_t{sizeof(float)};
  return plan.split_k > 1 ? static_cast<std::size_t>(round_up(bytes, 256)) : 0;
}

/// Time to make them. In a training step two passes share those of X, and two those of dY, so
/// that it counts by half; but of filters of one pixel, whose other passes do without.
inline double cost_of_halves(Conv2dPass pass, const Conv2dProblem& p) {
  constexpr double kBytes = 4 * 17.0 / 16 + 2;  // of an element, with the sample
  const auto elements =
      static_cast<double>((pass != Conv2dPass::backward_data ? x_elements(p) : 0) +
                          (pass != Conv2dPass::forward ? y_elements(p) : 0));
  const double share = p.FH * p.FW == 1 ? 1.0 : 0.5;
  return cuda::kLaunch + elements * kBytes * share * cuda::kMemoryByte;
}

}  // namespace cks::kernels
