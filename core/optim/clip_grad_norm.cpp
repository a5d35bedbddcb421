#include "cks/core/optim/clip_grad_norm.h"

#include "cks/core/ops/output.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/kernels/optimizer_step/clip.h"

namespace cks {

ClippedNorm clip_grad_norm(const std::vector<Tensor>& parameters, double max_norm) {
  const char* operation = "clip_grad_norm";
  if (!(max_norm > 0.0)) {
    throw Error(formatted("{}: max_norm must be above 0, got {}", operation, max_norm));
  }
  std::vector<Tensor> gradients;  // those that are there
  for (const Tensor& parameter : parameters) {
    ops::require_defined(operation, {{"parameter", parameter}});
    const Tensor grad = parameter.grad();
    if (!grad.defined()) {
      continue;
    }
    ops::require_real(operation, {"gradient", grad});
    if (!gradients.empty() && !(grad.device() == gradients[0].device())) {
      throw DeviceError(formatted("{}: gradients are on {} and on {}", operation,
                                  gradients[0].device(), grad.device()));
    }
    gradients.push_back(grad);
  }
  const std::vector<Tensor>& placed = gradients.empty() ? parameters : gradients;
  const Device device = placed.empty() ? Device() : placed[0].device();
  const auto list = mapped(gradients, [](const Tensor& grad) {
    return kernels::NormTensor{grad.dtype(), grad.numel(), grad.data()};
  });
  const auto count = static_cast<std::int64_t>(list.size());
  const std::size_t bytes = CKS_KERNEL(device, gradient_norm_workspace_bytes(list.data(), count));
  const auto workspace = ops::make_workspace(operation, bytes, device);
  ClippedNorm result{ops::make_output(operation, {}, DType::float64, device),
                     ops::make_output(operation, {}, DType::float64, device)};
  CKS_KERNEL(device, gradient_norm(list.data(), count, max_norm, result.norm.data_as<double>(),
                                   result.factor.data_as<double>(), workspace->data()));
  return result;
}

}  // namespace cks
