#include <algorithm>
#include <set>

#include "cks/kernels/common/lists_impl.h"
#include "cks/kernels/common/math.h"
#include "cks/kernels/conv2d/cuda/cost.h"
#include "cks/kernels/conv2d/halves.h"
#include "cks/kernels/conv2d/hopper/backward_filter/patches.h"
#include "cks/kernels/conv2d/hopper/box_plans.h"
#include "cks/kernels/conv2d/hopper/kernels.h"
#include "cks/kernels/conv2d/hopper/plane_products.h"

// What the kernels `patch_taps` and `place_taps` plan: Sk-dilated in patches of outputs, in a row
// and at places (patches.h).
namespace cks::kernels::hopper {
namespace {

/// Output channels x columns (an input channel of a tap) of a unit: nine taps, or eight.
constexpr std::int64_t kBlockChannels = kPatchBlock;
constexpr Conv2dTile kTiles[] = {{kBlockChannels, 9 * kBlockChannels},
                                 {kBlockChannels, 8 * kBlockChannels}};
constexpr double kPlaceTerms = 57e3;  // at places, for saying which taps 16 terms meet
constexpr int kFewestTaps = 6;        // with fewer the taps that are repeated cost too much
constexpr int kMostWaves = 3;

struct PatchRates {
  double products;     // of a multiprocessor's float32 multiply-adds
  double copied_byte;  // of a multiprocessor's copies
  double unit;         // until the first patch is there, and for adding and storing sums
};
PatchRates rates_of(Arithmetic arithmetic) {
  return arithmetic == Arithmetic::fp32 ? PatchRates{10.5, 8.0, 4e5} : PatchRates{12.5, 4.0, 27e5};
}

/// Products of planes for each product.
double products_of(Arithmetic arithmetic) {
  return kPlaneProducts - first_plane_product(planes_of(arithmetic));
}

/// Of an operand that is copied: of float32, if it is split here.
int operand_bytes(Arithmetic arithmetic) { return planes_of(arithmetic) == 1 ? 2 : 4; }

std::int64_t outputs_of(const PatchExtent& patch) {
  return std::int64_t{patch.images} * patch.rows * patch.columns;
}

/// The plan's granule is the outputs of a patch.
PatchRequest request_of(const Conv2dPlan& plan, const Conv2dProblem& p, bool at_places) {
  const PatchExtent patch = at_places
                                ? patch_at_places(p)
                                : PatchExtent{1, narrow(plan.granule / kPatchWidth), kPatchWidth};
  return {p, narrow(plan.tile.columns / kPatchBlock), patch, plan.split_k,
          planes_of(plan.arithmetic)};
}

bool takes(const Conv2dPlan& plan, const Conv2dProblem& p, bool at_places) {
  const PatchRequest request = request_of(plan, p, at_places);
  return has_gradient_types(p, plan.arithmetic) && plan.granule == outputs_of(request.patch) &&
         takes_patches(request, operand_bytes(plan.arithmetic));
}

/// Time for the products of a patch, or for copying it or for saying which to multiply, if that is
/// longer.
double cost_of_patch(const PatchPlan& g, Arithmetic arithmetic) {
  const double products = static_cast<double>(executed_of(g)) / g.patches() /
                          (g.row_units * g.column_units * g.groups) * products_of(arithmetic);
  const double bytes = (g.dy_bytes + g.x_bytes) * g.steps * (operand_bytes(arithmetic) / 2.0);
  const PatchRates rates = rates_of(arithmetic);
  const double row_terms = round_up(g.columns * g.patch_images / kTermImages, 2);
  const double issue = g.at_places() ? g.out_height * row_terms * kPlaceTerms : 0.0;
  return std::max({products / rates.products, bytes * rates.copied_byte, issue});
}

/// Units that run at once.
int clusters_of(int multiprocessors) { return std::max(1, multiprocessors / kSharers); }

Conv2dCandidate candidate_of(const Conv2dRequest& request, const Conv2dPlan& plan, bool at_places) {
  const Conv2dProblem& p = request.problem;
  const PatchPlan g = plan_patches(request_of(plan, p, at_places));
  const int multiprocessors = cuda::multiprocessors_of(request);
  const int waves = ceil_div(g.units(), clusters_of(multiprocessors));
  const int most_patches = ceil_div(g.patches(), g.split_k * kSharers);
  const double unit =
      most_patches * cost_of_patch(g, plan.arithmetic) + rates_of(plan.arithmetic).unit;
  Conv2dCandidate candidate{plan, cuda::kLaunch + waves * unit};
  cuda::add_split_k(candidate, p, plan.split_k, multiprocessors);
  if (plan.arithmetic == Arithmetic::fp16) {
    candidate.plan.workspace_bytes = gradient_workspace(plan, p, 1);
    candidate.cost += cost_of_halves(Conv2dPass::backward_filter, p);
  }
  candidate.plan.reason =
      cuda::describe_use(at_places ? "places of many images, all taps of a group at once"
                                   : "patches, all taps of a group at once",
                         p, static_cast<double>(executed_of(g)));
  return candidate;
}

/// Parts of the sums that keep the multiprocessors busy for whole waves.
std::set<std::int64_t> splits_of(const Conv2dRequest& request, const Conv2dPlan& plan,
                                 bool at_places) {
  const Conv2dProblem& p = request.problem;
  Conv2dPlan whole = plan;
  whole.split_k = 1;
  std::set<std::int64_t> splits;
  if (!takes(whole, p, at_places)) {
    return splits;
  }
  const PatchPlan g = plan_patches(request_of(whole, p, at_places));
  // Sums that the tensor core cuts stay short; those of three planes are float32 from a patch on.
  const std::int64_t fewest = plan.arithmetic == Arithmetic::fp32
                                  ? 1
                                  : ceil_div(p.N * p.OH * p.OW, kSharers * cuda::kLongestSum);
  for (int wave = 1; wave <= kMostWaves; ++wave) {
    const std::int64_t parts =
        std::int64_t{wave} * clusters_of(cuda::multiprocessors_of(request)) / g.units();
    splits.insert(
        std::clamp<std::int64_t>(parts, fewest, std::max<std::int64_t>(fewest, g.patches())));
  }
  return splits;
}

template <bool kAtPlaces>
std::vector<Conv2dCandidate> candidates(const Conv2dRequest& request) {
  std::vector<Conv2dCandidate> found;
  const Conv2dProblem& p = request.problem;
  if (p.FH * p.FW < kFewestTaps) {
    return found;
  }
  Conv2dPlan plan;
  plan.arithmetic = request.arithmetic;
  std::vector<std::int64_t> granules = {outputs_of(patch_at_places(p))};
  if (!kAtPlaces) {
    const auto& rows = patch_rows(planes_of(plan.arithmetic));
    granules.assign(std::begin(rows), std::end(rows));
    for (std::int64_t& granule : granules) {
      granule *= kPatchWidth;
    }
  }
  for (const Conv2dTile& tile : kTiles) {
    // Eight taps at once where nine would need as many groups.
    if (ceil_div(p.FH * p.FW, tile.columns / kPatchBlock) >
        ceil_div(p.FH * p.FW, std::int64_t{kMostGroupTaps})) {
      continue;
    }
    plan.tile = tile;
    std::vector<Conv2dCandidate> of_tile;
    for (const std::int64_t granule : granules) {
      plan.granule = granule;
      for (const std::int64_t split_k : splits_of(request, plan, kAtPlaces)) {
        plan.split_k = split_k;
        if (takes(plan, p, kAtPlaces)) {
          of_tile.push_back(candidate_of(request, plan, kAtPlaces));
        }
      }
    }
    cuda::add_cheapest(found, std::move(of_tile));
  }
  return found;
}

template <bool kAtPlaces>
bool accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  const bool known = contains(kTiles, plan.tile);
  return known && takes(plan, p, kAtPlaces) && cuda::has_room_for_slices(plan, p) &&
         (plan.arithmetic != Arithmetic::fp16 ||
          plan.workspace_bytes >= gradient_workspace(plan, p, 1));
}

template <bool kAtPlaces>
std::shared_ptr<const void> prepare(const Conv2dPlan& plan, const Conv2dProblem& problem) {
  return std::make_shared<PatchPlan>(plan_patches(request_of(plan, problem, kAtPlaces)));
}

}  // namespace

template <bool kAtPlaces>
constexpr Conv2dKernel kernel_of(const char* name) {
  return {.name = name,
          .passes = {Conv2dPass::backward_filter},
          .arithmetic = kAtPlaces ? EnumSet{Arithmetic::bf16, Arithmetic::fp16}
                                  : EnumSet{Arithmetic::bf16, Arithmetic::fp16, Arithmetic::fp32},
          .compute_capability = 90,
          .only_there = true,
          .candidates = candidates<kAtPlaces>,
          .accepts = accepts<kAtPlaces>,
          .prepare = prepare<kAtPlaces>,
          .run = CKS_CUDA_CODE(run_patches)};
}

const Conv2dKernel patch_taps = kernel_of<false>("patch_taps");
const Conv2dKernel place_taps = kernel_of<true>("place_taps");

}  // namespace cks::kernels::hopper
