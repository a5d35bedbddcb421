#include "cks/kernels/conv2d/cuda/regions.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include "cks/kernels/common/lists_impl.h"
#include "cks/kernels/conv2d/cuda/tiles.h"
#include "cks/kernels/conv2d/taps.h"

namespace cks::kernels::cuda {
namespace {

std::vector<Run> axis_runs(const TapAxis& axis, Conv2dPass pass) {
  constexpr auto kNoLimit = std::int64_t{1} << 30;
  const bool forward = pass == Conv2dPass::forward;
  std::vector<TapRun> room(static_cast<std::size_t>(forward ? axis.out : axis.in));
  std::vector<std::int64_t> tap_of_slot(static_cast<std::size_t>(axis.filter));
  std::iota(tap_of_slot.begin(), tap_of_slot.end(), 0);
  if (!forward) {
    deconv_slots(axis, tap_of_slot.data());
  }
  const std::int64_t tap_step = forward ? 1 : -residue_class(axis, 0).tap_step;
  const auto cut_axis = forward ? forward_runs : deconv_runs;
  return mapped(cut_axis(axis, kNoLimit, room.data()), [&](const TapRun& run) -> Run {
    const std::int64_t tap = run.taps == 0 ? 0 : tap_of_slot[static_cast<std::size_t>(run.slot)];
    return {
        narrow(run.target),  narrow(run.target_step), narrow(run.count),  narrow(run.taps),
        narrow(tap),         narrow(tap_step),        narrow(run.source), narrow(run.source_step),
        narrow(run.tap_step)};
  });
}

}  // namespace

bool has_narrow_extents(const Conv2dProblem& p) {
  constexpr auto kMost = std::int64_t{1} << 24;  // extents that 32-bit runs hold with room
  const std::int64_t extents[] = {p.N,  p.IH, p.IW, p.OH, p.OW, p.IC, p.OC, p.FH, p.FW,
                                  p.pt, p.pb, p.pl, p.pr, p.sh, p.sw, p.dh, p.dw};
  constexpr auto kMostPixels = std::int64_t{1} << 31;
  return p.G <= 65535 && !any_of(extents, [](std::int64_t extent) { return extent > kMost; }) &&
         p.IH * p.IW < kMostPixels && p.OH * p.OW < kMostPixels;
}

bool takes_correlation(const Conv2dProblem& p, Conv2dPass pass) {
  if (!has_narrow_extents(p)) {
    return false;
  }
  const std::size_t rows = axis_runs(row_axis(p), pass).size();
  const std::size_t columns = axis_runs(column_axis(p), pass).size();
  return rows <= kMaxRuns && columns <= kMaxRuns && rows * columns <= kMaxPairs;
}

PlannedCorrelation plan_correlation(const Conv2dProblem& problem, Conv2dPass pass,
                                    const Conv2dTile& tile) {
  const bool forward = pass == Conv2dPass::forward;
  const Conv2dProblem& q = problem;
  PlannedCorrelation result;
  Correlation& p = result.correlation;
  const std::int64_t filter_taps = q.FH * q.FW * (q.IC / q.G);
  p.source_pixel = forward ? q.x_pitch : q.y_pitch;
  p.source_row = p.source_pixel * (forward ? q.IW : q.OW);
  p.source_image = p.source_row * (forward ? q.IH : q.OH);
  p.target_pixel = forward ? q.y_pitch : q.x_pitch;
  p.target_row = p.target_pixel * (forward ? q.OW : q.IW);
  p.target_image = p.target_row * (forward ? q.OH : q.IH);
  p.filter_target = forward ? filter_taps : 1;
  p.filter_source = forward ? 1 : filter_taps;
  p.filter_column = q.IC / q.G;
  p.filter_row = q.FW * p.filter_column;
  p.filter_group = q.OC / q.G * filter_taps;
  p.images = static_cast<int>(q.N);
  p.source_channels = static_cast<int>((forward ? q.IC : q.OC) / q.G);
  p.target_channels = static_cast<int>((forward ? q.OC : q.IC) / q.G);
  // Pays while the channels of one tap leave most of a 16-deep stage empty.
  p.merge_columns = forward && q.G == 1 && q.dw == 1 && q.x_pitch == q.IC && q.IC < 16 ? 1 : 0;
  const std::vector<Run> rows = axis_runs(row_axis(q), pass);
  const std::vector<Run> columns = axis_runs(column_axis(q), pass);
  std::copy(rows.begin(), rows.end(), p.rows);
  std::copy(columns.begin(), columns.end(), p.columns);
  // Pairs with most taps first.
  std::vector<std::array<int, 3>> order;  // taps, row run, column run
  for (int r = 0; r < static_cast<int>(rows.size()); ++r) {
    for (int c = 0; c < static_cast<int>(columns.size()); ++c) {
      order.push_back({rows[r].taps * columns[c].taps, r, c});
    }
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a[0] > b[0]; });
  std::int64_t tiles = 0;
  std::int64_t executed = 0;
  for (const auto& [taps, r, c] : order) {
    p.pair[p.pairs++] = {static_cast<short>(r), static_cast<short>(c), static_cast<int>(tiles)};
    const std::int64_t positions = q.N * rows[r].count * columns[c].count;
    tiles += ceil_div(positions, tile.rows);
    executed += positions * taps * p.source_channels * p.target_channels *
                q.G;  // m*k*n of this pair's GEMM
  }
  p.pair[p.pairs].first_tile = static_cast<int>(tiles);
  p.channel_tiles = static_cast<int>(ceil_div(p.target_channels, tile.columns));
  result.tiles = static_cast<int>(tiles);
  result.executed = executed;
  return result;
}

std::size_t thin_shared_bytes(const Conv2dProblem& q, Conv2dPass pass, const Conv2dTile& tile) {
  const std::int64_t channels = (pass == Conv2dPass::forward ? q.IC : q.OC) / q.G;
  return static_cast<std::size_t>(q.FH * q.FW * channels * tile.columns) * sizeof(float);
}

Correlation with_operands(const Correlation& planned, const Conv2dOperands& operands,
                          bool forward) {
  Correlation p = planned;
  p.source = static_cast<const float*>(forward ? operands.x : operands.y);
  p.filter = static_cast<const float*>(operands.w);
  p.epilogue = TypedEpilogue<float>(operands.epilogue);
  p.target = static_cast<float*>(operands.result);
  return p;
}

bool takes_vectors(const Conv2dProblem& q, const Correlation& p) {
  const auto aligned = [](const void* pointer) {
    return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0;
  };
  return p.source_channels % 4 == 0 && p.target_channels % 4 == 0 && q.x_pitch % 4 == 0 &&
         q.y_pitch % 4 == 0 && aligned(p.source) && aligned(p.filter) && aligned(p.target);
}

}  // namespace cks::kernels::cuda
