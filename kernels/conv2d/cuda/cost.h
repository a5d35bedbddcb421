#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "cks/kernels/conv2d/kernel.h"

/// The cost model that orders the plans of a GPU. Its unit is the time in which one multiprocessor
/// issues one multiply-add with all its threads; rates and overheads were fitted on an H200 and
/// matter only relative to each other.
namespace cks::kernels::cuda {

/// A tile that a kernel is compiled for, and what the model knows of it.
struct RatedTile {
  Conv2dTile size;
  int thread_rows, thread_columns;  // of them a thread's own; 0 where the kernel knows
  double rate;                      // of the peak, with the multiprocessor full of such blocks
  double alone;                     // of the peak, one block alone on its multiprocessor
};

/// Whether a list of tiles has one of that size.
template <class Tiles>
constexpr bool has_tile(const Tiles& tiles, const Conv2dTile& tile) {
  return std::any_of(std::begin(tiles), std::end(tiles),
                     [&](const RatedTile& known) { return known.size == tile; });
}

/// Calls body(index) with the place of a tile in a constant list, as an integral constant, so that
/// a kernel can be instantiated for it. The list has it, as accepts() saw to.
template <const auto& kTiles, std::size_t kAt = 0, class Body>
void with_tile(const Conv2dTile& tile, Body&& body) {
  if constexpr (kAt < std::size(kTiles)) {
    if (kTiles[kAt].size == tile) {
      body(std::integral_constant<std::size_t, kAt>{});
    } else {
      with_tile<kTiles, kAt + 1>(tile, body);
    }
  }
}

inline constexpr double kLaunch = 300e3;  // an empty kernel, in multiply-adds of one multiprocessor
/// A byte that the whole GPU reads from memory or writes to it.
inline constexpr double kMemoryByte = 0.055;
/// A float32 sum is cut after this many terms at most, so that its error stays an ordinary one.
inline constexpr std::int64_t kLongestSum = 16384;

/// Time of `total` issued multiply-adds in blocks of at most `longest`: the multiprocessors share
/// the work, and at the end wait for about half of a block that runs alone.
double cost_of(double total, double longest, const RatedTile& tile, int multiprocessors);

/// Elements of dW.
inline std::int64_t filter_size(const Conv2dProblem& p) {
  return p.OC * p.FH * p.FW * (p.IC / p.G);
}

/// Cuts the sums of a candidate into split_k parts: the partial sums are written to workspace, read
/// again and added.
void add_split_k(Conv2dCandidate& candidate, const Conv2dProblem& problem, std::int64_t split_k,
                 int multiprocessors);

/// Whether a plan's split_k is one, or its partial sums fit into its workspace.
bool has_room_for_slices(const Conv2dPlan& plan, const Conv2dProblem& problem);

/// A plan's reason: "tiles of shared memory; 97 % of the issued multiply-adds are used".
std::string describe_use(const char* how, const Conv2dProblem& problem, double issued);

/// Adds the cheapest of some candidates, the first of equals, if there are any.
void add_cheapest(std::vector<Conv2dCandidate>& found, std::vector<Conv2dCandidate> candidates);

/// At least 1, for a description that does not know.
inline int multiprocessors_of(const Conv2dRequest& request) {
  return std::max(1, request.device.multiprocessors);
}

}  // namespace cks::kernels::cuda
