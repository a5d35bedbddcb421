#include "cks/kernels/conv2d/cuda/band.h"

#include <algorithm>

#include "cks/kernels/conv2d/cuda/regions.h"
#include "cks/kernels/conv2d/taps.h"

namespace cks::kernels::cuda {
namespace {

constexpr std::int64_t kWarp = 32;
constexpr std::int64_t kQuad = 4;
/// Bands in all that give every multiprocessor of a large GPU two.
constexpr std::int64_t kBusyBands = 256;
/// Threads in all that keep a large GPU busy; with fewer, more threads share a sum.
constexpr std::int64_t kBusyThreads = std::int64_t{132} * 512;

}  // namespace

BandShape band_shape(const Conv2dProblem& p, Conv2dPass pass, const Conv2dTile& tile) {
  const std::int64_t positions = tile.rows;
  const std::int64_t channels = tile.columns;
  const bool forward = pass == Conv2dPass::forward;
  BandShape s{};
  s.source.image_h = narrow(forward ? p.IH : p.OH);
  s.source.image_w = narrow(forward ? p.IW : p.OW);
  s.source.channels = narrow(forward ? p.IC : p.OC);
  s.source.pad_h = narrow(forward ? p.pt : p.FH - 1 - p.pt);
  s.source.pad_w = narrow(forward ? p.pl : p.FW - 1 - p.pl);
  s.target_h = narrow(forward ? p.OH : p.IH);
  s.target_w = narrow(forward ? p.OW : p.IW);
  s.target_channels = narrow(forward ? p.OC : p.IC);
  s.filter_h = narrow(p.FH);
  s.filter_w = narrow(p.FW);
  s.positions = narrow(positions);
  s.channels_each = narrow(channels);
  s.channel_groups = narrow(ceil_div(s.target_channels, channels));
  s.column_groups = narrow(ceil_div(s.target_w, positions));
  const std::int64_t columns = std::int64_t{s.column_groups} * positions + p.FW - 1;
  s.source.pitch = narrow(round_up(columns, kQuad));
  // Lanes lie in quads, so that each group's filter values begin at a multiple of 8 bytes.
  const std::int64_t filter_floats =
      p.FH * p.FW * s.source.channels * round_up(s.channel_groups * channels, kQuad);
  s.filter_floats = static_cast<std::size_t>(filter_floats);
  const std::int64_t across = std::int64_t{s.column_groups} * s.channel_groups;
  const auto floats_of = [&](std::int64_t rows) {
    return filter_floats + (rows + p.FH - 1) * s.source.pitch * s.source.channels;
  };
  constexpr auto kFloats = static_cast<std::int64_t>(kBandSharedBytes / sizeof(float));
  std::int64_t rows = s.target_h;
  while (rows > 1 && (floats_of(rows) > kFloats || rows * across > kBandThreads)) {
    rows = ceil_div(rows, 2);
  }
  s.band_rows = narrow(rows);
  s.bands = narrow(ceil_div(s.target_h, rows));
  s.source.rows = narrow(rows + p.FH - 1);
  s.source.plane = s.source.rows * s.source.pitch;
  const std::int64_t owners = rows * across;
  std::int64_t shares = 1;
  const auto sums = [&](std::int64_t count) { return (count - 1) * owners * positions * channels; };
  while (shares * 2 <= s.source.channels && owners * shares * 2 <= kBandThreads &&
         p.N * s.bands * owners * shares < kBusyThreads && sums(shares * 2) <= kFloats) {
    shares *= 2;
  }
  s.shares = narrow(shares);
  s.threads = narrow(round_up(owners * shares, kWarp));
  s.shared_bytes =
      static_cast<std::size_t>(std::max(floats_of(rows), sums(shares))) * sizeof(float);
  return s;
}

BandTapsShape band_taps_shape(const Conv2dProblem& p, const Conv2dTile& tile) {
  const std::int64_t channels = tile.columns;
  BandTapsShape s{};
  s.source.image_h = narrow(p.IH);
  s.source.image_w = narrow(p.IW);
  s.source.channels = narrow(p.IC);
  s.source.pad_h = narrow(p.pt);
  s.source.pad_w = narrow(p.pl);
  s.out_h = narrow(p.OH);
  s.out_w = narrow(p.OW);
  s.out_channels = narrow(p.OC);
  s.filter_h = narrow(p.FH);
  s.filter_w = narrow(p.FW);
  s.channels_each = narrow(channels);
  s.channel_groups = narrow(ceil_div(p.OC, channels));
  s.y_columns = narrow(round_up(p.OW, kQuad));
  s.y_pitch = narrow(round_up(s.channel_groups * channels, kQuad));
  // The last quad of columns reads a quad of new values beyond its own.
  // An odd number of quads spreads the rows of a column over the banks.
  s.source.pitch = narrow(round_up(s.y_columns + p.FW - 1, kQuad) / kQuad | 1) * narrow(kQuad);
  const std::int64_t owners = p.FH * p.IC * s.channel_groups;
  const auto floats_of = [&](std::int64_t rows) {
    return (rows + p.FH - 1) * s.source.pitch * p.IC + rows * s.y_columns * s.y_pitch;
  };
  const auto shares_of = [&](std::int64_t rows) {
    return std::clamp<std::int64_t>(kBandThreads / std::max<std::int64_t>(1, owners), 1, rows);
  };
  const auto sums_of = [&](std::int64_t rows) {
    return shares_of(rows) * p.FH * p.FW * p.IC * s.y_pitch;
  };
  constexpr auto kFloats = static_cast<std::int64_t>(kBandSharedBytes / sizeof(float));
  std::int64_t rows = p.OH;
  while (rows > 1 && (floats_of(rows) > kFloats || sums_of(rows) > kFloats ||
                      p.N * ceil_div(p.OH, rows) < kBusyBands)) {
    rows = ceil_div(rows, 2);
  }
  s.band_rows = narrow(rows);
  s.bands = narrow(ceil_div(p.OH, rows));
  s.source.rows = narrow(rows + p.FH - 1);
  s.source.plane = s.source.rows * s.source.pitch;
  s.shares = narrow(shares_of(rows));
  s.threads = narrow(round_up(owners * s.shares, kWarp));
  s.shared_bytes =
      static_cast<std::size_t>(std::max(floats_of(rows), sums_of(rows))) * sizeof(float);
  return s;
}

bool takes_bands(const Conv2dProblem& p, Conv2dPass pass, const Conv2dTile& tile) {
  constexpr std::int64_t kMostChannels = 512;
  constexpr std::int64_t kMostRow = 4096;
  const bool simple = p.G == 1 && p.sh == 1 && p.sw == 1 && p.dh == 1 && p.dw == 1 && p.N >= 1 &&
                      (p.FW == 3 || p.FW == 5) && p.FH <= 16 && has_narrow_extents(p);
  const bool small = p.IC <= kMostChannels && p.OC <= kMostChannels && p.IW <= kMostRow &&
                     p.OW <= kMostRow && std::max(p.pl, p.pr) <= kMostRow &&
                     p.N * std::max(p.IH, p.OH) < (std::int64_t{1} << 31);
  if (!simple || !small || !has_type(p, DType::float32)) {
    return false;
  }
  const auto fits = [](const auto& shape) {
    return shape.threads <= 2 * kBandThreads && shape.shared_bytes <= kBandSharedBytes;
  };
  return pass == Conv2dPass::backward_filter
             ? has_tile(kBandTaps, tile) && tile.rows == p.FW && fits(band_taps_shape(p, tile))
             : has_tile(kBand, tile) && fits(band_shape(p, pass, tile));
}

std::int64_t band_multiply_adds(const Conv2dProblem& p, Conv2dPass pass) {
  const std::int64_t columns = pass == Conv2dPass::backward_data ? p.IW : p.OW;
  return p.N * valid_pairs(row_axis(p)) * columns * p.FW * p.IC * p.OC;
}

}  // namespace cks::kernels::cuda
