#pragma once
#include <cstdint>
#include <optional>

#include "cks/kernels/common/host_device.h"
#include "cks/kernels/common/math.h"
#include "cks/kernels/conv2d/kernel.h"

/// First layers: so few input channels that a tap is too short for a product, so the terms of the
/// sums are all taps and channels together. A block stages the pixels that a tile of 128 positions
/// meets in shared memory, as bfloat16 with zeros outside the image ("the strip"), and reads the
/// operands of its products from there: the matrix of patches is never built. Plain data and pure
/// functions, for the selector too.
///
/// A strip must give two elements that a product wants side by side in one read of 4 bytes. Where
/// they begin at an odd element, a second copy of the strip, shifted by one element, has them.
namespace cks::kernels::stem {

inline constexpr int kPositions = 128;  // of a tile
inline constexpr int kMostChannels = 8;
inline constexpr int kMostTerms = 256;
inline constexpr int kMostShared = 96 * 1024;  // bytes of a block: what compute capability 8.6 has
inline constexpr int kTermsOfStep = 16;        // of the sums, that one product adds

/// Positions of a tile, columns first, then rows, then images; the strip below them.
struct StemTiles {
  int columns, rows, images;
  int across, down, count;          // tiles of an image's width and height, and of all
  int source_columns, source_rows;  // pixels of an image that a tile meets
  int held_channels;                // elements of a staged pixel
  int row_elements;                 // staged of a row; a strip has images * source_rows rows
  int copies, copy_words;           // copies of a plane of the strip, and their words of 4 bytes
  int row_pitch;                    // elements from one row of the strip to the next
};

/// Forward: the strip lies as the image does, so that the neighbours in a patch are neighbours. A
/// run is what lies without a gap: a row of the filter, or, dilated, a tap.
struct StemShape {
  StemTiles tiles;
  int columns;  // channels of a product
  int channel_tiles;
  int run_length, run_pairs, runs, steps;  // of terms; terms in pairs; a step is kTermsOfStep
  int filter_words, shared_bytes;
  int planes;
};
/// None if the kernel `stem` does not take the problem with that many channels a tile.
std::optional<StemShape> stem_shape(const Conv2dProblem& problem, Arithmetic arithmetic,
                                    std::int64_t columns);

inline constexpr int kGradientChannels = 64;  // of a tile
inline constexpr int kGradientWarps = 8;      // two times 32 channels x four parts of the terms

/// Tiles that a block has in shared memory: planes leave room for one alone.
constexpr CKS_HOST_DEVICE int gradient_buffers(int planes) { return planes == 1 ? 2 : 1; }
/// Blocks that find registers on a multiprocessor.
constexpr CKS_HOST_DEVICE int gradient_blocks(int planes, int term_tiles) {
  return term_tiles == 1 || (planes == 1 && term_tiles < 8) ? 2 : 1;
}

/// Filter gradient: the sums run over positions, so neighbouring positions are neighbours in the
/// strip: pixels [row][channel][column % sw][column / sw].
struct StemTapsShape {
  StemTiles tiles;
  int phase_pitch;        // elements from one [column % sw] to the next
  int terms, term_tiles;  // tiles of 8 terms that a warp owns
  int channel_tiles;
  int planes, shared_bytes;
};
std::optional<StemTapsShape> stem_taps_shape(const Conv2dProblem& problem, Arithmetic arithmetic);

/// Multiply-adds issued, those of terms, channels and positions that do not exist included.
std::int64_t executed_of(const StemShape& shape);
std::int64_t executed_of(const StemTapsShape& shape);

// --- Where operands lie, for the kernels and their test ------------------------------------------

/// A position of a tile, packed, since it is the same for all tiles; none: beyond its last.
struct Place {
  int n, oh, ow;
};
inline constexpr int kNoPlace = -1;
CKS_HOST_DEVICE inline int place_of(const StemTiles& t, int position) {
  const int line = position / t.columns;
  const int image = line / t.rows;
  return image < t.images
             ? image << 16 | (line - image * t.rows) << 8 | (position - line * t.columns)
             : kNoPlace;
}
CKS_HOST_DEVICE inline Place unpacked(int place) {
  return {place >> 16, place >> 8 & 0xff, place & 0xff};
}

/// Words from a strip's start to the pair that begins at an element, if that is even or copied.
CKS_HOST_DEVICE inline int pair_at(const StemTiles& t, int element) {
  return element / 2 + element % 2 * t.copy_words;
}

/// Forward: where a patch begins, and where it has a pair of terms: words, and which halves count.
CKS_HOST_DEVICE inline int patch_element(const StemTiles& t, const Conv2dProblem& p, Place at) {
  return (at.n * t.source_rows + at.oh * narrow(p.sh)) * t.row_pitch +
         at.ow * narrow(p.sw) * t.held_channels;
}
struct TermPair {
  int words;
  std::uint32_t mask;
};
CKS_HOST_DEVICE inline TermPair term_pair(const StemShape& s, const Conv2dProblem& p, int pair) {
  const int run = pair / s.run_pairs, term = 2 * (pair - run * s.run_pairs);
  if (run >= s.runs) {
    return {0, 0};
  }
  const int taps = s.runs / narrow(p.FH);  // runs of a row of the filter
  const int fh = run / taps, fw = run - fh * taps;
  const int element =
      fh * narrow(p.dh) * s.tiles.row_pitch + fw * narrow(p.dw) * s.tiles.held_channels + term;
  return {element / 2, term + 1 < s.run_length ? 0xffffffffU : 0x0000ffffU};
}

/// Gradient: the element of the strip's pixel (row, column, channel); how far that of a position
/// lies behind that of the first, and that of a term.
CKS_HOST_DEVICE inline int phase_element(const StemTapsShape& s, int stride, int row, int column,
                                         int channel) {
  return row * s.tiles.row_pitch + (channel * stride + column % stride) * s.phase_pitch +
         column / stride;
}
CKS_HOST_DEVICE inline int position_element(const StemTiles& t, const Conv2dProblem& p, Place at) {
  return (at.n * t.source_rows + at.oh * narrow(p.sh)) * t.row_pitch + at.ow;
}
CKS_HOST_DEVICE inline int term_words(const StemTapsShape& s, const Conv2dProblem& p, int term) {
  const int tap = term / narrow(p.IC), fh = tap / narrow(p.FW);
  return pair_at(
      s.tiles, phase_element(s, narrow(p.sw), fh * narrow(p.dh),
                             (tap - fh * narrow(p.FW)) * narrow(p.dw), term - tap * narrow(p.IC)));
}

}  // namespace cks::kernels::stem
