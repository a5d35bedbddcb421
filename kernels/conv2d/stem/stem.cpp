#include "cks/kernels/conv2d/stem/stem.h"

#include <algorithm>

#include "cks/kernels/conv2d/cuda/regions.h"
#include "cks/kernels/conv2d/hopper/plane_products.h"

namespace cks::kernels::stem {
namespace {

constexpr std::int64_t kWord = 4;  // bytes; two bfloat16
/// Of `stem`: one is filled while the other is read.
constexpr int kStrips = 2;
/// What a position costs, in staged elements.
constexpr std::int64_t kPositionCost = 30;
constexpr std::int64_t kMostTiles = std::int64_t{1} << 30;

bool takes(const Conv2dProblem& p, Arithmetic arithmetic, DType filter) {
  const DType type = arithmetic == Arithmetic::bf16 ? DType::bfloat16 : DType::float32;
  constexpr auto kMost = std::int64_t{1} << 30;
  return p.x_type == type && p.y_type == type && p.w_type == filter && p.G == 1 &&
         p.IC <= kMostChannels && p.FH * p.FW * p.IC <= kMostTerms && cuda::has_narrow_extents(p) &&
         p.OC <= std::int64_t{65535} * 32 && p.OH * p.sh + p.FH * p.dh < kMost &&
         p.OW * p.sw + p.FW * p.dw < kMost && p.pt < kMost && p.pl < kMost;
}

std::int64_t source_extent(std::int64_t outputs, std::int64_t stride, std::int64_t filter,
                           std::int64_t dilation) {
  return (outputs - 1) * stride + (filter - 1) * dilation + 1;
}

/// The tiles that stage least for the positions they compute, of those whose strip has room. lay(t)
/// completes how a strip lies and returns the bytes of all that a block shares.
template <class Lay>
std::optional<StemTiles> best_tiles(const Conv2dProblem& p, int column_step, Lay&& lay) {
  std::optional<StemTiles> best;
  std::int64_t least = 0;
  const std::int64_t most_columns = std::min<std::int64_t>(kPositions, round_up(p.OW, column_step));
  for (std::int64_t columns = column_step; columns <= most_columns; columns += column_step) {
    const std::int64_t down = ceil_div(p.OH, std::min(p.OH, kPositions / columns));
    const std::int64_t rows = ceil_div(p.OH, down);
    const bool whole = columns >= p.OW && down == 1;
    const std::int64_t images =
        whole ? std::clamp<std::int64_t>(p.N, 1, kPositions / (columns * rows)) : 1;
    const std::int64_t across = ceil_div(p.OW, columns);
    const std::int64_t count = across * down * ceil_div(p.N, images);
    const std::int64_t source_columns = source_extent(columns, p.sw, p.FW, p.dw);
    const std::int64_t source_rows = source_extent(rows, p.sh, p.FH, p.dh);
    if (count > kMostTiles || images * source_rows > kMostShared || source_columns > kMostShared) {
      continue;
    }
    StemTiles t{};
    t.columns = narrow(columns);
    t.rows = narrow(rows);
    t.images = narrow(images);
    t.across = narrow(across);
    t.down = narrow(down);
    t.count = narrow(count);
    t.source_columns = narrow(source_columns);
    t.source_rows = narrow(source_rows);
    if (lay(t) > kMostShared) {
      continue;
    }
    const std::int64_t cost =
        count * (kPositions * kPositionCost + images * source_rows * t.row_elements * t.copies);
    if (!best || cost < least) {
      best = t;
      least = cost;
    }
  }
  return best;
}

/// Words of a plane's copy; the second begins 16 banks on. Returns the bytes of so many strips.
std::int64_t lay_copies(StemTiles& t, int planes, int strips) {
  const std::int64_t elements = std::int64_t{t.images} * t.source_rows * t.row_pitch;
  const std::int64_t words = round_up(ceil_div(elements, 2), 32) + (t.copies == 2 ? 16 : 0);
  if (words > kMostShared) {
    return words;
  }
  t.copy_words = narrow(words);
  return std::int64_t{strips} * planes * t.copies * words * kWord;
}

}  // namespace

std::optional<StemShape> stem_shape(const Conv2dProblem& p, Arithmetic arithmetic,
                                    std::int64_t columns) {
  if (!takes(p, arithmetic, p.x_type)) {
    return std::nullopt;
  }
  const bool dense = p.dw == 1;
  StemShape s{};
  s.planes = hopper::planes_of(arithmetic);
  s.columns = narrow(columns);
  s.channel_tiles = narrow(ceil_div(p.OC, columns));
  s.run_length = narrow(dense ? p.FW * p.IC : p.IC);
  s.run_pairs = narrow(ceil_div(s.run_length, 2));
  s.runs = narrow(dense ? p.FH : p.FH * p.FW);
  s.steps = narrow(ceil_div(2 * s.runs * s.run_pairs, kTermsOfStep));
  s.filter_words = narrow(s.steps * columns * kTermsOfStep / 2);
  const std::int64_t fixed = std::int64_t{s.planes} * s.filter_words * kWord +
                             std::int64_t{s.steps} * kTermsOfStep * kWord + 3 * columns * kWord;
  // Taps that lie apart begin at even elements of pixels that are padded to such.
  const std::int64_t held = dense ? p.IC : round_up(p.IC, 2);
  const auto tiles = best_tiles(p, 1, [&](StemTiles& t) {
    t.held_channels = narrow(held);
    t.row_elements = t.row_pitch = narrow(round_up(t.source_columns * held, 2));
    t.copies = p.sw * held % 2 == 0 || t.columns == 1 ? 1 : 2;
    return fixed + lay_copies(t, s.planes, kStrips);
  });
  if (!tiles) {
    return std::nullopt;
  }
  s.tiles = *tiles;
  s.shared_bytes = narrow(fixed + lay_copies(s.tiles, s.planes, kStrips));
  return s;
}

std::optional<StemTapsShape> stem_taps_shape(const Conv2dProblem& p, Arithmetic arithmetic) {
  if (!takes(p, arithmetic, DType::float32)) {
    return std::nullopt;
  }
  StemTapsShape s{};
  s.planes = hopper::planes_of(arithmetic);
  s.terms = narrow(p.FH * p.FW * p.IC);
  const int wanted = narrow(ceil_div(s.terms, 8 * (kGradientWarps / 2)));
  s.term_tiles = wanted <= 1 ? 1 : wanted <= 5 ? 5 : 8;
  s.channel_tiles = narrow(ceil_div(p.OC, kGradientChannels));
  const int buffers = gradient_buffers(s.planes);
  // Tables of pairs of positions, tiles of dY.
  const std::int64_t fixed =
      std::int64_t{buffers} * kPositions * (kWord + std::int64_t{s.planes} * kGradientChannels * 2);
  // Planes of columns begin 4 banks apart, since lanes read 4 words of each.
  const auto phase_pitch = [&](const StemTiles& t) {
    const std::int64_t words = ceil_div(ceil_div(t.source_columns, p.sw), 2);
    return 2 * (round_up(std::max<std::int64_t>(0, words - 4), 8) + 4);
  };
  const auto tiles = best_tiles(p, 2, [&](StemTiles& t) -> std::int64_t {
    const std::int64_t row = p.IC * p.sw * phase_pitch(t);
    if (row > kMostShared) {
      return row;
    }
    t.held_channels = narrow(p.IC);
    t.row_elements = narrow(t.source_columns * p.IC);
    t.row_pitch = narrow(row);
    t.copies = (p.FW - 1) * p.dw >= p.sw ? 2 : 1;
    return fixed + lay_copies(t, s.planes, buffers);
  });
  if (!tiles) {
    return std::nullopt;
  }
  s.tiles = *tiles;
  s.phase_pitch = narrow(phase_pitch(s.tiles));
  s.shared_bytes = narrow(fixed + lay_copies(s.tiles, s.planes, buffers));
  return s;
}

std::int64_t executed_of(const StemShape& s) {
  return std::int64_t{s.tiles.count} * kPositions * s.channel_tiles * s.columns * s.steps *
         kTermsOfStep;
}

std::int64_t executed_of(const StemTapsShape& s) {
  return std::int64_t{s.tiles.count} * kPositions * s.channel_tiles * kGradientChannels *
         s.term_tiles * 8 * (kGradientWarps / 2);
}

}  // namespace cks::kernels::stem
