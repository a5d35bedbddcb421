#include "cks/core/ops/output.h"
#include "cks/core/ops/shared_batch_norm_impl.h"
#include "cks/kernels/batch_norm/batch_norm.h"

namespace cks {
namespace {

using kernels::BatchNormProblem;

const char* const kName = "batch_norm2d";

std::shared_ptr<Storage> sums_workspace(const BatchNormProblem& problem, Device device) {
  return ops::make_workspace(kName, CKS_KERNEL(device, batch_norm_workspace_bytes(problem)),
                             device);
}

/// What a channel's two numbers and the rows take.
Tensor make_sums(const BatchNormProblem& problem, Device device) {
  return ops::make_output(kName, {2 * problem.C + 1}, DType::float64, device);
}

struct SharedBatchNormBackward : Node {
  BatchNormProblem problem{};
  Communicator* ranks = nullptr;  // outlives the step
  SavedTensor input{this};
  SavedTensor weight{this};
  SavedTensor mean{this};
  SavedTensor inv_std{this};
  const char* name() const override { return kName; }
  std::vector<Tensor> backward(const Tensor& grad_output,
                               const std::vector<bool>& needed) override {
    const Device device = grad_output.device();
    std::vector<Tensor> grads(3);
    for (std::size_t i = 0; i < 3; ++i) {
      if (needed[i]) {
        grads[i] = ops::make_output(name(), i == 0 ? grad_output.shape() : Shape{problem.C},
                                    problem.dtype, device);
      }
    }
    const auto pointer = [&](std::size_t i) {
      return grads[i].defined() ? grads[i].data() : nullptr;
    };
    Tensor sums = make_sums(problem, device);
    const auto workspace = sums_workspace(problem, device);
    CKS_KERNEL(device, batch_norm_gradient_sums(problem, input.get().data(), grad_output.data(),
                                                mean.get().data(), inv_std.get().data(),
                                                sums.data_as<double>(), pointer(1), pointer(2),
                                                workspace->data()));
    if (needed[0]) {  // of all ranks or none, as their graphs are alike
      ranks->all_reduce(sums);
      CKS_KERNEL(device, batch_norm_input_gradient(problem, input.get().data(), grad_output.data(),
                                                   mean.get().data(), inv_std.get().data(),
                                                   weight.defined() ? weight.get().data() : nullptr,
                                                   sums.data_as<double>(), grads[0].data()));
    }
    return grads;
  }
};

}  // namespace

Tensor ops::shared_batch_norm(const Tensor& input, const Tensor& weight, const Tensor& bias,
                              Tensor& running_mean, Tensor& running_var,
                              const BatchNorm2dOptions& options, Communicator& ranks) {
  const Device device = input.device();
  const Shape channels{input.size(-1)};
  const BatchNormProblem problem{input.numel() / channels[0], channels[0], input.dtype()};
  Tensor result = make_output(kName, input.shape(), input.dtype(), device);
  Tensor mean = make_output(kName, channels, input.dtype(), device);
  Tensor inv_std = make_output(kName, channels, input.dtype(), device);
  Tensor moments = make_sums(problem, device);
  const auto workspace = sums_workspace(problem, device);
  CKS_KERNEL(device, batch_norm_moments(problem, input.data(), moments.data_as<double>(),
                                        workspace->data()));
  const Tensor all = ranks.all_gather(moments);
  const bool tracked = running_mean.defined();
  CKS_KERNEL(device, batch_norm_merge(problem, ranks.size(), all.data_as<double>(), options.eps,
                                      options.momentum, mean.data(), inv_std.data(),
                                      tracked ? running_mean.data() : nullptr,
                                      tracked ? running_var.data() : nullptr));
  if (tracked) {
    running_mean.bump_version();
    running_var.bump_version();
  }
  CKS_KERNEL(device, batch_norm_forward(problem, input.data(), mean.data(), inv_std.data(),
                                        data_or_null(weight), data_or_null(bias), result.data()));
  return record<SharedBatchNormBackward>(std::move(result), {input, weight, bias},
                                         [&](SharedBatchNormBackward& node) {
                                           node.problem = problem;
                                           node.ranks = &ranks;
                                           node.input.save(input);
                                           if (weight.defined()) {
                                             node.weight.save(weight);
                                           }
                                           node.mean.save(mean);
                                           node.inv_std.save(inv_std);
                                         });
}

}  // namespace cks
