#pragma once
#include <cstdint>

#include "cks/kernels/conv2d/cuda/regions.h"
#include "cks/kernels/conv2d/hopper/units.h"
#include "cks/kernels/conv2d/kernel.h"
#include "cks/kernels/hopper/window.h"

/// How ConvV2 and KS-deconv are laid out for the copy engine of compute capability 9.0, which moves
/// boxes of pixels into shared memory and fills what lies outside the image with zeros: a sum over
/// taps of products between a box of source pixels, shifted by the tap, and the tap's filter.
/// Shared by the kernels that compute it; plain data, passed to them by value.
///
/// A box holds positions of one residue class of the target (forward: there is one class). It is
///
///   at a place   the same position of `box` images, with exactly the taps that meet pixels, or
///   in a row     `box` positions, row after row and image after image, with every tap that meets
///                a pixel from any of the class: products with padding are executed
namespace cks::kernels::hopper {

using cuda::Run;

inline constexpr int kMostClasses = 16;       // of an axis
inline constexpr int kMostMappedClasses = 3;  // that the copy engine has maps of
inline constexpr int kMostPlaces = 256;

/// The most of a unit that the kernel `pointwise` takes: its filter stays in shared memory.
inline constexpr int kPointwiseSteps = 8;

/// One position, or all positions of a class.
struct Place {
  std::uint8_t row_class, column_class;
  std::uint8_t row_tap, row_taps, column_tap, column_taps;  // of those of the class
  std::uint16_t row, column;                                // 0 for a whole class
  std::int32_t first_unit;
};

/// What a block, or a cluster of two, computes at a time is a unit: two boxes of a place and some
/// channels of the result. Units of a place follow each other, channels first; places with most
/// taps come first.
struct BoxCorrelation {
  bool at_places;
  int box;  // positions
  int images;
  Run rows[kMostClasses];  // a whole class each: all positions, all taps
  Run columns[kMostClasses];
  int row_classes, column_classes;
  int source_width, source_height, target_width, target_height;
  std::int64_t source_pitch, target_pitch;  // elements from one pixel to the next
  int groups;
  int source_channels, target_channels;  // of a group
  int filter_taps, filter_width;
  int step;                          // source channels that are multiplied at a time
  int unit_channels, channel_units;  // of the result: of a unit, units side by side
  int places, units, units_each;
  Place place[kMostPlaces];

  CKS_HOST_DEVICE UnitWalk<Place> walk(int worker, int workers) const {
    return {place, places, units, units_each, worker, workers};
  }
};

/// Positions of a place that its boxes are cut from.
CKS_HOST_DEVICE inline int positions_of(const BoxCorrelation& c, const Place& at) {
  return c.at_places ? c.images
                     : c.images * c.rows[at.row_class].count * c.columns[at.column_class].count;
}

/// What a unit computes: positions from `first` on, of both boxes, and channels of a group from
/// `channel` on, counted over all groups.
struct BoxUnit {
  int first, channel, group;
};
CKS_HOST_DEVICE inline BoxUnit unit_of(const BoxCorrelation& c, int index_in_place) {
  const int pair = index_in_place / c.channel_units;
  const int unit = index_in_place - pair * c.channel_units;
  const int first = pair * 2 * c.box;
  if (c.groups == 1) {
    return {first, unit * c.unit_channels, 0};
  }
  const int of_group = c.channel_units / c.groups, group = unit / of_group;
  return {first, group * c.target_channels + (unit - group * of_group) * c.unit_channels, group};
}

/// Steps of a place's units; one without a tap takes one step that adds zeros.
CKS_HOST_DEVICE inline int steps_of(const BoxCorrelation& c, const Place& at) {
  const int taps = at.row_taps * at.column_taps;
  return taps == 0 ? 1 : taps * ((c.source_channels + c.step - 1) / c.step);
}

/// A position of a class in an image.
struct Position {
  int image, row, column;
};

/// Position `at` of those that the boxes of a place are cut from.
CKS_HOST_DEVICE inline Position position_of(const BoxCorrelation& c, const Place& place, int at) {
  if (c.at_places) {
    return {at, place.row, place.column};
  }
  const int width = c.columns[place.column_class].count;
  const int line = at / width;
  const int height = c.rows[place.row_class].count;
  return {line / height, line % height, at - line * width};
}

/// The pixel of the result that a position is.
CKS_HOST_DEVICE inline int pixel_of(const BoxCorrelation& c, const Place& place,
                                    const Position& at) {
  const Run& rows = c.rows[place.row_class];
  const Run& columns = c.columns[place.column_class];
  const int line = at.image * c.target_height + rows.target + at.row * rows.target_step;
  return line * c.target_width + columns.target + at.column * columns.target_step;
}

/// The tap of the filter that is tap (row, column) of a place's class.
CKS_HOST_DEVICE inline int filter_tap_of(const BoxCorrelation& c, const Place& place, int row,
                                         int column) {
  const Run& rows = c.rows[place.row_class];
  const Run& columns = c.columns[place.column_class];
  return (rows.filter_tap + row * rows.filter_step) * c.filter_width + columns.filter_tap +
         column * columns.filter_step;
}

/// What the copy engine walks over: positions of the source that tap 0 of a class meets.
inline Window window_of(const Run& run) { return {run.source, run.source_step, run.count}; }

struct BoxRequest {
  const Conv2dProblem& problem;
  Conv2dPass pass;  // forward (source X, target Y) or backward_data (source dY, target dX)
  Conv2dTile tile;  // channels x positions of a unit: two boxes
  bool at_places;
  int step;
};

/// Whether a BoxCorrelation can say it.
bool fits_boxes(const BoxRequest& request);
/// Whether the copy engine can, too, for elements of so many bytes.
bool takes_boxes(const BoxRequest& request, int element_bytes);

struct PlannedBoxes {
  BoxCorrelation correlation{};
  std::int64_t executed = 0;  // multiply-adds of the products
};
/// All but pointers. Only for what fits_boxes() takes.
PlannedBoxes plan_boxes(const BoxRequest& request);

}  // namespace cks::kernels::hopper
