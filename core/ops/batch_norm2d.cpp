#include "cks/core/ops/batch_norm2d.h"

#include "cks/core/autograd/trace_impl.h"
#include "cks/core/distributed/batch_part.h"
#include "cks/core/distributed/communicator.h"
#include "cks/core/ops/activation.h"
#include "cks/core/ops/bfloat16_impl.h"
#include "cks/core/ops/gradient_terms_impl.h"
#include "cks/core/ops/output.h"
#include "cks/core/ops/traced_options_impl.h"
#include "cks/core/tensor/tensor_impl.h"
#include "cks/kernels/batch_norm/batch_norm.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {
namespace {

using kernels::BatchNormMode;
using kernels::BatchNormProblem;

const char* const kName = "batch_norm2d";

/// Two tensors that come together or not at all.
void check_pair(const Tensor& input, const ops::Argument& a, const ops::Argument& b) {
  if (a.tensor.defined() != b.tensor.defined()) {
    throw Error(
        formatted("{}: {} and {} come together, but only one is defined", kName, a.name, b.name));
  }
  if (a.tensor.defined()) {
    for (const ops::Argument& argument : {a, b}) {
      if (ops::is_bfloat16(input)) {
        ops::require_dtype(kName, argument, DType::float32);
        ops::require_same_device(kName, argument, {"input", input});
      } else {
        ops::require_same(kName, {{"input", input}, argument});
      }
      ops::require_shape(kName, argument, {input.size(-1)});
    }
  }
}

void check(const Tensor& input, const Tensor& weight, const Tensor& bias,
           const Tensor& running_mean, const Tensor& running_var, bool training,
           const BatchNorm2dOptions& options, const Tensor& residual) {
  ops::require_floating(kName, {"input", input});
  const Shape& shape = input.shape();
  if (shape.rank() < 2 || shape[-1] < 1) {
    throw ShapeError(formatted(
        "{}: input has shape {}, expected [..,C] of rank >= 2 with a channel", kName, shape));
  }
  if (options.num_features != 0 && options.num_features != shape[-1]) {
    throw ShapeError(formatted("{}: input has {} channels, num_features is {} (input {})", kName,
                               shape[-1], options.num_features, shape));
  }
  check_pair(input, {"weight", weight}, {"bias", bias});
  if (!options.affine && weight.defined()) {
    throw ShapeError(formatted("{}: option affine is false, but a weight is given", kName));
  }
  check_pair(input, {"running_mean", running_mean}, {"running_var", running_var});
  if (training && running_mean.defined()) {
    ops::require_writable("batch_norm2d: running_mean", running_mean);
    ops::require_writable("batch_norm2d: running_var", running_var);
  }
  if (residual.defined()) {
    ops::require_same(kName, {{"input", input}, {"residual", residual}});
    ops::require_shape(kName, {"residual", residual}, shape);
  }
  ops::require_share(kName, "negative_slope", options.negative_slope);
  if (options.gelu && options.negative_slope != 1.0) {
    throw Error(formatted("{}: gelu and a negative_slope of {:g} exclude each other", kName,
                          options.negative_slope));
  }
  if (!(options.eps > 0.0)) {
    throw Error(formatted("{}: eps must be above 0, got {}", kName, options.eps));
  }
  ops::require_share(kName, "momentum", options.momentum);
  if (training && shape.numel() / shape[-1] < 2) {
    throw ShapeError(formatted("{}: training needs at least 2 values a channel, got {} (input {})",
                               kName, shape.numel() / shape[-1], shape));
  }
  if (!training && !running_mean.defined()) {
    throw Error(formatted("{}: evaluation needs running_mean and running_var", kName));
  }
}

std::shared_ptr<Storage> make_workspace(const BatchNormProblem& problem, Device device) {
  const std::size_t bytes = CKS_KERNEL(device, batch_norm_workspace_bytes(problem));
  return ops::make_workspace(kName, bytes, device);
}

/// Of each channel two numbers, then the rows: what ranks that share a batch exchange.
Tensor make_sums(const BatchNormProblem& problem, Device device) {
  return ops::make_output(kName, {2 * problem.C + 1}, DType::float64, device);
}

/// What the convolution that made the input has left of it, if nobody has written to it since.
Tensor channel_sums_of(const Tensor& input) {
  const TensorImpl& impl = *input.impl();
  return impl.version_of_sums == input.version() ? Tensor(impl.channel_sums) : Tensor();
}

/// Of the batch, from sums of it that may be undefined; of all ranks' batches, if they share theirs
/// (not null).
void take_statistics(const BatchNormProblem& problem, const BatchNorm2dOptions& options,
                     Communicator* ranks, const Tensor& input, const Tensor& sums, Tensor& mean,
                     Tensor& inv_std, Tensor& running_mean, Tensor& running_var) {
  const Device device = input.device();
  const auto workspace = sums.defined() ? nullptr : make_workspace(problem, device);
  const bool tracked = running_mean.defined();
  void* const running[] = {tracked ? running_mean.data() : nullptr,
                           tracked ? running_var.data() : nullptr};
  if (sums.defined()) {
    CKS_KERNEL(device,
               batch_norm_statistics_of_sums(problem, options.eps, options.momentum, sums.size(0),
                                             sums.data_as<float>(), mean.data(), inv_std.data(),
                                             running[0], running[1]));
  } else if (ranks == nullptr) {
    CKS_KERNEL(device, batch_norm_statistics(problem, options.eps, options.momentum, input.data(),
                                             mean.data(), inv_std.data(), running[0], running[1],
                                             workspace->data()));
  } else {
    Tensor moments = make_sums(problem, device);
    CKS_KERNEL(device, batch_norm_moments(problem, input.data(), moments.data_as<double>(),
                                          workspace->data()));
    const Tensor all = ranks->all_gather(moments);
    CKS_KERNEL(device, batch_norm_merge(problem, ranks->size(), all.data_as<double>(), options.eps,
                                        options.momentum, mean.data(), inv_std.data(), running[0],
                                        running[1]));
  }
  if (tracked) {
    running_mean.bump_version();
    running_var.bump_version();
  }
}

/// What follows the normalisation.
struct End {
  double negative_slope;
  bool gelu;

  bool has_activation() const { return negative_slope != 1.0 || gelu; }
};

/// Of input, weight, bias and residual; `saved` holds input, weight, mean, inv_std, bias and, if
/// there was an activation at the end, the result. ranks: those that share the batch, or null.
std::vector<Tensor> gradients(const BatchNormProblem& problem, BatchNormMode mode,
                              Communicator* ranks, const End& end, bool has_residual,
                              const Tensor& grad_output, const GradientWork& work,
                              const std::vector<bool>& needed, const SavedTensors& saved) {
  const bool is_masked = saved[5].defined();
  const bool adds = !work.terms.empty();  // in the pass that masks
  const Device device = grad_output.device();
  std::vector<Tensor> grads(4);
  for (std::size_t i = 0; i < 3; ++i) {
    if (needed[i]) {
      grads[i] = i == 0 ? ops::make_output(kName, grad_output)
                        : ops::make_output(kName, {problem.C}, saved[2].dtype(), device);
    }
  }
  Tensor masked;  // from which the input's gradient follows as well
  if (is_masked && (has_residual || adds) && (needed[0] || needed[3])) {
    masked = ops::make_output(kName, grad_output);
  }
  if (needed[3]) {
    grads[3] = is_masked ? masked : grad_output;
  }
  const auto pointer = [&](std::size_t i) {
    return grads[i].defined() ? grads[i].data() : nullptr;
  };
  const auto workspace = make_workspace(problem, device);
  const void* const x = saved[0].data();
  const void* const dy = grad_output.data();
  const void* const weight = ops::data_or_null(saved[1]);
  const void* const mean = saved[2].data();
  const void* const inv_std = saved[3].data();
  const kernels::BatchNormMask mask{.y = ops::data_or_null(saved[5]),
                                    .slope = end.negative_slope,
                                    .dresidual = masked.defined() ? masked.data() : nullptr,
                                    .dy_term = adds ? work.terms[0].data() : nullptr,
                                    .input_slope = work.input_slope(0),
                                    .by_input = !has_residual,
                                    .weight = weight,
                                    .bias = ops::data_or_null(saved[4]),
                                    .gelu = end.gelu};
  if (ranks == nullptr) {
    CKS_KERNEL(device, batch_norm_backward(problem, mode, x, dy, mean, inv_std, weight, mask,
                                           pointer(0), pointer(1), pointer(2), workspace->data()));
    return grads;
  }
  Tensor sums = make_sums(problem, device);
  CKS_KERNEL(device,
             batch_norm_gradient_sums(problem, x, dy, mean, inv_std, mask, sums.data_as<double>(),
                                      pointer(1), pointer(2), workspace->data()));
  if (needed[0] || mask.dresidual != nullptr) {  // of all ranks or none, as their graphs are alike
    ranks->all_reduce(sums);
    CKS_KERNEL(device, batch_norm_input_gradient(problem, x, dy, mean, inv_std, weight, mask,
                                                 sums.data_as<double>(), pointer(0)));
  }
  return grads;
}

}  // namespace

Tensor batch_norm2d(const Tensor& input, const Tensor& weight, const Tensor& bias,
                    Tensor& running_mean, Tensor& running_var, bool training,
                    const BatchNorm2dOptions& options, const Tensor& residual) {
  if (ops::is_bfloat16(weight) || ops::is_bfloat16(bias) || ops::is_bfloat16_on_cpu(input)) {
    const auto image = [](const Tensor& tensor) {
      return ops::is_bfloat16_on_cpu(tensor) ? ops::as_real(tensor) : tensor;
    };
    return batch_norm2d(image(input), ops::as_real(weight), ops::as_real(bias), running_mean,
                        running_var, training, options, image(residual))
        .to(input.dtype());
  }
  check(input, weight, bias, running_mean, running_var, training, options, residual);
  if (options.gelu &&
      (input.device().is_cpu() || residual.defined() || Trace::current() != nullptr)) {
    BatchNorm2dOptions plain = options;
    plain.gelu = false;
    return gelu(
        batch_norm2d(input, weight, bias, running_mean, running_var, training, plain, residual));
  }
  // Outlives the step.
  Communicator* const ranks = training ? current_batch_part().statistics : nullptr;
  const Device device = input.device();
  const Shape channels{input.size(-1)};
  const BatchNormProblem problem{input.numel() / channels[0], channels[0], input.dtype()};
  // Everything that can fail comes before the running statistics change.
  Tensor result = ops::make_output(kName, input);
  const DType of_channels = ops::is_bfloat16(input) ? DType::float32 : input.dtype();
  Tensor mean = ops::make_output(kName, channels, of_channels, device);
  Tensor inv_std = ops::make_output(kName, mean);
  const Tensor sums = training && ranks == nullptr ? channel_sums_of(input) : Tensor();
  if (training) {
    take_statistics(problem, options, ranks, input, sums, mean, inv_std, running_mean, running_var);
  } else {
    mean.copy_(running_mean.detach());
    CKS_KERNEL(device,
               batch_norm_inv_std(problem, options.eps, running_var.data(), inv_std.data()));
  }
  const End end{options.negative_slope, options.gelu};
  CKS_KERNEL(device, batch_norm_forward(problem, input.data(), mean.data(), inv_std.data(),
                                        ops::data_or_null(weight), ops::data_or_null(bias),
                                        {.residual = ops::data_or_null(residual),
                                         .slope = end.negative_slope,
                                         .gelu = end.gelu},
                                        result.data()));
  const auto mode = training ? BatchNormMode::batch_statistics : BatchNormMode::given_statistics;
  note_options(ops::NormCall{training, options.eps, end.negative_slope, running_mean, running_var});
  const Tensor recorded =
      record(kName, result, {input, weight, bias, residual},
             {input, weight, mean, inv_std, bias, end.has_activation() ? result : Tensor()},
             [problem, mode, ranks, end, has_residual = residual.defined()](
                 const Tensor& grad, const GradientWork& work, const std::vector<bool>& needed,
                 const SavedTensors& saved) {
               return gradients(problem, mode, ranks, end, has_residual, grad, work, needed, saved);
             });
  return ops::declared(recorded, {.added_terms = end.has_activation() ? 2 : 1, .masked_inputs = 1});
}

}  // namespace cks
