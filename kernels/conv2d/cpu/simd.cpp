#include "cks/kernels/common/simd.h"

#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/conv2d/cpu/kernels.h"
#include "cks/kernels/conv2d/cpu/layout.h"
#include "cks/kernels/conv2d/cpu/methods.h"

// The kernel of the CPU: register tiles of SIMD vectors, one method for each pass. It takes every
// problem of float32 or float64 and has one plan for it, made for this instruction set.
//
//   plan.tile  positions (or filter rows) x channels of a register tile
namespace cks::kernels::CKS_CPU {
namespace {

std::string skipped_share(Conv2dPass pass, const Conv2dProblem& p) {
  const auto plain = static_cast<double>(plain_multiply_adds(pass, p));
  const auto exact = static_cast<double>(exact_multiply_adds(p));
  const auto permille = static_cast<std::int64_t>(plain > 0 ? 1000 * (1 - exact / plain) + 0.5 : 0);
  return formatted("{}.{} % of the plain multiply-adds are with zeros and skipped", permille / 10,
                   permille % 10);
}

Conv2dPlan plan_of(Conv2dPass pass, const Conv2dProblem& p, int simd_bytes) {
  Conv2dPlan plan{.pass = pass,
                  .kernel = simd().name,
                  .arithmetic = p.x_type == DType::float64 ? Arithmetic::fp64 : Arithmetic::fp32};
  std::int64_t channels = 0;
  if (pass == Conv2dPass::backward_filter) {
    const FilterGradientLayout layout = filter_gradient_layout(p, simd_bytes);
    channels = layout.vector_channels;
    plan.split_k = layout.slices;
    plan.workspace_bytes = layout.bytes();
  } else {
    const CorrelationLayout layout(pass, p, simd_bytes);
    channels = layout.vector_channels;
    plan.workspace_bytes = layout.bytes();
  }
  const ChannelBlocks blocks(channels, simd_bytes, p.x_type);
  plan.tile.columns = blocks.width(0);
  plan.tile.rows = tile_rows(pass, simd_bytes, plan.tile.columns, blocks.full);
  return plan;
}

std::vector<Conv2dCandidate> candidates(const Conv2dRequest& request) {
  const Conv2dProblem& p = request.problem;
  if (!has_real_type(p)) {
    return {};
  }
  Conv2dPlan plan = plan_of(request.pass, p, request.device.simd_bytes);
  plan.reason = skipped_share(request.pass, p);
  if (request.pass == Conv2dPass::backward_filter) {
    using VectorsOver = FilterGradientLayout::VectorsOver;
    const VectorsOver over = filter_gradient_layout(p, request.device.simd_bytes).vectors_over;
    plan.reason += over == VectorsOver::inputs    ? "; vectors over input channels"
                   : over == VectorsOver::outputs ? "; vectors over output channels"
                                                  : "; vectors over groups";
  }
  return {{std::move(plan), 1.0}};
}

bool accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return has_real_type(p) && same_plan(plan, plan_of(plan.pass, p, kSimdBytes));
}

template <class T>
std::int64_t run_typed(const PreparedConv2d& conv, const Conv2dOperands& o) {
  const Conv2dProblem& p = conv.problem;
  const auto* x = static_cast<const T*>(o.x);
  const auto* w = static_cast<const T*>(o.w);
  const auto* y = static_cast<const T*>(o.y);
  auto* result = static_cast<T*>(o.result);
  const TypedEpilogue<T> epilogue(o.epilogue);
  switch (conv.plan.pass) {
    case Conv2dPass::forward:
      return convv2(p, x, w, epilogue, result, o.workspace);
    case Conv2dPass::backward_data:
      return ks_deconv(p, y, w, epilogue, result, o.workspace);
    case Conv2dPass::backward_filter:
      break;
  }
  return sk_dilated(p, x, y, result, o.workspace);
}

std::int64_t run(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  return conv.plan.arithmetic == Arithmetic::fp64 ? run_typed<double>(conv, operands)
                                                  : run_typed<float>(conv, operands);
}

constexpr Conv2dKernel kKernel = {
    .name = "simd",
    .passes = {Conv2dPass::forward, Conv2dPass::backward_data, Conv2dPass::backward_filter},
    .arithmetic = {Arithmetic::fp32, Arithmetic::fp64},
    .compute_capability = 0,
    .candidates = candidates,
    .accepts = accepts,
    .run = run};

}  // namespace

const Conv2dKernel& simd() { return kKernel; }

DeviceDescription describe() { return {.simd_bytes = kSimdBytes}; }

}  // namespace cks::kernels::CKS_CPU
