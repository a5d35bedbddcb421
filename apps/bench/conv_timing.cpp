#include "apps/bench/conv_timing.h"

#include <cmath>

#include "cks/core/conv/conv_plan.h"
#include "cks/core/conv/conv_report.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/reduce.h"
#include "cks/kernels/conv2d/conv2d.h"

namespace cks::apps {
namespace {

using kernels::Conv2dPass;
using kernels::Conv2dPlan;
using kernels::Conv2dProblem;
using kernels::PreparedConv2d;

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

/// One plan, ready to be timed.
struct ConvTiming::PlanBench {
  PreparedConv2d conv;
  const ConvOperands& operands;
  Tensor result;
  Tensor workspace;
  std::int64_t executed = 0;
  CallTimer timer;

  PlanBench(const Conv2dProblem& p, const Conv2dPlan& plan, const ConvOperands& in, Device device)
      : conv(kernels::prepare_conv2d(p, plan, describe_for_plans(device))),
        operands(in),
        result(in.make_result(plan.pass, result_type(p, plan.pass))),
        workspace(make_workspace(plan, device)),
        timer(device, [this] { executed = operands.run(conv, result, workspace); }) {}

  void compare_with_reference(ConvTimingRow& row) {
    const Device device = result.device();
    const kernels::DeviceDescription description = describe_for_plans(device);
    const PreparedConv2d reference = kernels::prepare_conv2d(
        conv.problem, kernels::force_plan("reference", conv.plan.pass, conv.problem, description),
        description);
    Tensor expected = operands.make_result(conv.plan.pass, result.dtype());
    Tensor scratch = make_workspace(reference.plan, device);
    operands.run(reference, expected, scratch);
    row.error = relative_error(result.to(DType::float32), expected.to(DType::float32));
    const Tensor exact = expected.to(DType::float64);
    const auto norm = [](const Tensor& of) { return std::sqrt(sum(square(of)).item()); };
    row.l2_error = norm(result.to(DType::float64) - exact) / norm(exact);
  }

#if defined(CKS_HAS_CUDNN)
  Tensor cudnn_result;
  std::unique_ptr<CudnnConv> cudnn;  // of the first plan of a pass, where cuDNN was asked

  void add_cudnn() {
    const Conv2dPass pass = conv.plan.pass;
    cudnn_result = operands.make_result(pass, conv.problem.x_type);  // gradients of filters as well
    cudnn = std::make_unique<CudnnConv>(
        conv.problem, pass, pass == Conv2dPass::backward_data ? cudnn_result : operands.x,
        pass == Conv2dPass::backward_filter ? cudnn_result : operands.w,
        pass == Conv2dPass::forward ? cudnn_result : operands.dy);
  }
#endif
};

ConvTiming::ConvTiming(const NamedShape& shape, const ConvTimingOptions& options)
    : shape_(shape), options_(options) {
  for (const Conv2dPass pass : kernels::kConv2dPasses) {
    if (options.pass == "all" || options.pass == name_of(pass)) {
      const std::vector<Conv2dPlan> plans =
          plans_of(options, pass, in_mode(shape.problem, pass, options.mode));
      plans_.insert(plans_.end(), plans.begin(), plans.end());
    }
  }
}

ConvTiming::~ConvTiming() = default;

std::vector<ConvTimingRow> ConvTiming::run() {
  if (benches_.empty()) {
    operands_ =
        std::make_unique<ConvOperands>(in_mode(shape_.problem, Conv2dPass::forward, options_.mode),
                                       options_.device, options_.values == "positive" ? 0.0 : -1.0);
    for (const Conv2dPlan& plan : plans_) {
      benches_.push_back(std::make_unique<PlanBench>(
          in_mode(shape_.problem, plan.pass, options_.mode), plan, *operands_, options_.device));
    }
#if defined(CKS_HAS_CUDNN)
    for (std::size_t i = 0; i < benches_.size() && options_.cudnn; ++i) {
      if (i == 0 || plans_[i].pass != plans_[i - 1].pass) {
        benches_[i]->add_cudnn();
      }
    }
#endif
  }
  std::vector<ConvTimingRow> rows;
  for (const auto& bench : benches_) {
    ConvTimingRow row{.name = shape_.name,
                      .plan = bench->conv.plan,
                      .times = bench->timer.time(options_.seconds),
                      .plain = kernels::plain_multiply_adds(bench->conv.plan.pass, shape_.problem),
                      .exact = kernels::exact_multiply_adds(shape_.problem),
                      .executed = bench->executed};
    if (options_.check) {
      bench->compare_with_reference(row);
    }
#if defined(CKS_HAS_CUDNN)
    if (bench->cudnn != nullptr) {
      row.cudnn = bench->cudnn->time(options_.seconds);
    }
#endif
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace cks::apps
