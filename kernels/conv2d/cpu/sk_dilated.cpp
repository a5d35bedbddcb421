#include <atomic>

#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/conv2d/cpu/methods.h"
#include "cks/kernels/conv2d/cpu/micro_kernel.h"

// Sk-dilated, the filter gradient: dW[oc,fh,fw,ic] is the inner product of dY with the pixels of X
// that tap (fh,fw) reads. X is walked with the stride, so no stride-inserted zero exists, and each
// tap sums over those outputs only for which it falls inside the image.
//
//   tiles      FilterGradientLayout (layout.h) says what rows and vectors of a register tile are
//   positions  output pixels (n,oh,ow) in rectangles; both operands are read where they lie
//   chunks     rectangles small enough for the second-level cache; all tiles visit one chunk before
//              the next one is touched
//   slices     of the positions, whole images if there are enough; each adds to partial sums of its
//              own, and a second stage adds the slices in order
namespace cks::kernels::CKS_CPU {
namespace {

using VectorsOver = FilterGradientLayout::VectorsOver;

/// Images and output rows that are summed over together.
struct Chunk {
  IndexRange images, rows;
};

/// Elements that are read next, which come towards the caches a few lines with each tile: a tile
/// that reads from memory waits several times as long as it computes.
template <class T>
struct Upcoming {
  const T* at;
  const T* end;

  /// Asks for the next line; whether there was one.
  bool prefetch() {
    if (at >= end) {
      return false;
    }
    __builtin_prefetch(at);
    at += 64 / sizeof(T);
    return true;
  }
};
template <class T>
struct NextChunk {
  Upcoming<T> x, dy;
  std::int64_t lines;  // of both, to be spread over
  std::int64_t work;   // so many positions of tiles, at least 1
  std::int64_t due = 0;

  void after_tile(std::int64_t positions) {
    for (due += positions * lines; due >= work && (x.prefetch() || dy.prefetch()); due -= work) {
    }
  }
};

template <class T>
struct FilterGradient {
  const Conv2dProblem& p;
  const FilterGradientLayout& layout;
  const T* x;
  const T* dy;
  T* partial;  // [slice][elements]: laid out as dW, or [fh][fw][ic][oc] unless vectors hold inputs
  std::span<const TapRun> row_runs, column_runs;

  std::int64_t x_row() const { return p.IW * p.x_pitch; }
  std::int64_t y_row() const { return p.OW * p.y_pitch; }
  std::int64_t inner_channels() const { return p.IC / p.G; }
  std::int64_t outer_channels() const { return p.OC / layout.groups; }
};

/// Lists the positions images x rows x columns of outputs in evenly filled lists, and calls
/// body(list) for each; `x_is_row` says which operand of the tiles X is.
template <class T, class Body>
void for_each_position_list(const FilterGradient<T>& f, std::int64_t images, std::int64_t rows,
                            std::int64_t columns, bool x_is_row, Body&& body) {
  const Conv2dProblem& p = f.p;
  const std::int64_t positions = images * rows * columns;
  const std::int64_t lists = ceil_div(positions, PositionList::kMost);
  const std::int64_t most = ceil_div(positions, std::max<std::int64_t>(1, lists));
  const std::int64_t x_step = p.sw * p.x_pitch;
  const PositionOffsets step =
      x_is_row ? PositionOffsets{x_step, p.y_pitch} : PositionOffsets{p.y_pitch, x_step};
  PositionList list;
  for (std::int64_t n = 0; n < images; ++n) {
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t x = (n * p.IH + row * p.sh) * f.x_row();
      const std::int64_t y = (n * p.OH + row) * f.y_row();
      PositionOffsets at = x_is_row ? PositionOffsets{x, y} : PositionOffsets{y, x};
      for (std::int64_t column = 0; column < columns;) {
        const std::int64_t end = std::min(columns, column + most - list.count);
        for (; column < end; ++column, at.row += step.row, at.lane += step.lane) {
          list.at[list.count++] = at;
        }
        if (list.count == most) {
          body(list);
          list.count = 0;
        }
      }
    }
  }
  if (list.count > 0) {
    body(list);
  }
}

/// Calls body(begin, count) for tiles of at most MostRows rows that differ by one at most.
template <int MostRows, class Body>
void for_each_row_tile(std::int64_t rows, Body&& body) {
  const std::int64_t tiles = ceil_div(rows, MostRows);
  for (std::int64_t tile = 0, begin = 0; tile < tiles; ++tile) {
    const std::int64_t count = rows / tiles + (tile < rows % tiles ? 1 : 0);
    body(begin, count);
    begin += count;
  }
}

/// Vectors over inputs: output channels of one unit x one filter row, over one rectangle of
/// positions. `elements` elements from x belong to as many elements of dW from `element`.
template <class T>
std::int64_t add_filter_row(const FilterGradient<T>& f, const PositionList& positions, const T* x,
                            const T* dy, IndexRange outputs, std::int64_t elements, T* partial,
                            std::int64_t element, NextChunk<T>& next) {
  const ChannelBlocks blocks(elements, kSimdBytes, dtype_of<T>());
  const std::int64_t depth = f.p.FH * f.p.FW * f.inner_channels();
  std::int64_t executed = 0;
  for (std::int64_t b = 0; b < blocks.count(); ++b) {
    const std::int64_t lane = blocks.begin(b);
    const std::int64_t real = std::min(blocks.width(b), elements - lane);
    with_channel_block<T>(blocks.width(b), [&](auto simd, auto vectors) {
      using S = decltype(simd);
      constexpr int kMostRows = kGradientRows<S, vectors()>;
      for_each_row_tile<kMostRows>(outputs.size(), [&](std::int64_t begin, std::int64_t count) {
        std::int64_t offsets[kMostRows] = {};
        std::int64_t sums[kMostRows] = {};
        for (std::int64_t r = 0; r < count; ++r) {
          offsets[r] = outputs.begin + begin + r;
          sums[r] = offsets[r] * depth + element + lane;
        }
        with_rows<kMostRows>(count, [&](auto rows) {
          gradient_tile<S, rows(), vectors(), false>(
              positions, dy, offsets, x + lane, real - (vectors() - 1) * S::width, partial, sums);
        });
        next.after_tile(positions.count);
        executed += count * real * positions.count;
      });
    });
  }
  return executed;
}

/// Vectors over inputs: one unit over one chunk.
template <class T>
std::int64_t add_unit_over_inputs(const FilterGradient<T>& f, std::int64_t unit, const Chunk& chunk,
                                  T* partial, NextChunk<T>& next) {
  const Conv2dProblem& p = f.p;
  const std::int64_t units_per_group = f.layout.units / f.layout.groups;
  const std::int64_t group = unit / units_per_group;
  const std::int64_t first = unit % units_per_group * f.layout.unit_rows;
  const IndexRange outputs{
      group * f.outer_channels() + first,
      group * f.outer_channels() + std::min(f.outer_channels(), first + f.layout.unit_rows)};
  const TapAxis columns = column_axis(p);
  std::int64_t executed = 0;
  for (std::int64_t fh = 0; fh < p.FH; ++fh) {
    const IndexRange valid = tap_outputs(row_axis(p), fh);
    const IndexRange rows =
        range_of(std::max(valid.begin, chunk.rows.begin), std::min(valid.end, chunk.rows.end));
    if (rows.size() == 0) {
      continue;
    }
    const T* const x =
        f.x + (chunk.images.begin * p.IH + rows.begin * p.sh - p.pt + fh * p.dh) * f.x_row() +
        group * f.inner_channels();
    const T* const dy = f.dy + (chunk.images.begin * p.OH + rows.begin) * f.y_row();
    const auto add = [&](std::int64_t fw, std::int64_t taps, std::int64_t ow, std::int64_t count) {
      for_each_position_list(
          f, chunk.images.size(), rows.size(), count, false, [&](const PositionList& positions) {
            executed += add_filter_row(f, positions, x + (ow * p.sw - p.pl + fw * p.dw) * p.x_pitch,
                                       dy + ow * p.y_pitch, outputs, taps * f.inner_channels(),
                                       partial, (fh * p.FW + fw) * f.inner_channels(), next);
          });
    };
    if (f.layout.merged) {
      for (const TapRun& run : f.column_runs) {
        if (run.taps > 0) {
          add(run.slot, run.taps, run.target, run.count);
        }
      }
    } else {
      for (std::int64_t fw = 0; fw < p.FW; ++fw) {
        const IndexRange valid_columns = tap_outputs(columns, fw);
        if (valid_columns.size() > 0) {
          add(fw, 1, valid_columns.begin, valid_columns.size());
        }
      }
    }
  }
  return executed;
}

/// Vectors over outputs or groups: the live filter elements of one rectangle x one block of
/// channels.
template <class S, int NV, bool Depthwise, class T = typename S::T>
std::int64_t add_elements(const FilterGradient<T>& f, const PositionList& positions, const T* x,
                          const T* dy, const TapRun& row_run, const TapRun& column_run,
                          std::int64_t real_channels, T* sums_base, NextChunk<T>& next) {
  const Conv2dProblem& p = f.p;
  const std::int64_t inner = f.inner_channels();
  std::int64_t i = 0;
  std::int64_t j = 0;
  std::int64_t c = 0;
  std::int64_t executed = 0;
  constexpr int kMostRows = kGradientRows<S, NV>;
  for_each_row_tile<kMostRows>(
      row_run.taps * column_run.taps * inner, [&](std::int64_t, std::int64_t count) {
        std::int64_t offsets[kMostRows] = {};
        std::int64_t sums[kMostRows] = {};
        for (std::int64_t r = 0; r < count; ++r) {
          offsets[r] = i * p.dh * f.x_row() + j * p.dw * p.x_pitch + c;
          sums[r] = (((row_run.slot + i) * p.FW + column_run.slot + j) * inner + c) * p.OC;
          if (++c == inner) {
            c = 0;
            if (++j == column_run.taps) {
              j = 0;
              ++i;
            }
          }
        }
        with_rows<kMostRows>(count, [&](auto rows) {
          gradient_tile<S, rows(), NV, Depthwise>(
              positions, x, offsets, dy, real_channels - (NV - 1) * S::width, sums_base, sums);
        });
        next.after_tile(positions.count);
        executed += count * real_channels * positions.count;
      });
  return executed;
}

/// Vectors over outputs or groups: one unit over one chunk.
template <class T>
std::int64_t add_unit_over_outputs(const FilterGradient<T>& f, std::int64_t unit,
                                   const Chunk& chunk, T* partial, NextChunk<T>& next) {
  const Conv2dProblem& p = f.p;
  const ChannelBlocks blocks(f.layout.vector_channels, kSimdBytes, dtype_of<T>());
  const std::int64_t group = unit / blocks.count();
  const std::int64_t lane = blocks.begin(unit % blocks.count());
  const std::int64_t width = blocks.width(unit % blocks.count());
  const std::int64_t real = std::min(width, f.layout.vector_channels - lane);
  const std::int64_t channel = group * f.layout.vector_channels + lane;  // of dY
  const bool depthwise = f.layout.vectors_over == VectorsOver::groups;
  const std::int64_t x_channel = depthwise ? channel : group * f.inner_channels();
  std::int64_t executed = 0;
  for (const TapRun& row_run : f.row_runs) {
    const IndexRange rows = range_of(std::max(row_run.target, chunk.rows.begin),
                                     std::min(row_run.target + row_run.count, chunk.rows.end));
    const std::int64_t x_row = row_run.source + (rows.begin - row_run.target) * p.sh;
    for (const TapRun& column_run : f.column_runs) {
      if (rows.size() == 0 || row_run.taps == 0 || column_run.taps == 0) {
        continue;
      }
      const T* const x = f.x + (chunk.images.begin * p.IH + x_row) * f.x_row() +
                         column_run.source * p.x_pitch + x_channel;
      const T* const dy = f.dy + (chunk.images.begin * p.OH + rows.begin) * f.y_row() +
                          column_run.target * p.y_pitch + channel;
      with_channel_block<T>(width, [&](auto simd, auto vectors) {
        using S = decltype(simd);
        const auto add =
            depthwise ? add_elements<S, vectors(), true> : add_elements<S, vectors(), false>;
        for_each_position_list(f, chunk.images.size(), rows.size(), column_run.count, true,
                               [&](const PositionList& positions) {
                                 executed += add(f, positions, x, dy, row_run, column_run, real,
                                                 partial + channel, next);
                               });
      });
    }
  }
  return executed;
}

/// Calls body(chunk) for the output rows [begin, end) of all images laid end to end.
template <class Body>
void for_each_chunk(const Conv2dProblem& p, IndexRange rows, std::int64_t rows_per_chunk,
                    Body&& body) {
  for (std::int64_t row = rows.begin; row < rows.end;) {
    const std::int64_t image = row / p.OH;
    const std::int64_t first = row % p.OH;
    const std::int64_t whole_images = std::min(rows.end - row, rows_per_chunk) / p.OH;
    if (first == 0 && whole_images > 0) {
      body(Chunk{{image, image + whole_images}, {0, p.OH}});
      row += whole_images * p.OH;
    } else {
      const std::int64_t count =
          std::min({p.OH - first, rows.end - row, std::max<std::int64_t>(1, rows_per_chunk)});
      body(Chunk{{image, image + 1}, {first, first + count}});
      row += count;
    }
  }
}

/// Full tiles that visit a position.
template <class T>
std::int64_t tiles_of_position(const FilterGradientLayout& layout) {
  constexpr std::int64_t kVector = Simd<T, kSimdBytes>::width;
  constexpr std::int64_t kTile =
      2 * kVector * tile_rows(Conv2dPass::backward_filter, kSimdBytes, 2 * kVector, kVector);
  return std::max<std::int64_t>(1, layout.elements / layout.unit_parts / kTile);
}

/// Whether a chunk is asked for while the one before it is summed over. Not of few channels at
/// stride 1, whose tiles are soon done: asking would take a tenth of their time, and a processor
/// foresees such reads. Most parts read little of dY, and depthwise units little of both.
template <class T>
bool fetches_ahead(const Conv2dProblem& p, const FilterGradientLayout& layout) {
  constexpr std::int64_t kLeastTiles = 12;  // for each line of a position
  const std::int64_t bytes = (p.IC + p.OC) * static_cast<std::int64_t>(sizeof(T));
  const bool is_foreseen =
      p.sh == 1 && p.sw == 1 && tiles_of_position<T>(layout) * 64 < kLeastTiles * bytes;
  return !is_foreseen && layout.unit_parts <= 2 && layout.vectors_over != VectorsOver::groups;
}

/// Output rows of a chunk: as many as a second-level cache holds of X and dY; where the next chunk
/// is fetched, a quarter of that, so that it has room beside them, but enough positions for long
/// sums where all of it holds them.
template <class T>
std::int64_t rows_of_chunk(const Conv2dProblem& p, const FilterGradientLayout& layout) {
  constexpr std::int64_t kCacheBytes = std::int64_t{512} * 1024;
  const std::int64_t unit_rows = layout.unit_rows * ceil_div(layout.units, layout.unit_parts);
  const std::int64_t x = std::min(p.sh, p.FH) * p.IW * (p.IC / p.G);
  const std::int64_t y = p.OW * std::min(p.OC / p.G, std::max<std::int64_t>(16, unit_rows));
  const std::int64_t bytes = (x + y) * static_cast<std::int64_t>(size_of(p.x_type));
  const std::int64_t most = kCacheBytes * 3 / 4 / bytes;
  const std::int64_t rows = fetches_ahead<T>(p, layout)
                                ? std::clamp(ceil_div(256, p.OW), kCacheBytes / 4 / bytes, most)
                                : most;
  return std::max(ceil_div(64, p.OW), rows);
}

/// At most `rows` output rows from `row` on, of all images laid end to end, which come while a
/// chunk of so many rows is summed over.
template <class T>
NextChunk<T> next_chunk(const FilterGradient<T>& f, std::int64_t row, std::int64_t rows) {
  const Conv2dProblem& p = f.p;
  const std::int64_t x_row = row / p.OH * p.IH + std::min(p.IH, row % p.OH * p.sh);
  const std::int64_t y_rows = fetches_ahead<T>(p, f.layout) ? std::min(rows, p.N * p.OH - row) : 0;
  const std::int64_t x_rows = std::min(ceil_div(y_rows * p.IH, p.OH), p.N * p.IH - x_row);
  const T* const x = f.x + x_row * f.x_row();
  const T* const dy = f.dy + row * f.y_row();
  const std::int64_t elements = x_rows * f.x_row() + y_rows * f.y_row();
  return {.x = {x, x + x_rows * f.x_row()},
          .dy = {dy, dy + y_rows * f.y_row()},
          .lines = elements * static_cast<std::int64_t>(sizeof(T)) / 64,
          .work = tiles_of_position<T>(f.layout) * rows * p.OW};
}

/// Zeroes the partial sums of one unit.
template <class T>
void clear_unit(const FilterGradient<T>& f, std::int64_t unit, T* partial) {
  const std::int64_t depth = f.p.FH * f.p.FW * f.inner_channels();
  if (f.layout.vectors_over == VectorsOver::inputs) {
    const std::int64_t units_per_group = f.layout.units / f.layout.groups;
    const std::int64_t first = unit % units_per_group * f.layout.unit_rows;
    const std::int64_t count = std::min(f.layout.unit_rows, f.outer_channels() - first);
    std::fill_n(partial + (unit / units_per_group * f.outer_channels() + first) * depth,
                count * depth, T{0});
    return;
  }
  const ChannelBlocks blocks(f.layout.vector_channels, kSimdBytes, dtype_of<T>());
  const std::int64_t lane = blocks.begin(unit % blocks.count());
  const std::int64_t channel = unit / blocks.count() * f.layout.vector_channels + lane;
  for (std::int64_t element = 0; element < depth; ++element) {
    std::fill_n(partial + element * f.p.OC + channel,
                std::min(blocks.width(unit % blocks.count()), f.layout.vector_channels - lane),
                T{0});
  }
}

/// Second stage: adds the slices in order, and brings the result into dW's layout.
template <class T>
void add_slices(const FilterGradient<T>& f, T* dw) {
  const FilterGradientLayout& layout = f.layout;
  const std::int64_t depth = f.p.FH * f.p.FW * f.inner_channels();
  const bool transposed = layout.vectors_over != VectorsOver::inputs;
  parallel_for_ranges(layout.elements, 1024, [&](std::int64_t begin, std::int64_t end) {
    T sum[1024];
    std::copy(f.partial + begin, f.partial + end, sum);
    for (std::int64_t slice = 1; slice < layout.slices; ++slice) {
      const T* const from = f.partial + slice * layout.elements;
      for (std::int64_t e = begin; e < end; ++e) {
        sum[e - begin] += from[e];
      }
    }
    for (std::int64_t e = begin; e < end; ++e) {
      dw[transposed ? e % f.p.OC * depth + e / f.p.OC : e] = sum[e - begin];
    }
  });
}

}  // namespace

template <class T>
std::int64_t sk_dilated(const Conv2dProblem& p, const T* x, const T* dy, T* dw, void* workspace) {
  const FilterGradientLayout layout = filter_gradient_layout(p, kSimdBytes);
  auto* const bytes = static_cast<std::byte*>(workspace);
  auto* const runs = reinterpret_cast<TapRun*>(bytes);
  auto* const partial = layout.direct() ? dw : reinterpret_cast<T*>(bytes + layout.run_bytes);
  const FilterGradient<T> f{.p = p,
                            .layout = layout,
                            .x = x,
                            .dy = dy,
                            .partial = partial,
                            .row_runs = forward_runs(row_axis(p), p.OH, runs),
                            .column_runs = forward_runs(column_axis(p), p.OW, runs + p.OH)};
  const std::int64_t row_limit = rows_of_chunk<T>(p, layout);
  const bool whole_images = p.N >= layout.slices;
  const std::int64_t cuts = whole_images ? p.N : p.N * p.OH;
  const std::int64_t rows_per_cut = whole_images ? p.OH : 1;
  std::atomic<std::int64_t> executed = 0;
  parallel_for(layout.slices * layout.unit_parts, [&](std::int64_t block) {
    const std::int64_t slice = block / layout.unit_parts;
    const std::int64_t part = block % layout.unit_parts;
    const IndexRange units{part * layout.units / layout.unit_parts,
                           (part + 1) * layout.units / layout.unit_parts};
    T* const sums = partial + slice * layout.elements;
    for (std::int64_t unit = units.begin; unit < units.end; ++unit) {
      clear_unit(f, unit, sums);
    }
    const auto rows_of = [&](std::int64_t i) {
      return IndexRange{i * cuts / layout.slices * rows_per_cut,
                        (i + 1) * cuts / layout.slices * rows_per_cut};
    };
    const IndexRange rows = rows_of(slice);
    // Of the block that this thread will probably take next.
    const std::int64_t next_slice = (block + num_threads()) / layout.unit_parts;
    for_each_chunk(p, rows, row_limit, [&](const Chunk& chunk) {
      const std::int64_t end = (chunk.images.end - 1) * p.OH + chunk.rows.end;
      NextChunk<T> next =
          next_chunk(f, end < rows.end ? end : std::min(rows_of(next_slice).begin, p.N * p.OH),
                     chunk.images.size() * chunk.rows.size());
      for (std::int64_t unit = units.begin; unit < units.end; ++unit) {
        executed += layout.vectors_over == VectorsOver::inputs
                        ? add_unit_over_inputs(f, unit, chunk, sums, next)
                        : add_unit_over_outputs(f, unit, chunk, sums, next);
      }
    });
  });
  if (!layout.direct()) {
    add_slices(f, dw);
  }
  return executed;
}

template std::int64_t sk_dilated(const Conv2dProblem&, const float*, const float*, float*, void*);
template std::int64_t sk_dilated(const Conv2dProblem&, const double*, const double*, double*,
                                 void*);

}  // namespace cks::kernels::CKS_CPU
