#include <algorithm>

#include "cks/kernels/conv2d/cuda/correlation.h"
#include "cks/kernels/conv2d/cuda/kernels.h"
#include "cks/kernels/conv2d/cuda/window.h"
#include "cks/kernels/conv2d/taps.h"

// What the kernels `window` and `window_taps` plan: bands of image rows in shared memory along
// which threads slide (window.h).
namespace cks::kernels::cuda {
namespace {

constexpr const char* kReason = "threads slide along rows of images in shared memory";
/// Of a window kernel's rate, where many groups of channels read the same staged values.
constexpr double kManyChannels = 0.65;
constexpr std::int64_t kFewChannels = 32;
constexpr int kBlocksOfGradients = 2;  // a multiprocessor, of window_gradient.cu

/// How many positions share a filter row with its zeros: 1 where none are multiplied.
std::int64_t granule_of(const Conv2dProblem& p, Conv2dPass pass) {
  return window_multiply_adds(p, pass) == exact_multiply_adds(p) ? 1
                                                                 : std::max<std::int64_t>(2, p.OW);
}

/// A tile's rate in blocks of so many threads.
RatedTile in_blocks_of(RatedTile tile, int threads, std::int64_t channels) {
  tile.rate *= channels > kFewChannels ? kManyChannels : 1.0;
  tile.alone *= std::min(1.0, threads / static_cast<double>(kWindowThreads));
  return tile;
}

std::vector<Conv2dCandidate> window_candidates(const Conv2dRequest& request) {
  const Conv2dProblem& p = request.problem;
  std::vector<Conv2dCandidate> found;
  for (const RatedTile& tile : kWindow) {
    const Conv2dTile size{tile.rows, tile.columns};
    if (!takes_windows(p, request.pass, size)) {
      continue;
    }
    const WindowCorrelation shape = window_correlation_shape(p, request.pass, size);
    const auto blocks = static_cast<double>(p.N * shape.bands);
    const double issued = static_cast<double>(window_multiply_adds(p, request.pass)) /
                          shape.target_w / shape.lanes * shape.column_groups * shape.positions *
                          shape.lane_groups * shape.lanes_each;
    Conv2dCandidate candidate;
    candidate.cost =
        cost_of(issued, issued / blocks, in_blocks_of(tile, shape.threads, shape.lanes),
                multiprocessors_of(request));
    candidate.plan.tile = size;
    candidate.plan.granule = granule_of(p, request.pass);
    candidate.plan.reason = kReason;
    found.push_back(std::move(candidate));
  }
  return found;
}

std::vector<Conv2dCandidate> gradient_candidates(const Conv2dRequest& request) {
  const Conv2dProblem& p = request.problem;
  const int multiprocessors = multiprocessors_of(request);
  std::vector<Conv2dCandidate> found;
  for (const RatedTile& tile : kWindowTaps) {
    const Conv2dTile size{tile.rows, tile.columns};
    if (!takes_windows(p, request.pass, size)) {
      continue;
    }
    const WindowGradient shape = window_gradient_shape(p, size);
    const std::int64_t bands = p.N * shape.bands;
    const std::int64_t longest_band =
        ceil_div(shape.band_rows, shape.shares) * std::int64_t{shape.y_columns};
    const std::int64_t each =
        std::min(std::max<std::int64_t>(1, kLongestSum / longest_band),
                 ceil_div(bands, std::int64_t{kBlocksOfGradients} * multiprocessors));
    const std::int64_t split_k = ceil_div(bands, each);
    const double issued = static_cast<double>(window_multiply_adds(p, request.pass)) / shape.out_w *
                          shape.y_columns / shape.out_channels * shape.lane_groups *
                          shape.lanes_each;
    Conv2dCandidate candidate;
    candidate.cost = cost_of(issued, issued / static_cast<double>(split_k),
                             in_blocks_of(tile, shape.threads, p.OC), multiprocessors);
    candidate.plan.tile = size;
    candidate.plan.granule = granule_of(p, request.pass);
    candidate.plan.reason = kReason;
    add_split_k(candidate, p, split_k, multiprocessors);
    found.push_back(std::move(candidate));
  }
  return found;
}

bool window_accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return takes_windows(p, plan.pass, plan.tile);
}

bool gradient_accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return has_room_for_slices(plan, p) && takes_windows(p, plan.pass, plan.tile);
}

std::shared_ptr<const void> prepare_window(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return std::make_shared<WindowCorrelation>(window_correlation_shape(p, plan.pass, plan.tile));
}

std::shared_ptr<const void> prepare_gradient(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return std::make_shared<WindowGradient>(window_gradient_shape(p, plan.tile));
}

}  // namespace

const Conv2dKernel window = {.name = "window",
                             .passes = {Conv2dPass::forward, Conv2dPass::backward_data},
                             .arithmetic = {Arithmetic::fp32},
                             .compute_capability = 75,
                             .candidates = window_candidates,
                             .accepts = window_accepts,
                             .prepare = prepare_window,
                             .run = CKS_CUDA_CODE(run_window)};

const Conv2dKernel window_taps = {.name = "window_taps",
                                  .passes = {Conv2dPass::backward_filter},
                                  .arithmetic = {Arithmetic::fp32},
                                  .compute_capability = 75,
                                  .candidates = gradient_candidates,
                                  .accepts = gradient_accepts,
                                  .prepare = prepare_gradient,
                                  .run = CKS_CUDA_CODE(run_window_taps)};

}  // namespace cks::kernels::cuda
