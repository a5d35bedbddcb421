// What the copy engine or threads and the tensor cores are told to do (hopper/boxes.h), done here
// one element after the other: every plan of boxes against the reference, exactly.
#include "cks/kernels/conv2d/hopper/boxes.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/kernels/conv2d/conv2d_harness.h"
#include "tests/support/sanitized.h"

namespace {

using cks::kernels::Conv2dPass;
using cks::kernels::Conv2dProblem;
using cks::kernels::Conv2dTile;
using namespace cks::kernels::hopper;
using namespace cks::testing;

/// A correlation of dense operands, as its units are walked.
class BoxWalk {
 public:
  BoxWalk(const BoxRequest& request, const Conv2dValues& values)
      : request_(request),
        planned_(plan_boxes(request)),
        c_(planned_.correlation),
        source_(request.pass == Conv2dPass::forward ? values.x : values.y),
        filter_(values.w),
        result_(static_cast<std::size_t>(c_.images) * c_.target_height * c_.target_width *
                static_cast<std::size_t>(c_.target_pitch)),
        written_(result_.size()) {}

  /// As blocks do that live for one unit each.
  void run_blocks() {
    for (int unit = 0; unit < c_.units; ++unit) {
      const Place& place = c_.place[group_of(c_.place, c_.places, unit)];
      run_unit(place, unit_of(c_, unit - place.first_unit));
    }
  }
  void run(int workers) {
    for (int worker = 0; worker < workers; ++worker) {
      for (auto walk = c_.walk(worker, workers); walk.next();) {
        run_unit(walk.group(), unit_of(c_, walk.index()));
      }
    }
  }

  const PlannedBoxes& planned() const { return planned_; }
  std::int64_t executed() const { return executed_; }
  bool wrote_once() const {
    return std::all_of(written_.begin(), written_.end(), [](int times) { return times == 1; });
  }
  const std::vector<double>& result() const { return result_; }

 private:
  void run_unit(const Place& place, const BoxUnit& unit) {
    executed_ += std::int64_t{steps_of(c_, place)} * c_.step * c_.unit_channels * 2 * c_.box;
    for (int position = unit.first; position < unit.first + 2 * c_.box; ++position) {
      for (int c = unit.channel; c < unit.channel + c_.unit_channels; ++c) {
        if (position < positions_of(c_, place) && c < (unit.group + 1) * c_.target_channels) {
          const Position where = position_of(c_, place, position);
          const auto to =
              static_cast<std::size_t>(pixel_of(c_, place, where) * c_.target_pitch + c);
          result_[to] += sum_of(place, where, c);
          ++written_[to];
        }
      }
    }
  }

  double sum_of(const Place& place, const Position& at, int channel) const {
    const Run& rows = c_.rows[place.row_class];
    const Run& columns = c_.columns[place.column_class];
    double sum = 0.0;
    for (int r = place.row_tap; r < place.row_tap + place.row_taps; ++r) {
      const int row = rows.source + at.row * rows.source_step + r * rows.tap_step;
      for (int q = place.column_tap; q < place.column_tap + place.column_taps; ++q) {
        const int column = columns.source + at.column * columns.source_step + q * columns.tap_step;
        if (row < 0 || row >= c_.source_height || column < 0 || column >= c_.source_width) {
          continue;  // the copy engine fills in zeros
        }
        const int tap = filter_tap_of(c_, place, r, q);
        const int group = channel / c_.target_channels;
        for (int k = 0; k < c_.source_channels; ++k) {
          const std::int64_t pixel =
              (std::int64_t{at.image} * c_.source_height + row) * c_.source_width + column;
          const std::int64_t from = pixel * c_.source_pitch + group * c_.source_channels + k;
          sum += source_[static_cast<std::size_t>(from)] * weight(channel, tap, group, k);
        }
      }
    }
    return sum;
  }

  double weight(int channel, int tap, int group, int k) const {
    const std::int64_t in = request_.problem.IC / request_.problem.G;
    const bool forward = request_.pass == Conv2dPass::forward;
    const std::int64_t oc = forward ? channel : std::int64_t{group} * c_.source_channels + k;
    const std::int64_t ic = forward ? k : channel % c_.target_channels;
    return filter_[static_cast<std::size_t>((oc * c_.filter_taps + tap) * in + ic)];
  }

  BoxRequest request_;
  PlannedBoxes planned_;
  const BoxCorrelation& c_;
  const std::vector<double>& source_;
  const std::vector<double>& filter_;
  std::vector<double> result_;
  std::vector<int> written_;
  std::int64_t executed_ = 0;
};

constexpr Conv2dTile kTiles[] = {{64, 128}, {256, 128}};

/// Walks the boxes of every third listed problem, of all tiles, at places and in a row, with
/// walk_all(walk) where they are taken: takes(request). Returns how many.
template <class Takes, class WalkAll>
int check_listed(bool in_eights, Takes&& takes, WalkAll&& walk_all) {
  Failures failures;
  int walks = 0;
  const auto check = [&](const WalkedProblem& one) {
    for (const Conv2dTile& tile : kTiles) {
      for (const bool at_places : {true, false}) {
        const BoxRequest request{one.problem, one.pass, tile, at_places, 64};
        if (!takes(request)) {
          continue;
        }
        BoxWalk walk(request, one.values);
        walk_all(walk);
        ++walks;
        const std::string where =
            one.name + ", " + name_of(one.pass) + (at_places ? " at places" : " in a row");
        if (!walk.wrote_once()) {
          failures.add(where, "an element is not written once");
        }
        if (walk.executed() != walk.planned().executed ||
            walk.executed() < exact_multiply_adds(one.problem)) {
          failures.add(where, "executed " + std::to_string(walk.executed()) + ", planned " +
                                  std::to_string(walk.planned().executed));
        }
        one.expect(walk.result(), where, failures);
      }
    }
  };
  each_walked_problem({.passes = {Conv2dPass::forward, Conv2dPass::backward_data},
                       .every = kSanitized ? 12 : 3,
                       .most_multiply_adds = 3'000'000,
                       .in_eights = in_eights},
                      check);
  MESSAGE(walks << " walks");
  return walks;
}

}  // namespace

TEST_CASE("boxes: every listed problem, at places and in a row, adds what the reference adds") {
  const auto takes = [](const BoxRequest& request) { return takes_boxes(request, 2); };
  CHECK(check_listed(true, takes, [](BoxWalk& walk) { walk.run(7); }) > (kSanitized ? 100 : 500));
}

TEST_CASE("boxes that threads copy: the same of any channels, groups and strides, block by block") {
  int groups = 0, classes = 0;
  const auto walk_all = [&](BoxWalk& walk) {
    walk.run_blocks();
    groups += walk.planned().correlation.groups > 1 ? 1 : 0;
    classes += walk.planned().correlation.row_classes > kMostMappedClasses ? 1 : 0;
  };
  CHECK(check_listed(false, fits_boxes, walk_all) > (kSanitized ? 200 : 1000));
  CHECK(groups > (kSanitized ? 20 : 100));
  CHECK(classes > (kSanitized ? 0 : 10));
}

TEST_CASE("boxes at places execute exactly V where batch and channels fill them") {
  const Conv2dProblem p = cks::kernels::make_conv2d_problem({.N = 128,
                                                             .IH = 4,
                                                             .IW = 5,
                                                             .IC = 64,
                                                             .OC = 128,
                                                             .FH = 3,
                                                             .FW = 3,
                                                             .stride = 2,
                                                             .padding = 1});
  for (const Conv2dPass pass : {Conv2dPass::forward, Conv2dPass::backward_data}) {
    const Conv2dTile tile{pass == Conv2dPass::forward ? 128 : 64, 128};
    const BoxRequest request{p, pass, tile, true, 64};
    REQUIRE(takes_boxes(request, 2));
    CHECK(plan_boxes(request).executed == exact_multiply_adds(p));
  }
}

TEST_CASE("workers share units evenly, those of most taps first") {
  const Conv2dProblem p = cks::kernels::make_conv2d_problem(
      {.N = 512, .IH = 4, .IW = 4, .IC = 512, .OC = 512, .FH = 3, .FW = 3, .padding = 1});
  const PlannedBoxes planned = plan_boxes({p, Conv2dPass::forward, {256, 128}, true, 64});
  // 4 places of 9 taps, 8 of 6, 4 of 4; 8 units each; 8 steps a tap; 66 clusters.
  CHECK(planned.correlation.units == 128);
  const auto steps = [&](const UnitWalk<Place>& walk) {
    return steps_of(planned.correlation, walk.group());
  };
  CHECK(longest_load(planned.correlation, 66, steps) == 13 * 8);
}

TEST_CASE("boxes are refused where the copy engine cannot say them") {
  const cks::kernels::Conv2dSizes sizes{
      .N = 64, .IH = 8, .IW = 8, .IC = 64, .OC = 64, .FH = 3, .FW = 3, .padding = 1};
  const auto takes = [](const Conv2dProblem& p, bool at_places) {
    return takes_boxes({p, Conv2dPass::forward, {64, 128}, at_places, 64}, 2);
  };
  Conv2dProblem p = cks::kernels::make_conv2d_problem(sizes);
  CHECK(takes(p, true));
  p.is_aligned = false;
  CHECK_FALSE(takes(p, true));
  p = cks::kernels::make_conv2d_problem(sizes);
  p.x_pitch = 68;  // 136 bytes
  CHECK_FALSE(takes(p, true));
  auto other = sizes;
  other.IH = other.IW = 17;  // 289 places
  CHECK_FALSE(takes(cks::kernels::make_conv2d_problem(other), true));
  CHECK(takes(cks::kernels::make_conv2d_problem(other), false));
  other = sizes;
  other.stride = 9;
  CHECK(takes(cks::kernels::make_conv2d_problem(other), true));
  CHECK_FALSE(takes(cks::kernels::make_conv2d_problem(other), false));
  other = sizes;
  other.groups = 2;  // 32 channels a group: a step of 64 would read the next one's
  CHECK_FALSE(takes(cks::kernels::make_conv2d_problem(other), true));
}
