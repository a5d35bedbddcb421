#include <algorithm>
#include <limits>

#include "cks/kernels/conv2d/cuda/cost.h"
#include "cks/kernels/conv2d/cuda/kernels.h"
#include "cks/kernels/conv2d/taps.h"

// What the kernels of direct.cu plan: one thread for an element of the result, any problem.
// `direct` adds in the problem's type, `reference` in float64.
namespace cks::kernels::cuda {
namespace {

constexpr double kRate = 0.02;
constexpr double kRow = 150e3;  // a row of outputs of a thread, one after the other
constexpr int kThreads = 1024;  // of a multiprocessor, that hide each other's waiting

std::int64_t split_k_of(const Conv2dProblem& p, int multiprocessors) {
  const std::int64_t wanted = ceil_div(std::int64_t{multiprocessors} * kThreads, filter_size(p));
  const std::int64_t fewest = ceil_div(p.N * p.OH * p.OW, kLongestSum);
  return std::clamp<std::int64_t>(std::max(wanted, fewest), 1,
                                  std::max<std::int64_t>(1, p.N * p.OH));
}

/// Float32, float64, or bfloat16 with a filter whose gradient is float32.
bool takes(const Conv2dProblem& p, Conv2dPass pass) {
  const DType filter = p.x_type == DType::bfloat16 && pass == Conv2dPass::backward_filter
                           ? DType::float32
                           : p.x_type;
  return p.y_type == p.x_type && is_floating(p.x_type) && p.w_type == filter;
}

std::vector<Conv2dCandidate> direct_candidates(const Conv2dRequest& request) {
  const Conv2dProblem& p = request.problem;
  if (!takes(p, request.pass)) {
    return {};
  }
  const int multiprocessors = multiprocessors_of(request);
  Conv2dCandidate candidate{{.tile = {1, 1}, .reason = "one thread an element"}};
  std::int64_t threads =
      p.N * (request.pass == Conv2dPass::forward ? p.OH * p.OW * p.OC : p.IH * p.IW * p.IC);
  if (request.pass == Conv2dPass::backward_filter) {
    add_split_k(candidate, p, split_k_of(p, multiprocessors), multiprocessors);
    threads = filter_size(p) * candidate.plan.split_k;
  }
  const double rows =
      request.pass == Conv2dPass::backward_filter
          ? static_cast<double>(p.N * p.OH) / static_cast<double>(candidate.plan.split_k)
          : 0.0;
  const double full = multiprocessors * static_cast<double>(kThreads);
  const double share = std::min(1.0, static_cast<double>(threads) / full);
  candidate.cost =
      2.0 * kLaunch + rows * kRow +
      static_cast<double>(exact_multiply_adds(p)) / (multiprocessors * kRate * share + 1e-9);
  return {std::move(candidate)};
}

bool accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return takes(p, plan.pass) && has_room_for_slices(plan, p);
}

std::vector<Conv2dCandidate> reference_candidates(const Conv2dRequest& request) {
  if (!takes(request.problem, request.pass)) {
    return {};
  }
  return {{{.reason = "one thread an element, sums in float64"},
           std::numeric_limits<double>::infinity()}};
}

constexpr Conv2dKernel kernel_of(const char* name, decltype(Conv2dKernel::candidates) candidates,
                                 RunConv2d* run) {
  return {.name = name,
          .passes = {Conv2dPass::forward, Conv2dPass::backward_data, Conv2dPass::backward_filter},
          .arithmetic = {Arithmetic::fp32, Arithmetic::fp64, Arithmetic::bf16},
          .compute_capability = 75,
          .candidates = candidates,
          .accepts = accepts,
          .run = run};
}

}  // namespace

const Conv2dKernel direct = kernel_of("direct", direct_candidates, CKS_CUDA_CODE(run_direct));
const Conv2dKernel reference =
    kernel_of("reference", reference_candidates, CKS_CUDA_CODE(run_reference));

}  // namespace cks::kernels::cuda
