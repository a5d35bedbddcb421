#include "cks/kernels/conv2d/hopper/halo.h"

#include <algorithm>

#include "cks/kernels/common/math.h"
#include "cks/kernels/conv2d/cuda/cost.h"
#include "cks/kernels/conv2d/halves.h"
#include "cks/kernels/conv2d/hopper/kernels.h"
#include "cks/kernels/hopper/window.h"

namespace cks::kernels::hopper {
namespace {

constexpr Conv2dTile kTile = {kHaloChannels, kHaloPositions};
constexpr double kRate = 9.5;  // of a multiprocessor's float32 multiply-adds

std::size_t workspace_of(const Conv2dProblem& p, Conv2dPass pass, Arithmetic arithmetic) {
  return arithmetic == Arithmetic::fp16 ? halves_of_pass(pass, p) : 0;
}

std::vector<Conv2dCandidate> candidates(const Conv2dRequest& request) {
  const Conv2dProblem& p = request.problem;
  if (!takes_halo(p, request.pass, request.arithmetic)) {
    return {};
  }
  const HaloPlan h = plan_halo(p, request.pass);
  const int workers = std::min(cuda::multiprocessors_of(request), h.patches);
  const double patch = static_cast<double>(executed_of(h)) / h.patches;
  Conv2dCandidate candidate;
  candidate.plan.workspace_bytes = workspace_of(p, request.pass, request.arithmetic);
  candidate.plan.tile = kTile;
  candidate.plan.granule = kHaloPositions;
  candidate.cost = cuda::kLaunch + ceil_div(h.patches, workers) * patch / kRate +
                   (request.arithmetic == Arithmetic::fp16 ? cost_of_halves(request.pass, p) : 0.0);
  candidate.plan.reason = cuda::describe_use("patches with their halo, the filter in shared memory",
                                             p, static_cast<double>(executed_of(h)));
  return {candidate};
}

bool accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return plan.tile == kTile && takes_halo(p, plan.pass, plan.arithmetic) &&
         plan.workspace_bytes >= workspace_of(p, plan.pass, plan.arithmetic);
}

std::shared_ptr<const void> prepare(const Conv2dPlan& plan, const Conv2dProblem& problem) {
  return std::make_shared<HaloPlan>(plan_halo(problem, plan.pass));
}

}  // namespace

bool takes_halo(const Conv2dProblem& p, Conv2dPass pass, Arithmetic arithmetic) {
  constexpr std::int64_t kMostPositions = std::int64_t{1} << 30;
  const bool is_wide = arithmetic == Arithmetic::fp16;    // the result
  const int shared_bytes = (is_wide ? 191 : 207) * 1024;  // what the parts to be stored leave
  if (pass == Conv2dPass::backward_filter ||
      !(is_wide ? takes_halves(p) : has_type(p, DType::bfloat16)) || !p.is_aligned || p.N == 0 ||
      p.G != 1 || p.sh != 1 || p.sw != 1 || !cuda::has_narrow_extents(p) || p.IC > kHaloChannels ||
      p.OC > kHaloChannels || p.IC % 8 != 0 || p.x_pitch % 8 != 0 || p.y_pitch % 8 != 0 ||
      p.FH * p.FW > kMostHaloTaps || kHaloHeight + (p.FH - 1) * p.dh > 256 ||
      kHaloWidth + (p.FW - 1) * p.dw > 255 || p.N * p.IH * p.IW > kMostPositions ||
      p.N * p.OH * p.OW > kMostPositions) {
    return false;
  }
  const HaloPlan h = plan_halo(p, pass);
  return h.filter_bytes + kHaloStages * h.window_bytes <= shared_bytes;
}

HaloPlan plan_halo(const Conv2dProblem& p, Conv2dPass pass) {
  const bool forward = pass == Conv2dPass::forward;
  HaloPlan h{};
  h.images = narrow(p.N);
  h.width = narrow(forward ? p.OW : p.IW);
  h.height = narrow(forward ? p.OH : p.IH);
  h.source_width = narrow(forward ? p.IW : p.OW);
  h.source_height = narrow(forward ? p.IH : p.OH);
  h.source_channels = narrow(forward ? p.IC : p.OC);
  h.target_channels = narrow(forward ? p.OC : p.IC);
  h.source_pitch = forward ? p.x_pitch : p.y_pitch;
  h.target_pitch = forward ? p.y_pitch : p.x_pitch;
  // Output o meets input o - pad + tap * dilation, so input i output i + pad - tap * dilation.
  h.first_row = narrow(forward ? -p.pt : p.pt - (p.FH - 1) * p.dh);
  h.first_column = narrow(forward ? -p.pl : p.pl - (p.FW - 1) * p.dw);
  h.window_rows = narrow(kHaloHeight + (p.FH - 1) * p.dh);
  h.window_columns = narrow(kHaloWidth + (p.FW - 1) * p.dw);
  h.patches_across = ceil_div(h.width, kHaloWidth);
  h.patches_down = ceil_div(h.height, kHaloHeight);
  h.patches = h.images * h.patches_across * h.patches_down;
  h.taps = narrow(p.FH * p.FW);
  h.products = h.source_channels <= 32 ? 2 : 4;
  for (int tap = 0; tap < h.taps; ++tap) {
    const std::int64_t fh = tap / p.FW, fw = tap % p.FW;
    const std::int64_t row = (forward ? fh : p.FH - 1 - fh) * p.dh;
    const std::int64_t column = (forward ? fw : p.FW - 1 - fw) * p.dw;
    h.tap[tap] = {static_cast<std::int16_t>(tap),
                  narrow((row * h.window_columns + column) * kRowBytes)};
  }
  h.filter_bytes = h.taps * kHaloChannels * kRowBytes;
  h.window_bytes = round_up(h.window_rows * h.window_columns * kRowBytes, 1024);
  return h;
}

std::int64_t executed_of(const HaloPlan& h) {
  return std::int64_t{h.patches} * h.taps * kHaloPositions * kHaloChannels * h.products * 16;
}

const Conv2dKernel halo = {.name = "halo",
                           .passes = {Conv2dPass::forward, Conv2dPass::backward_data},
                           .arithmetic = {Arithmetic::bf16, Arithmetic::fp16},
                           .compute_capability = 90,
                           .only_there = true,
                           .masks = {Arithmetic::bf16, Arithmetic::fp16},
                           .candidates = candidates,
                           .accepts = accepts,
                           .prepare = prepare,
                           .run = CKS_CUDA_CODE(run_halo),
                           .sum_rows = CKS_CUDA_CODE(halo_sum_rows)};

}  // namespace cks::kernels::hopper
