#pragma once
#include <cstdint>
#include <type_traits>

#include "cks/kernels/common/activation.h"
#include "cks/kernels/common/simd.h"
#include "cks/kernels/conv2d/cpu/layout.h"

/// The two register tiles under all three methods, on the vector extensions of GCC and Clang.
///
///   correlation tile    acc[r][v] += row_r[k] * panel[k][v]: rows are positions, v runs over
///   result
///                  channels, k over the channels of every live tap (ConvV2, KS-deconv);
///   gradient tile  acc[r][v] += row_p[r] * vector_p[v]: p runs over positions, both operands are
///                  read where they lie (Sk-dilated).
///
/// The accumulators stay in registers over the whole sum. In depthwise tiles a row holds a vector
/// of channels instead of one value that is broadcast.
namespace cks::kernels::CKS_CPU {

/// NV vectors of S side by side, of which the last holds `last` channels; the others are full.
template <class S, int NV>
struct VectorAccess {
  using T = typename S::T;
  std::int64_t last;

  typename S::Vec load(const T* from, int v) const {
    return v < NV - 1 ? S::load(from + v * S::width) : S::load_part(from + v * S::width, last);
  }
  void store(T* to, int v, typename S::Vec value) const {
    if (v < NV - 1) {
      S::store(to + v * S::width, value);
    } else {
      S::store_part(to + v * S::width, value, last);
    }
  }
};

/// The same where both operands of a product come from memory, so that lanes that two vectors share
/// do no harm: the last vector begins early enough to be full, which costs less than reading a part
/// of one without a mask.
template <class S, int NV>
struct OverlappingAccess {
  using T = typename S::T;
  std::int64_t last;

  std::int64_t lane(int v) const { return v < NV - 1 ? v * S::width : (NV - 2) * S::width + last; }
  typename S::Vec load(const T* from, int v) const { return S::load(from + lane(v)); }
  void store(T* to, int v, typename S::Vec value) const { S::store(to + lane(v), value); }
};

/// Most rows of the two tiles with NV vectors of S a row.
template <class S, int NV>
inline constexpr int kCorrelationRows =
    static_cast<int>(tile_rows(Conv2dPass::forward, kSimdBytes, NV* S::width,
                               kSimdBytes / static_cast<int>(sizeof(typename S::T))));
template <class S, int NV>
inline constexpr int kGradientRows =
    static_cast<int>(tile_rows(Conv2dPass::backward_filter, kSimdBytes, NV* S::width,
                               kSimdBytes / static_cast<int>(sizeof(typename S::T))));

/// What a correlation tile sums over: row_taps x column_taps live taps, `length` values each. Tap
/// (i,j) lies at i*row_step + j*column_step from a row's pointer and at i*panel_row +
/// j*panel_column in the packed panel, whose entry k is a block of channels.
struct TapBox {
  std::int64_t row_taps, column_taps, length;
  std::int64_t row_step, column_step;
  std::int64_t panel_row, panel_column;
};

/// The same terms one by one. Short sums run along such a list: a single loop, whose end
/// is foreseen, instead of many loops of a few rounds.
struct TermList {
  static constexpr std::int64_t kMost = 256;
  struct Term {
    std::int64_t row, panel;
  };
  std::int64_t count = 0;  // 0: too long for a list
  Term at[kMost];

  TermList(const TapBox& box, std::int64_t width) {
    if (box.row_taps * box.column_taps * box.length > kMost) {
      return;
    }
    for (std::int64_t i = 0; i < box.row_taps; ++i) {
      for (std::int64_t j = 0; j < box.column_taps; ++j) {
        for (std::int64_t k = 0; k < box.length; ++k) {
          at[count++] = {i * box.row_step + j * box.column_step + k,
                         i * box.panel_row + j * box.panel_column + k * width};
        }
      }
    }
  }
};

/// One correlation tile: MR positions, NV vectors of channels. rows[r] points at position r's first
/// live tap, results[r] at its first lane. bias (or null) starts every sum, an activation of that
/// slope ends it.
template <class S, int MR, int NV, bool Depthwise>
void correlation_tile(const TapBox& box, const TermList& terms, const typename S::T* const* rows,
                      const typename S::T* panel, const typename S::T* bias, typename S::T slope,
                      std::int64_t last_channels, typename S::T* const* results) {
  using T = typename S::T;
  using Vec = typename S::Vec;
  const VectorAccess<S, NV> access{last_channels};
  Vec sum[MR][NV];
  for (int v = 0; v < NV; ++v) {
    const Vec start = bias == nullptr ? Vec{} : access.load(bias, v);
#pragma GCC unroll 16
    for (int r = 0; r < MR; ++r) {
      sum[r][v] = start;
    }
  }
  const auto add_term = [&](std::int64_t k, const T* weights) __attribute__((always_inline)) {
    Vec factor[NV];
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      factor[v] = S::load(weights + v * S::width);
    }
#pragma GCC unroll 16
    for (int r = 0; r < MR; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        if constexpr (Depthwise) {
          sum[r][v] += access.load(rows[r] + k, v) * factor[v];
        } else {
          sum[r][v] += rows[r][k] * factor[v];
        }
      }
    }
  };
  if (terms.count > 0) {
    const TermList::Term* const end = terms.at + terms.count;
    for (const TermList::Term* term = terms.at; term != end; ++term) {
      add_term(term->row, panel + term->panel);
    }
  } else {
    for (std::int64_t i = 0; i < box.row_taps; ++i) {
      for (std::int64_t j = 0; j < box.column_taps; ++j) {
        const std::int64_t begin = i * box.row_step + j * box.column_step;
        const T* weights = panel + i * box.panel_row + j * box.panel_column;
        for (std::int64_t k = begin; k < begin + box.length; ++k, weights += NV * S::width) {
          add_term(k, weights);
        }
      }
    }
  }
  if (slope != T{1}) {
#pragma GCC unroll 16
    for (int r = 0; r < MR; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        sum[r][v] = activated(sum[r][v], slope);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < MR; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      access.store(results[r], v, sum[r][v]);
    }
  }
}

/// Where one position lies in the two operands of a gradient tile.
struct PositionOffsets {
  std::int64_t row, lane;
};

/// The positions that a gradient tile sums over. They are listed one by one, so that the loop is
/// as fast for rectangles of three columns as for long rows.
struct PositionList {
  static constexpr std::int64_t kMost = 512;
  std::int64_t count = 0;
  PositionOffsets at[kMost];
};

/// One gradient tile: adds the sum over positions of row operand (MR values at row_offsets) times
/// lane operand (NV vectors) to partial sums; row r of them starts at sums + sum_offsets[r].
template <class S, int MR, int NV, bool Depthwise>
void gradient_tile(const PositionList& positions, const typename S::T* rows,
                   const std::int64_t* row_offsets, const typename S::T* vectors,
                   std::int64_t last_channels, typename S::T* sums,
                   const std::int64_t* sum_offsets) {
  using T = typename S::T;
  using Vec = typename S::Vec;
  const T* row[MR];  // a position is an index to all of them, which no instruction has to add
#pragma GCC unroll 16
  for (int r = 0; r < MR; ++r) {
    row[r] = rows + row_offsets[r];
  }
  using Access =
      std::conditional_t<S::masked || NV == 1, VectorAccess<S, NV>, OverlappingAccess<S, NV>>;
  Vec sum[MR][NV] = {};
  const auto add = [&](const Access& in) __attribute__((always_inline)) {
    const PositionOffsets* const end = positions.at + positions.count;
    for (const PositionOffsets* at = positions.at; at != end; ++at) {
      const std::int64_t position = at->row;
      const T* const lane = vectors + at->lane;
      Vec factor[NV];
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        factor[v] = in.load(lane, v);
      }
#pragma GCC unroll 16
      for (int r = 0; r < MR; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) {
          if constexpr (Depthwise) {
            sum[r][v] += in.load(row[r] + position, v) * factor[v];
          } else {
            sum[r][v] += row[r][position] * factor[v];
          }
        }
      }
    }
  };
  const Access access{last_channels};
  if (!S::masked && last_channels == S::width) {
    add(Access{S::width});
  } else {
    add(access);
  }
#pragma GCC unroll 16
  for (int r = 0; r < MR; ++r) {
    T* const to = sums + sum_offsets[r];
    Vec total[NV];  // all read before one is written: vectors may overlap
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      total[v] = access.load(to, v) + sum[r][v];
    }
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      access.store(to, v, total[v]);
    }
  }
}

/// Calls body(std::integral_constant<int, rows>) for 1 <= rows <= Most.
template <int Most, class Body>
void with_rows(std::int64_t rows, Body&& body) {
  if constexpr (Most > 1) {
    if (rows < Most) {
      return with_rows<Most - 1>(rows, body);
    }
  }
  body(std::integral_constant<int, Most>{});
}

/// Calls body(Simd, std::integral_constant<int, NV>) for the vectors that make up a block of
/// channels.
template <class T, class Body>
void with_channel_block(std::int64_t width, Body&& body) {
  using Full = Simd<T, kSimdBytes>;
  using Half = Simd<T, kSimdBytes == 16 ? 16 : kSimdBytes / 2>;
  if (width == 2 * Full::width) {
    body(Full{}, std::integral_constant<int, 2>{});
  } else if (width == Full::width) {
    body(Full{}, std::integral_constant<int, 1>{});
  } else {
    body(Half{}, std::integral_constant<int, 1>{});
  }
}

}  // namespace cks::kernels::CKS_CPU
