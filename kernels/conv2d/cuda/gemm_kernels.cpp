#include <utility>

#include "cks/kernels/conv2d/cuda/cost.h"
#include "cks/kernels/conv2d/cuda/kernels.h"
#include "cks/kernels/gemm/cut.h"

// The kernel `gemm`: a convolution whose filter is one tap that meets every pixel is a product of
// matrices, whose rows are pixels (gemm/gemm.h). Unlike `tiled`, it cuts long sums into slices.
namespace cks::kernels::cuda {
namespace {

constexpr RatedTile kRated[] = {
    {{128, 128}, 8, 8, 0.74, 0.45}, {{64, 64}, 4, 8, 0.62, 0.22}, {{32, 32}, 4, 4, 0.47, 0.3}};

GemmProblem gemm_of(const Conv2dProblem& p, Conv2dPass pass) {
  const std::int64_t pixels = p.N * p.OH * p.OW;
  switch (pass) {
    case Conv2dPass::forward:
      return {.M = pixels,
              .N = p.OC,
              .K = p.IC,
              .transpose_b = true,
              .dtype = p.x_type,
              .lda = p.x_pitch,
              .ldc = p.y_pitch};
    case Conv2dPass::backward_data:
      return {
          .M = pixels, .N = p.IC, .K = p.OC, .dtype = p.x_type, .lda = p.y_pitch, .ldc = p.x_pitch};
    case Conv2dPass::backward_filter:
      break;
  }
  return {.M = p.OC,
          .N = p.IC,
          .K = pixels,
          .transpose_a = true,
          .dtype = p.x_type,
          .lda = p.y_pitch,
          .ldb = p.x_pitch};
}

bool takes(const Conv2dProblem& p, Conv2dPass pass) {
  const bool is_product = p.FH == 1 && p.FW == 1 && p.sh == 1 && p.sw == 1 && p.OH == p.IH &&
                          p.OW == p.IW && p.pt == 0 && p.pl == 0 && p.G == 1;
  const bool is_accurate =
      pass != Conv2dPass::backward_filter || gemm_cut(gemm_of(p, pass)).slice <= kLongestSum;
  return is_product && has_real_type(p) && is_accurate;
}

std::vector<Conv2dCandidate> candidates(const Conv2dRequest& request) {
  const Conv2dProblem& p = request.problem;
  if (!takes(p, request.pass)) {
    return {};
  }
  const GemmProblem g = gemm_of(p, request.pass);
  const GemmCut cut = gemm_cut(g);
  const RatedTile& tile =
      *std::find_if(std::begin(kRated), std::end(kRated),
                    [&](const RatedTile& rated) { return rated.size.rows == cut.tile; });
  const int multiprocessors = multiprocessors_of(request);
  const auto area = static_cast<double>(cut.tile * cut.tile);
  const double issued =
      static_cast<double>(ceil_div(g.M, cut.tile) * ceil_div(g.N, cut.tile) * g.K) * area;
  Conv2dCandidate candidate{
      {.tile = {cut.tile, cut.tile},
       .split_k = cut.slices,
       .workspace_bytes = bytes_of_slices(g, cut),
       .reason = describe_use("a product of matrices", p, issued)},
      cost_of(issued, area * static_cast<double>(std::min(cut.slice, g.K)), tile, multiprocessors)};
  if (cut.slices > 1) {
    candidate.cost +=
        kLaunch + 30.0 * static_cast<double>(g.M * g.N * (cut.slices + 1)) / multiprocessors;
  }
  return {std::move(candidate)};
}

bool accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  if (!takes(p, plan.pass)) {
    return false;
  }
  const GemmProblem g = gemm_of(p, plan.pass);
  const GemmCut cut = gemm_cut(g);
  return plan.tile == Conv2dTile{cut.tile, cut.tile} && plan.split_k == cut.slices &&
         plan.workspace_bytes >= bytes_of_slices(g, cut);
}

#if CKS_HAS_CUDA
std::int64_t run_gemm(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  const Conv2dPass pass = conv.plan.pass;
  const GemmProblem g = gemm_of(conv.problem, pass);
  const void* const a = pass == Conv2dPass::forward ? operands.x : operands.y;
  const void* const b = pass == Conv2dPass::backward_filter ? operands.x : operands.w;
  gemm(g, a, b, operands.epilogue, operands.result, operands.workspace);
  return g.M * g.N * g.K;
}
#endif

}  // namespace

const Conv2dKernel as_gemm = {
    .name = "gemm",
    .passes = {Conv2dPass::forward, Conv2dPass::backward_data, Conv2dPass::backward_filter},
    .arithmetic = {Arithmetic::fp32, Arithmetic::fp64},
    .compute_capability = 75,
    .candidates = candidates,
    .accepts = accepts,
    .run = CKS_CUDA_CODE(run_gemm)};

}  // namespace cks::kernels::cuda
