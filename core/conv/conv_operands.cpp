#include "cks/core/conv/conv_operands_impl.h"
#include "cks/core/ops/bfloat16_impl.h"
#include "cks/core/ops/output.h"
#include "cks/core/tensor/random.h"

namespace cks {
namespace {

using kernels::Conv2dPass;

Tensor random_tensor(const Shape& shape, double least, std::uint64_t stream, DType dtype,
                     Device device) {
  Tensor tensor = Tensor::empty(shape);
  fill_uniform(tensor, least, 1.0, make_random_key(1, RandomPurpose::data), stream);
  return tensor.to(dtype).to(device);
}

}  // namespace

kernels::Epilogue SumsEnd::epilogue() const {
  return {.bias = ops::data_or_null(bias),
          .residual = ops::data_or_null(added),
          .negative_slope = negative_slope,
          .mask = ops::data_or_null(mask),
          .mask_slope = mask_slope};
}

SumsEnd SumsEnd::widened() const {
  return {ops::widened(bias), negative_slope, ops::widened(mask), mask_slope, ops::widened(added)};
}

ConvOperands::ConvOperands(const kernels::Conv2dProblem& p, Device device, double least)
    : x(random_tensor({p.N, p.IH, p.IW, p.IC}, least, 0, p.x_type, device)),
      w(random_tensor({p.OC, p.FH, p.FW, p.IC / p.G}, least, 1, p.x_type, device)),
      dy(random_tensor({p.N, p.OH, p.OW, p.OC}, least, 2, p.y_type, device)) {}

Tensor ConvOperands::make_result(Conv2dPass pass, DType dtype) const {
  const Tensor& like = pass == Conv2dPass::forward ? dy : pass == Conv2dPass::backward_data ? x : w;
  return Tensor::empty(like.shape(), dtype, like.device());
}

std::int64_t ConvOperands::run(const kernels::PreparedConv2d& conv, Tensor& result,
                               Tensor& workspace) const {
  const Conv2dPass pass = conv.plan.pass;
  ops::select_cuda(result.device());
  return kernels::run_conv2d(conv, (pass == Conv2dPass::backward_data ? dy : x).data(),
                             (pass == Conv2dPass::backward_filter ? dy : w).data(), {},
                             result.data(), workspace.data());
}

Tensor make_workspace(const kernels::Conv2dPlan& plan, Device device) {
  return Tensor::empty({static_cast<std::int64_t>(plan.workspace_bytes)}, DType::uint8, device);
}

DType result_type(const kernels::Conv2dProblem& p, Conv2dPass pass) {
  return pass == Conv2dPass::forward         ? p.y_type
         : pass == Conv2dPass::backward_data ? p.x_type
                                             : p.w_type;
}

}  // namespace cks
