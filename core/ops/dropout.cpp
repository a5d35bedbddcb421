#include "cks/core/ops/dropout.h"

#include "cks/core/distributed/batch_part.h"
#include "cks/core/ops/bfloat16_impl.h"
#include "cks/core/ops/gradient_terms_impl.h"
#include "cks/core/ops/output.h"
#include "cks/kernels/dropout/dropout.h"

namespace cks {
namespace {

using kernels::DropoutProblem;

/// Where `drawn` is not null it gets the step.
Tensor run(const DropoutProblem& problem, const Tensor& input, const Tensor& step, Tensor* drawn) {
  Tensor result = ops::make_output("dropout", input);
  CKS_KERNEL(input.device(), dropout(problem, step.data_as<std::int64_t>(),
                                     drawn == nullptr ? nullptr : drawn->data_as<std::int64_t>(),
                                     input.data(), result.data()));
  return result;
}

}  // namespace

Tensor dropout(const Tensor& input, double p, RandomKey key, const Tensor& step) {
  if (ops::is_bfloat16_on_cpu(input)) {
    return ops::in_float32([&](const Tensor& x) { return dropout(x, p, key, step); }, input);
  }
  ops::require_floating("dropout", {"input", input});
  ops::require_dtype("dropout", {"step", step}, DType::int64);
  ops::require_one_element("dropout", {"step", step});
  ops::require_same_device("dropout", {"step", step}, {"input", input});
  ops::require_share("dropout", "p", p);
  const std::int64_t rows = input.rank() == 0 ? 0 : input.size(0);
  const std::int64_t before = rows == 0 ? 0 : current_batch_part().first * (input.numel() / rows);
  const DropoutProblem problem{input.dtype(), input.numel(), p, key.value, before};
  Tensor drawn = ops::make_output("dropout", step);
  const Tensor result = run(problem, input, step, &drawn);
  const bool may_mask = ops::may_mask_by(input);
  const Tensor recorded =
      record("dropout", result, {input, step}, {drawn, may_mask ? input : Tensor()},
             [problem](const Tensor& grad, const GradientWork& work, const std::vector<bool>&,
                       const SavedTensors& saved) {
               DropoutProblem masked = problem;
               if (work.input_slope(0) != 1.0) {
                 masked.mask = saved[1].data();
                 masked.mask_slope = work.input_slope(0);
               }
               return std::vector<Tensor>{run(masked, grad, saved[0], nullptr), {}};
             });
  return ops::declared(recorded, {.masked_inputs = may_mask ? 1 : 0});
}

}  // namespace cks
