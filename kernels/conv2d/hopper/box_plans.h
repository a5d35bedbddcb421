#pragma once
#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

#include "cks/kernels/conv2d/hopper/backward_filter/gradient.h"
#include "cks/kernels/conv2d/hopper/boxes.h"
#include "cks/kernels/conv2d/kernel.h"

/// How plans over boxes, of pixels (boxes.h) and of terms (gradient.h), are written and rated: the
/// same for kernels whose boxes the copy engine brings and for those whose threads do.
namespace cks::kernels::hopper {

/// A tile that a kernel is compiled for.
struct RatedTile {
  Conv2dTile tile;
  double rate;       // of a multiprocessor's float32 multiply-adds
  double overhead;   // steps that storing a unit is worth
  int blocks = 1;    // of a cluster
  int resident = 1;  // blocks that a multiprocessor holds
};

template <class Tiles>
bool is_one_of(const Tiles& tiles, const Conv2dTile& tile) {
  return std::any_of(std::begin(tiles), std::end(tiles),
                     [&](const auto& one) { return one.tile == tile; });
}

/// Whether a kernel takes a plan but for its reason.
using TakesPlan = std::function<bool(const Conv2dPlan&)>;

/// step: source channels that are multiplied at a time.
BoxRequest box_request(const Conv2dPlan& plan, const Conv2dProblem& problem, int step);

/// Of a tile, boxes at places and in a row, as far as the kernel takes them.
void add_box_candidates(std::vector<Conv2dCandidate>& found, const Conv2dRequest& request,
                        const RatedTile& tile, int step, std::size_t workspace_bytes,
                        const TakesPlan& takes);

/// Whether a filter gradient of these types is multiplied so: dW is float32.
bool has_gradient_types(const Conv2dProblem& problem, Arithmetic arithmetic);

GradientRequest gradient_request(const Conv2dPlan& plan, const Conv2dProblem& problem);

/// Bytes of a plan's slices of sums, then of its operands' planes, if it splits them beforehand
/// into more than one, or of their halves.
std::size_t gradient_workspace(const Conv2dPlan& plan, const Conv2dProblem& problem, int planes);

/// Of a tile and each kind of boxes of terms the best way to split the sums, as far as the kernel
/// takes it. The sums of several planes are float32 from a step on; others must stay short, for the
/// tensor core cuts them.
void add_gradient_candidates(std::vector<Conv2dCandidate>& found, const Conv2dRequest& request,
                             const RatedTile& tile, int planes, const TakesPlan& takes);

/// The plan's GradientPlan.
std::shared_ptr<const void> prepare_gradient(const Conv2dPlan& plan, const Conv2dProblem& problem);

}  // namespace cks::kernels::hopper
