#include "apps/bench/conv_bench.h"

#include <utility>

#include "cks/core/conv/conv_plan.h"
#include "cks/core/conv/conv_report.h"
#include "cks/core/error.h"
#include "cks/core/ops/common.h"
#include "cks/core/tensor/random.h"
#include "cks/kernels/conv2d/conv2d.h"

namespace cks::apps {
namespace {

using kernels::Conv2dPass;
using kernels::Conv2dPlan;
using kernels::Conv2dProblem;

/// Random, never zeros, since zeros would flatter a processor's clock.
Tensor random_tensor(const Shape& shape, std::uint64_t stream, Device device) {
  Tensor tensor = Tensor::empty(shape);
  fill_uniform(tensor, -1.0, 1.0, make_random_key(1, RandomPurpose::data), stream);
  return tensor.to(device);
}

std::vector<Conv2dPlan> plans_of(const ConvBenchOptions& options, Conv2dPass pass,
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

struct ConvBench::Operands {
  Tensor x, w, dy;

  Operands(const Conv2dProblem& p, Device device)
      : x(random_tensor({p.N, p.IH, p.IW, p.IC}, 0, device)),
        w(random_tensor({p.OC, p.FH, p.FW, p.IC / p.G}, 1, device)),
        dy(random_tensor({p.N, p.OH, p.OW, p.OC}, 2, device)) {}

  /// Memory for the result of a pass.
  Tensor make_result(Conv2dPass pass) const {
    const Tensor& like = pass == Conv2dPass::forward         ? dy
                         : pass == Conv2dPass::backward_data ? x
                                                             : w;
    return Tensor::empty(like.shape(), like.dtype(), like.device());
  }

  /// Runs one pass into `result`; returns the executed multiply-adds.
  std::int64_t run(const Conv2dProblem& p, const Conv2dPlan& plan, Tensor& result,
                   Tensor& workspace) const {
    const Device device = result.device();
    void* scratch = workspace.data();
    switch (plan.pass) {
      case Conv2dPass::forward:
        return CKS_KERNEL(
            device, conv2d_forward(p, plan, x.data(), w.data(), nullptr, result.data(), scratch));
      case Conv2dPass::backward_data:
        return CKS_KERNEL(device, conv2d_backward_data(p, plan, dy.data(), w.data(), nullptr,
                                                       result.data(), scratch));
      case Conv2dPass::backward_filter:
        break;
    }
    return CKS_KERNEL(device,
                      conv2d_backward_filter(p, plan, x.data(), dy.data(), result.data(), scratch));
  }
};

/// One plan, ready to be timed.
struct ConvBench::PlanBench {
  Conv2dProblem problem;
  Conv2dPlan plan;
  const Operands& operands;
  Tensor result;
  Tensor workspace;
  std::int64_t executed = 0;
  CallTimer timer;

  PlanBench(const Conv2dProblem& p, const Conv2dPlan& its_plan, const Operands& in, Device device)
      : problem(p),
        plan(its_plan),
        operands(in),
        result(in.make_result(its_plan.pass)),
        workspace(Tensor::empty({static_cast<std::int64_t>(its_plan.workspace_bytes)}, DType::uint8,
                                device)),
        timer(device, [this] { executed = operands.run(problem, plan, result, workspace); }) {}

  double error_against_reference() {
    Tensor expected = operands.make_result(plan.pass);
    const Conv2dPlan reference =
        kernels::force_plan("reference", plan.pass, problem, describe_for_plans(result.device()));
    Tensor scratch = Tensor::empty({static_cast<std::int64_t>(reference.workspace_bytes)},
                                   DType::uint8, result.device());
    operands.run(problem, reference, expected, scratch);
    return relative_error(result, expected);
  }
};

struct ConvBench::PassBench {
  std::vector<std::unique_ptr<PlanBench>> plans;
#if defined(CKS_HAS_CUDNN)
  Tensor cudnn_result;
  std::unique_ptr<CudnnConv> cudnn;

  void add_cudnn(const Conv2dProblem& p, Conv2dPass pass, const Operands& in) {
    cudnn_result = in.make_result(pass);
    cudnn = std::make_unique<CudnnConv>(p, pass,
                                        pass == Conv2dPass::backward_data ? cudnn_result : in.x,
                                        pass == Conv2dPass::backward_filter ? cudnn_result : in.w,
                                        pass == Conv2dPass::forward ? cudnn_result : in.dy);
  }
#endif
};

ConvBench::ConvBench(const NamedShape& shape, const ConvBenchOptions& options)
    : shape_(shape), options_(options) {
  for (const Conv2dPass pass :
       {Conv2dPass::forward, Conv2dPass::backward_data, Conv2dPass::backward_filter}) {
    if (options.pass == "all" || options.pass == name_of(pass)) {
      plans_.emplace_back(pass, plans_of(options, pass, shape.problem));
    }
  }
}

ConvBench::~ConvBench() = default;

std::vector<ConvBenchRow> ConvBench::run() {
  const Conv2dProblem& p = shape_.problem;
  if (passes_.empty()) {
    operands_ = std::make_unique<Operands>(p, options_.device);
    for (const auto& [pass, plans] : plans_) {
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
  std::vector<ConvBenchRow> rows;
  for (const auto& pass : passes_) {
    for (const auto& bench : pass->plans) {
      ConvBenchRow row{.name = shape_.name,
                       .plan = bench->plan,
                       .times = bench->timer.time(options_.seconds),
                       .plain = kernels::plain_multiply_adds(bench->plan.pass, p),
                       .exact = kernels::exact_multiply_adds(p),
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
