#include <algorithm>

#include "cks/kernels/conv2d/cuda/band.h"
#include "cks/kernels/conv2d/cuda/kernels.h"
#include "cks/kernels/conv2d/cuda/regions.h"
#include "cks/kernels/conv2d/taps.h"

// What the kernels `band` and `band_taps` plan: bands of image rows in shared memory along
// which threads slide (band.h).
namespace cks::kernels::cuda {
namespace {

constexpr const char* kReason = "threads slide along rows of images in shared memory";
/// Of a band kernel's rate, where many groups of channels read the same staged values.
constexpr double kManyChannels = 0.65;
constexpr std::int64_t kFewChannels = 32;
constexpr int kBlocksOfGradients = 2;  // a multiprocessor, of band_taps.cu

/// How many positions share a filter row with its zeros: 1 where none are multiplied.
std::int64_t granule_of(const Conv2dProblem& p, Conv2dPass pass) {
  return band_multiply_adds(p, pass) == exact_multiply_adds(p) ? 1
                                                               : std::max<std::int64_t>(2, p.OW);
}

/// A tile's rate in blocks of so many threads.
RatedTile in_blocks_of(RatedTile tile, int threads, std::int64_t channels) {
  tile.rate *= channels > kFewChannels ? kManyChannels : 1.0;
  tile.alone *= std::min(1.0, threads / static_cast<double>(kBandThreads));
  return tile;
}

std::vector<Conv2dCandidate> band_candidates(const Conv2dRequest& request) {
  const Conv2dProblem& p = request.problem;
  std::vector<Conv2dCandidate> found;
  for (const RatedTile& tile : kBand) {
    if (!takes_bands(p, request.pass, tile.size)) {
      continue;
    }
    const BandShape shape = band_shape(p, request.pass, tile.size);
    const auto blocks = static_cast<double>(p.N * shape.bands);
    const double issued = static_cast<double>(band_multiply_adds(p, request.pass)) /
                          shape.target_w / shape.target_channels * shape.column_groups *
                          shape.positions * shape.channel_groups * shape.channels_each;
    found.push_back(
        {{.tile = tile.size, .granule = granule_of(p, request.pass), .reason = kReason},
         cost_of(issued, issued / blocks, in_blocks_of(tile, shape.threads, shape.target_channels),
                 multiprocessors_of(request))});
  }
  return found;
}

std::vector<Conv2dCandidate> gradient_candidates(const Conv2dRequest& request) {
  const Conv2dProblem& p = request.problem;
  const int multiprocessors = multiprocessors_of(request);
  std::vector<Conv2dCandidate> found;
  for (const RatedTile& tile : kBandTaps) {
    if (!takes_bands(p, request.pass, tile.size)) {
      continue;
    }
    const BandTapsShape shape = band_taps_shape(p, tile.size);
    const std::int64_t bands = p.N * shape.bands;
    const std::int64_t longest_band =
        ceil_div(shape.band_rows, shape.shares) * std::int64_t{shape.y_columns};
    const std::int64_t each =
        std::min(std::max<std::int64_t>(1, kLongestSum / longest_band),
                 ceil_div(bands, std::int64_t{kBlocksOfGradients} * multiprocessors));
    const std::int64_t split_k = ceil_div(bands, each);
    const double issued = static_cast<double>(band_multiply_adds(p, request.pass)) / shape.out_w *
                          shape.y_columns / shape.out_channels * shape.channel_groups *
                          shape.channels_each;
    Conv2dCandidate candidate{
        {.tile = tile.size, .granule = granule_of(p, request.pass), .reason = kReason},
        cost_of(issued, issued / static_cast<double>(split_k),
                in_blocks_of(tile, shape.threads, p.OC), multiprocessors)};
    add_split_k(candidate, p, split_k, multiprocessors);
    found.push_back(std::move(candidate));
  }
  return found;
}

bool band_accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return takes_bands(p, plan.pass, plan.tile);
}

bool gradient_accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return has_room_for_slices(plan, p) && takes_bands(p, plan.pass, plan.tile);
}

std::shared_ptr<const void> prepare_band(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return std::make_shared<BandShape>(band_shape(p, plan.pass, plan.tile));
}

std::shared_ptr<const void> prepare_gradient(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return std::make_shared<BandTapsShape>(band_taps_shape(p, plan.tile));
}

}  // namespace

const Conv2dKernel band = {.name = "band",
                           .passes = {Conv2dPass::forward, Conv2dPass::backward_data},
                           .arithmetic = {Arithmetic::fp32},
                           .compute_capability = 75,
                           .candidates = band_candidates,
                           .accepts = band_accepts,
                           .prepare = prepare_band,
                           .run = CKS_CUDA_CODE(run_band)};

const Conv2dKernel band_taps = {.name = "band_taps",
                                .passes = {Conv2dPass::backward_filter},
                                .arithmetic = {Arithmetic::fp32},
                                .compute_capability = 75,
                                .candidates = gradient_candidates,
                                .accepts = gradient_accepts,
                                .prepare = prepare_gradient,
                                .run = CKS_CUDA_CODE(run_band_taps)};

}  // namespace cks::kernels::cuda
