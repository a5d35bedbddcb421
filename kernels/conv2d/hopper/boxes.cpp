#include "cks/kernels/conv2d/hopper/boxes.h"

#include <algorithm>
#include <vector>

#include "cks/kernels/common/math.h"
#include "cks/kernels/conv2d/taps.h"

namespace cks::kernels::hopper {
namespace {

bool is_forward(const BoxRequest& request) { return request.pass == Conv2dPass::forward; }

std::int64_t classes_of(const TapAxis& axis, bool forward) {
  return forward ? 1 : std::min(axis.stride, axis.in);
}

/// All positions of a class of an axis, with all its taps.
Run whole_class(const TapAxis& axis, bool forward, std::int64_t a) {
  if (forward) {
    return {.target = 0,
            .target_step = 1,
            .count = narrow(axis.out),
            .taps = narrow(axis.filter),
            .filter_tap = 0,
            .filter_step = 1,
            .source = narrow(-axis.pad),
            .source_step = narrow(axis.stride),
            .tap_step = narrow(axis.dilation)};
  }
  const ResidueClass c = residue_class(axis, a);
  return {.target = narrow(a),
          .target_step = narrow(axis.stride),
          .count = narrow(ceil_div(axis.in - a, axis.stride)),
          .taps = narrow(c.taps),
          .filter_tap = narrow(c.last_tap),
          .filter_step = narrow(-c.tap_step),
          .source = narrow(c.delta),
          .source_step = 1,
          .tap_step = narrow(c.delta_step)};
}

/// The taps of a class that meet a source pixel from its positions first to last.
IndexRange live_taps(const Run& run, std::int64_t first, std::int64_t last,
                     std::int64_t source_extent) {
  const std::int64_t lowest = run.source + first * run.source_step;
  const std::int64_t highest = run.source + last * run.source_step;
  return range_of(
      std::max<std::int64_t>(0, ceil_div(-highest, run.tap_step)),
      std::min<std::int64_t>(run.taps, floor_div(source_extent - 1 - lowest, run.tap_step) + 1));
}

Place place_of(const BoxCorrelation& c, int row_class, int column_class, int row, int column) {
  const Run& rows = c.rows[row_class];
  const Run& columns = c.columns[column_class];
  const IndexRange row_taps =
      live_taps(rows, c.at_places ? row : 0, c.at_places ? row : rows.count - 1, c.source_height);
  const IndexRange column_taps = live_taps(
      columns, c.at_places ? column : 0, c.at_places ? column : columns.count - 1, c.source_width);
  const auto byte = [](std::int64_t value) { return static_cast<std::uint8_t>(value); };
  return {.row_class = byte(row_class),
          .column_class = byte(column_class),
          .row_tap = byte(row_taps.begin),
          .row_taps = byte(row_taps.size()),
          .column_tap = byte(column_taps.begin),
          .column_taps = byte(column_taps.size()),
          .row = static_cast<std::uint16_t>(row),
          .column = static_cast<std::uint16_t>(column),
          .first_unit = 0};
}

std::vector<Place> all_places(const BoxCorrelation& c) {
  std::vector<Place> places;
  for (int a = 0; a < c.row_classes; ++a) {
    for (int b = 0; b < c.column_classes; ++b) {
      const int rows = c.at_places ? c.rows[a].count : 1;
      const int columns = c.at_places ? c.columns[b].count : 1;
      for (int row = 0; row < rows; ++row) {
        for (int column = 0; column < columns; ++column) {
          places.push_back(place_of(c, a, b, row, column));
        }
      }
    }
  }
  std::stable_sort(places.begin(), places.end(), [](const Place& p, const Place& q) {
    return p.row_taps * p.column_taps > q.row_taps * q.column_taps;
  });
  return places;
}

/// Whether boxes in a row can be said: the windows of every class.
bool fits_windows(const TapAxis& axis, bool forward) {
  for (std::int64_t a = 0; a < classes_of(axis, forward); ++a) {
    const Run run = whole_class(axis, forward, a);
    const std::int64_t farthest = std::max<std::int64_t>(0, run.taps - 1) * run.tap_step;
    if (!fits_window(window_of(run), forward ? axis.in : axis.out, farthest)) {
      return false;
    }
  }
  return true;
}

}  // namespace

bool fits_boxes(const BoxRequest& request) {
  const Conv2dProblem& p = request.problem;
  constexpr std::int64_t kMost = std::int64_t{1} << 30;  // positions, units
  const bool forward = is_forward(request);
  if (request.pass == Conv2dPass::backward_filter || p.N == 0 || !cuda::has_narrow_extents(p) ||
      p.FH > 255 || p.FW > 255 || p.N * p.IH * p.IW > kMost || p.N * p.OH * p.OW > kMost ||
      classes_of(row_axis(p), forward) > kMostClasses ||
      classes_of(column_axis(p), forward) > kMostClasses) {
    return false;
  }
  const std::int64_t places = forward ? p.OH * p.OW : p.IH * p.IW;
  const std::int64_t channels = (forward ? p.OC : p.IC) / p.G;
  const std::int64_t side_by_side = ceil_div(channels, request.tile.rows) * p.G;
  return (p.N * places / request.tile.columns + kMostPlaces) * side_by_side <= kMost &&
         (!request.at_places || places <= kMostPlaces);
}

bool takes_boxes(const BoxRequest& request, int element_bytes) {
  const Conv2dProblem& p = request.problem;
  const std::int64_t unit = 16 / element_bytes;  // elements that the copy engine counts in
  if (!fits_boxes(request) || !p.is_aligned || p.x_pitch % unit != 0 || p.y_pitch % unit != 0 ||
      (p.IC / p.G) % unit != 0) {
    return false;
  }
  const bool forward = is_forward(request);
  const TapAxis rows = row_axis(p), columns = column_axis(p);
  const std::int64_t source = (forward ? p.IC : p.OC) / p.G;
  const std::int64_t target = (forward ? p.OC : p.IC) / p.G;
  if (p.G > 1 && (source % request.step != 0 || target % request.tile.rows != 0)) {
    return false;  // a box of channels would reach into the next group
  }
  if (classes_of(rows, forward) > kMostMappedClasses ||
      classes_of(columns, forward) > kMostMappedClasses) {
    return false;
  }
  return request.at_places || (fits_windows(rows, forward) && fits_windows(columns, forward));
}

PlannedBoxes plan_boxes(const BoxRequest& request) {
  const Conv2dProblem& p = request.problem;
  const bool forward = is_forward(request);
  PlannedBoxes planned;
  BoxCorrelation& c = planned.correlation;
  c.at_places = request.at_places;
  c.box = narrow(request.tile.columns / 2);
  c.images = narrow(p.N);
  c.row_classes = narrow(classes_of(row_axis(p), forward));
  c.column_classes = narrow(classes_of(column_axis(p), forward));
  for (int a = 0; a < c.row_classes; ++a) {
    c.rows[a] = whole_class(row_axis(p), forward, a);
  }
  for (int b = 0; b < c.column_classes; ++b) {
    c.columns[b] = whole_class(column_axis(p), forward, b);
  }
  c.source_width = narrow(forward ? p.IW : p.OW);
  c.source_height = narrow(forward ? p.IH : p.OH);
  c.target_width = narrow(forward ? p.OW : p.IW);
  c.target_height = narrow(forward ? p.OH : p.IH);
  c.source_pitch = forward ? p.x_pitch : p.y_pitch;
  c.target_pitch = forward ? p.y_pitch : p.x_pitch;
  c.groups = narrow(p.G);
  c.source_channels = narrow((forward ? p.IC : p.OC) / p.G);
  c.target_channels = narrow((forward ? p.OC : p.IC) / p.G);
  c.filter_taps = narrow(p.FH * p.FW);
  c.filter_width = narrow(p.FW);
  c.step = request.step;
  c.unit_channels = narrow(request.tile.rows);
  c.channel_units = c.groups * ceil_div(c.target_channels, c.unit_channels);
  for (Place place : all_places(c)) {
    const int units = ceil_div(positions_of(c, place), 2 * c.box) * c.channel_units;
    place.first_unit = c.units;
    c.place[c.places++] = place;
    c.units += units;
    planned.executed += std::int64_t{units} * steps_of(c, place) * c.step * request.tile.rows *
                        request.tile.columns;
  }
  c.units_each = units_of_each(c.place, c.places, c.units);
  return planned;
}

}  // namespace cks::kernels::hopper
