#pragma once
#include "cks/kernels/conv2d/hopper/boxes.h"
#include "cks/kernels/hopper/async.cuh"
#include "cks/kernels/hopper/tensor_map.h"

/// What the copying thread of a block asks for, step by step.
namespace cks::kernels::hopper {

/// The maps of a call (operands.h).
struct BoxMaps {
  CUtensorMap
      source[kMostMappedClasses * kMostMappedClasses];  // of each class; at places the first alone
  CUtensorMap filter;
};

/// One step of a unit: some source channels of a tap.
struct BoxStep {
  const CUtensorMap* source;
  Position start[2];  // of the boxes, in the source, as tap 0 of the class meets them
  int down, right;    // by how much the tap shifts them
  int filter_tap;
  int group;
  int channel;  // the first source channel of the group
};

/// Calls visit(step) for each step of a unit of `place` whose target channels begin at `channel`. A
/// place without taps has one step, in which all that is read lies outside: zeros.
template <class Visit>
__device__ __forceinline__ void each_step(const BoxCorrelation& c, const BoxMaps& maps,
                                          const Place& place, int first, int channel,
                                          Visit&& visit) {
  const Run& rows = c.rows[place.row_class];
  const Run& columns = c.columns[place.column_class];
  BoxStep step;
  step.source =
      &maps.source[c.at_places ? 0 : place.row_class * c.column_classes + place.column_class];
  step.group = c.groups == 1 ? 0 : channel / c.target_channels;
  for (int box = 0; box < 2; ++box) {
    const Position at = position_of(c, place, first + box * c.box);
    step.start[box] = {at.image, rows.source + at.row * rows.source_step,
                       columns.source + at.column * columns.source_step};
  }
  if (place.row_taps * place.column_taps == 0) {
    step.start[0].image = step.start[1].image = c.images;
    step.down = step.right = step.channel = 0;
    step.filter_tap = c.filter_taps;
    visit(step);
    return;
  }
  for (int row = place.row_tap; row < place.row_tap + place.row_taps; ++row) {
    for (int column = place.column_tap; column < place.column_tap + place.column_taps; ++column) {
      step.down = row * rows.tap_step;
      step.right = column * columns.tap_step;
      step.filter_tap = filter_tap_of(c, place, row, column);
      for (step.channel = 0; step.channel < c.source_channels; step.channel += c.step) {
        visit(step);
      }
    }
  }
}

/// Copies box 0 or 1 of a step, from its source channel `channel` on; to both blocks of a cluster
/// or to this one alone.
template <bool kToBoth>
__device__ __forceinline__ void copy_pixels(const BoxCorrelation& c, const BoxStep& step, int box,
                                            int channel, void* to, std::uint64_t* barrier) {
  const Position& start = step.start[box];
  BoxAt at{step.group * c.source_channels + step.channel + channel, start.column, start.row,
           start.image};
  if (c.at_places) {
    at.axis1 += step.right;
    at.axis2 += step.down;
    if constexpr (kToBoth) {
      copy_box_to_both(to, step.source, barrier, at);
    } else {
      copy_box(to, step.source, barrier, at);
    }
  } else {
    const Shift shift{static_cast<std::uint16_t>(step.right),
                      static_cast<std::uint16_t>(step.down)};
    if constexpr (kToBoth) {
      copy_window_to_both(to, step.source, barrier, at, shift);
    } else {
      copy_window(to, step.source, barrier, at, shift);
    }
  }
}

/// Copies the filter of a step for kChannels target channels, from `channel` on: a row is one of
/// them, or, transposed, a source channel with 64 of them.
template <int kChannels, bool kTransposed>
__device__ __forceinline__ void copy_filter(const BoxCorrelation& c, const CUtensorMap* map,
                                            const BoxStep& step, int channel, int plane,
                                            unsigned char* to, std::uint64_t* barrier) {
  if constexpr (kTransposed) {
#pragma unroll
    for (int first = 0; first < kChannels; first += 64) {
      copy_box(to + first * kRowBytes, map, barrier,
               {channel - step.group * c.target_channels + first, step.filter_tap,
                step.group * c.source_channels + step.channel, plane});
    }
  } else {
    copy_box(to, map, barrier, {step.channel, step.filter_tap, channel, plane});
  }
}

}  // namespace cks::kernels::hopper
