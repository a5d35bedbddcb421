#pragma once
#include "cks/kernels/conv2d/hopper/backward_filter/gradient.h"
#include "cks/kernels/conv2d/hopper/boxes.h"
#include "cks/kernels/conv2d/hopper/plane_products.h"

/// What these kernels share with those of compute capability 9.0: how a convolution is laid out in
/// boxes, and which planes are multiplied. Threads copy here, not a copy engine, so boxes may be of
/// any stride, dilation and padding.
namespace cks::kernels::ampere {

using hopper::BoxCorrelation;
using hopper::BoxUnit;
using hopper::Column;
using hopper::GradientPlan;
using hopper::GradientTap;
using hopper::GradientUnit;
using hopper::kBlock;
using hopper::kMostPlanes;
using hopper::kPlaneProducts;
using hopper::kTerms;
using hopper::left_plane;
using hopper::Place;
using hopper::PlannedBoxes;
using hopper::Position;
using hopper::right_plane;
using hopper::Run;
using hopper::Term;

}  // namespace cks::kernels::ampere
