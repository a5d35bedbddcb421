#include "apps/bench/conv_timing.h"

#include "cks/core/conv/conv_plan.h"
#include "cks/core/conv/conv_report.h"
#include "cks/core/device/dispatch.h"
#include "cks/core/tensor/random.h"
#include "cks/kernels/conv2d/conv2d.h"

namespace cks::apps {
namespace {

using kernels::Conv2dPass;
using kernels::Conv2dPlan;
using kernels::Conv2dProblem;
using kernels::PreparedConv2d;

/// Random, never zeros, since zeros would flatter a processor's clock.
Tensor random_tensor(const Shape& shape, std::uint64_t stream, DType dtype, Device device) {
  Tensor tensor = Tensor::empty(shape);
  fill_uniform(tensor, -1.0, 1.0, make_random_key(1, RandomPurpose::data), stream);
  return tensor.to(dtype).to(device);
}

/// The problem of a pass in a mode. In bf16 all tensors are bfloat16 but the gradient of the
/// filter.
Conv2dProblem in_mode(Conv2dProblem p, Conv2dPass pass, Precision mode) {
  p.precision = mode;
  if (mode == Precision::bf16) {
    p.x_type = p.y_type = DType::bfloat16;
    p.w_type = pass == Conv2dPass::backward_filter ? DType::float32 : DType::bfloat16;
  }
  return p;
}

DType result_type(const Conv2dProblem& p, Conv2dPass pass) {
  return pass == Conv2dPass::backward_filter ? p.w_type : p.x_type;
}

std::vector<Conv2dPlan> plans_of(const ConvTimingOptions& options, Conv2dPass pass,
                                 const Conv2dProblem& problem) {
  const auto device = describe_for_plans(options.device);
  if (options.algorithm == "selected") {
    return {kernels::select(pass, problem, device)};
  }
  if (options.algorithm == "all") {
    return kernels::possible_plans(pass, problem, device);
  }
  return {kernels::force_plan(options.algorithm, pass, problem, device)};
}

}  // namespace

struct ConvTiming::Operands {
  Tensor x, w, dy;

  Operands(const Conv2dProblem& p, DType dtype, Device device)
      : x(random_tensor({p.N, p.IH, p.IW, p.IC}, 0, dtype, device)),
        w(random_tensor({p.OC, p.FH, p.FW, p.IC / p.G}, 1, dtype, device)),
        dy(random_tensor({p.N, p.OH, p.OW, p.OC}, 2, dtype, device)) {}

  /// Memory for the result of a pass.
  Tensor make_result(Conv2dPass pass, DType dtype) const {
    const Tensor& like = pass == Conv2dPass::forward         ? dy
                         : pass == Conv2dPass::backward_data ? x
                                                             : w;
    return Tensor::empty(like.shape(), dtype, like.device());
  }

  /// Runs one pass into `result`; returns the executed multiply-adds.
  std::int64_t run(const PreparedConv2d& conv, Tensor& result, Tensor& workspace) const {
    ops::select_cuda(result.device());
    void* scratch = workspace.data();
    switch (conv.plan.pass) {
      case Conv2dPass::forward:
        return kernels::conv2d_forward(conv, x.data(), w.data(), {}, result.data(), scratch);
      case Conv2dPass::backward_data:
        return kernels::conv2d_backward_data(conv, dy.data(), w.data(), {}, result.data(), scratch);
      case Conv2dPass::backward_filter:
        break;
    }
    return kernels::conv2d_backward_filter(conv, x.data(), dy.data(), result.data(), scratch);
  }
};

/// One plan, ready to be timed.
struct ConvTiming::PlanBench {
  PreparedConv2d conv;
  const Operands& operands;
  Tensor result;
  Tensor workspace;
  std::int64_t executed = 0;
  CallTimer timer;

  PlanBench(const Conv2dProblem& p, const Conv2dPlan& plan, const Operands& in, Device device)
      : conv(kernels::prepare_conv2d(p, plan, describe_for_plans(device))),
        operands(in),
        result(in.make_result(plan.pass, result_type(p, plan.pass))),
        workspace(make_workspace(plan, device)),
        timer(device, [this] { executed = operands.run(conv, result, workspace); }) {}

  static Tensor make_workspace(const Conv2dPlan& plan, Device device) {
    return Tensor::empty({static_cast<std::int64_t>(plan.workspace_bytes)}, DType::uint8, device);
  }
  double error_against_reference() {
    const Device device = result.device();
    const kernels::DeviceDescription description = describe_for_plans(device);
    const PreparedConv2d reference = kernels::prepare_conv2d(
        conv.problem, kernels::force_plan("reference", conv.plan.pass, conv.problem, description),
        description);
    Tensor expected = operands.make_result(conv.plan.pass, result.dtype());
    Tensor scratch = make_workspace(reference.plan, device);
    operands.run(reference, expected, scratch);
    return relative_error(result.to(DType::float32), expected.to(DType::float32));
  }
};

struct ConvTiming::PassBench {
  std::vector<std::unique_ptr<PlanBench>> plans;
#if defined(CKS_HAS_CUDNN)
  Tensor cudnn_result;
  std::unique_ptr<CudnnConv> cudnn;

  void add_cudnn(const Conv2dProblem& p, Conv2dPass pass, const Operands& in) {
    cudnn_result = in.make_result(pass, p.x_type);  // gradients of filters as well
    cudnn = std::make_unique<CudnnConv>(p, pass,
                                        pass == Conv2dPass::backward_data ? cudnn_result : in.x,
                                        pass == Conv2dPass::backward_filter ? cudnn_result : in.w,
                                        pass == Conv2dPass::forward ? cudnn_result : in.dy);
  }
#endif
};

ConvTiming::ConvTiming(const NamedShape& shape, const ConvTimingOptions& options)
    : shape_(shape), options_(options) {
  for (const Conv2dPass pass : kernels::kConv2dPasses) {
    if (options.pass == "all" || options.pass == name_of(pass)) {
      plans_.emplace_back(pass,
                          plans_of(options, pass, in_mode(shape.problem, pass, options.mode)));
    }
  }
}

ConvTiming::~ConvTiming() = default;

std::vector<ConvTimingRow> ConvTiming::run() {
  if (passes_.empty()) {
    operands_ = std::make_unique<Operands>(
        shape_.problem, options_.mode == Precision::bf16 ? DType::bfloat16 : DType::float32,
        options_.device);
    for (const auto& [pass, plans] : plans_) {
      const Conv2dProblem p = in_mode(shape_.problem, pass, options_.mode);
      auto bench = std::make_unique<PassBench>();
      for (const Conv2dPlan& plan : plans) {
        bench->plans.push_back(std::make_unique<PlanBench>(p, plan, *operands_, options_.device));
      }
#if defined(CKS_HAS_CUDNN)
      if (options_.cudnn) {
        bench->add_cudnn(p, pass, *operands_);
      }
#endif
      passes_.push_back(std::move(bench));
    }
  }
  std::vector<ConvTimingRow> rows;
  for (const auto& pass : passes_) {
    for (const auto& bench : pass->plans) {
      ConvTimingRow row{
          .name = shape_.name,
          .plan = bench->conv.plan,
          .times = bench->timer.time(options_.seconds),
          .plain = kernels::plain_multiply_adds(bench->conv.plan.pass, shape_.problem),
          .exact = kernels::exact_multiply_adds(shape_.problem),
          .executed = bench->executed};
      if (options_.check) {
        row.error = bench->error_against_reference();
      }
#if defined(CKS_HAS_CUDNN)
      if (pass->cudnn != nullptr && bench == pass->plans.front()) {
        const CudnnTimes cudnn = pass->cudnn->time(options_.seconds);
        row.cudnn_times = cudnn.times;
        row.cudnn_layout = cudnn.layout;
        row.cudnn_algorithm = cudnn.algorithm;
      }
#endif
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

}  // namespace cks::apps
