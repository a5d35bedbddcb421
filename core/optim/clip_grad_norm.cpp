#include "cks/core/optim/clip_grad_norm.h"

#include "cks/core/ops/output.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/kernels/optimizer_step/clip.h"
#include "cks/kernels/reduce/reduce.h"

namespace cks {
namespace {

/// The gradients that are there, checked, and their device.
struct Gradients {
  std::vector<Tensor> tensors;
  Device device;
};

Gradients gradients_of(const char* operation, const std::vector<Tensor>& parameters) {
  Gradients all;
  if (!parameters.empty() && parameters.front().defined()) {
    all.device = parameters.front().device();
  }
  for (const Tensor& parameter : parameters) {
    ops::require_defined(operation, {{"parameter", parameter}});
    const Tensor grad = parameter.grad();
    if (!grad.defined()) {
      continue;
    }
    ops::require_real(operation, {"gradient", grad});
    if (all.tensors.empty()) {
      all.device = grad.device();
    } else if (!(grad.device() == all.device)) {
      throw DeviceError(
          formatted("{}: gradients are on {} and on {}", operation, all.device, grad.device()));
    }
    all.tensors.push_back(grad);
  }
  return all;
}

}  // namespace

ClippedNorm clip_grad_norm(const std::vector<Tensor>& parameters, double max_norm) {
  const char* operation = "clip_grad_norm";
  if (!(max_norm > 0.0)) {
    throw Error(formatted("{}: max_norm must be above 0, got {}", operation, max_norm));
  }
  const Gradients gradients = gradients_of(operation, parameters);
  const auto list = mapped(gradients.tensors, [](const Tensor& grad) {
    return kernels::NormTensor{grad.dtype(), grad.numel(), grad.data()};
  });
  const auto count = static_cast<std::int64_t>(list.size());
  const std::size_t bytes =
      CKS_KERNEL(gradients.device, gradient_norm_workspace_bytes(list.data(), count));
  const auto workspace = ops::make_workspace(operation, bytes, gradients.device);
  ClippedNorm result{ops::make_output(operation, {}, DType::float64, gradients.device),
                     ops::make_output(operation, {}, DType::float64, gradients.device)};
  CKS_KERNEL(gradients.device,
             gradient_norm(list.data(), count, max_norm, result.norm.data_as<double>(),
                           result.factor.data_as<double>(), workspace->data()));
  return result;
}

}  // namespace cks
