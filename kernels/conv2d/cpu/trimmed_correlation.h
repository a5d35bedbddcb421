#pragma once
#include <atomic>
#include <cstdint>

#include "cks/kernels/common/epilogue.h"
#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/conv2d/cpu/layout.h"
#include "cks/kernels/conv2d/cpu/micro_kernel.h"

/// The loop nest that ConvV2 and KS-deconv share: a correlation of which every target pixel meets
/// only its live taps.
///
///   target[n,h,w,:] = epilogue of the sum over live taps (i,j) of source[n,hi,wj,:] * panel[slot
///   i, slot j]
///
/// Rows and columns are cut into runs of pixels with the same live taps (taps.h). A row run and a
/// column run span a rectangle; with the images it is a set of positions that share one trimmed
/// filter, and any few of them, taken in the order (n,h,w), form the rows of a register tile.
/// So a corner pixel's tile holds that pixel of several images, nothing is copied, and no product
/// with padding is issued. VectorsOver are target channels.
namespace cks::kernels::CKS_CPU {

template <class T>
struct TrimmedCorrelation {
  const T* source;
  T* target;
  const T* panels;  // [group][block][slot of FH][slot of FW][inner channel][target channel]
  TypedEpilogue<T> epilogue;
  std::int64_t images;
  std::int64_t source_rows, source_columns, source_pitch;
  std::int64_t target_rows, target_columns, target_pitch;
  std::int64_t groups, inner_channels, vector_channels;  // CorrelationLayout
  std::int64_t filter_rows, filter_columns;
  bool depthwise;
  std::span<const TapRun> row_runs, column_runs;

  std::int64_t source_channels() const {
    return depthwise ? vector_channels : groups * inner_channels;
  }
};

/// How the work of a correlation is cut into blocks: by the problem alone.
struct CorrelationBlocks {
  static constexpr std::int64_t kMost = 64;                          // balances 16 threads
  static constexpr std::int64_t kLeastWork = std::int64_t{1} << 18;  // multiply-adds, ~5 us
  static constexpr std::int64_t kFewImages = 8;                      // about the rows of a tile
  static constexpr std::int64_t kSmallMap = 256;                     // pixels

  std::int64_t images_per_block, image_blocks;
  std::int64_t units_per_block, unit_blocks;  // units are (group, block of channels)
  std::int64_t row_positions;                 // longest row run
  bool split_rows;

  CorrelationBlocks(std::int64_t work, std::int64_t images, std::int64_t units, std::int64_t rows,
                    std::int64_t pixels) {
    const std::int64_t wanted = std::clamp<std::int64_t>(work / kLeastWork, 1, kMost);
    images_per_block = std::max<std::int64_t>(1, images / wanted);
    if (pixels <= kSmallMap) {  // fill the tiles of corners, and use a panel for several tiles
      images_per_block = std::max(images_per_block, kSmallMap / pixels);
      images_per_block = ceil_div(images_per_block, kFewImages) * kFewImages;
    }
    image_blocks = ceil_div(images, images_per_block);
    unit_blocks = std::min(units, ceil_div(wanted, std::max<std::int64_t>(1, image_blocks)));
    units_per_block = ceil_div(units, unit_blocks);
    unit_blocks = ceil_div(units, units_per_block);
    const std::int64_t row_blocks =
        std::min(rows, ceil_div(wanted, std::max<std::int64_t>(1, image_blocks * unit_blocks)));
    split_rows = row_blocks > 1;
    row_positions = split_rows ? ceil_div(rows, row_blocks) : rows;
  }
};

/// Walks over the positions of a rectangle in the order (image, row, column).
template <class T>
class PositionCursor {
 public:
  PositionCursor(const TrimmedCorrelation<T>& c, const TapRun& rows, const TapRun& columns,
                 std::int64_t first_image, std::int64_t source_channel, std::int64_t target_channel)
      : rows_(rows.count), columns_(columns.count) {
    const std::int64_t source_row = c.source_columns * c.source_pitch;
    const std::int64_t target_row = c.target_columns * c.target_pitch;
    source_column_ = columns.source_step * c.source_pitch;
    target_column_ = columns.target_step * c.target_pitch;
    source_row_ = rows.source_step * source_row - (columns_ - 1) * source_column_;
    target_row_ = rows.target_step * target_row - (columns_ - 1) * target_column_;
    source_image_ = c.source_rows * source_row - (rows_ - 1) * rows.source_step * source_row -
                    (columns_ - 1) * source_column_;
    target_image_ = c.target_rows * target_row - (rows_ - 1) * rows.target_step * target_row -
                    (columns_ - 1) * target_column_;
    source_ = first_image * c.source_rows * source_row + rows.source * source_row +
              columns.source * c.source_pitch + source_channel;
    target_ = first_image * c.target_rows * target_row + rows.target * target_row +
              columns.target * c.target_pitch + target_channel;
  }

  /// Offsets of the current position; a source offset may be meaningless if no tap is live.
  std::int64_t source() const { return source_; }
  std::int64_t target() const { return target_; }

  void next() {
    if (++column_ < columns_) {
      source_ += source_column_;
      target_ += target_column_;
      return;
    }
    column_ = 0;
    if (++row_ < rows_) {
      source_ += source_row_;
      target_ += target_row_;
      return;
    }
    row_ = 0;
    source_ += source_image_;
    target_ += target_image_;
  }

 private:
  std::int64_t rows_, columns_;
  std::int64_t row_ = 0, column_ = 0;
  std::int64_t source_, source_column_, source_row_, source_image_;
  std::int64_t target_, target_column_, target_row_, target_image_;
};

/// One block of channels of one group.
template <class T>
struct ChannelUnit {
  const T* panel;
  const T* bias;  // of its first lane, or null
  std::int64_t source_channel, target_channel;
  std::int64_t channels;  // real ones
};

/// What follows the bias in the epilogue, for one position whose sums are stored.
template <class T>
void finish_position(const TrimmedCorrelation<T>& c, const ChannelUnit<T>& unit, T* target) {
  const TypedEpilogue<T> epilogue = c.epilogue;  // a copy, in which no store can lie
  const std::int64_t at = target - c.target;
  for (std::int64_t lane = 0; lane < unit.channels; ++lane) {
    target[lane] = epilogue.finish(target[lane], unit.target_channel + lane, at + lane);
  }
}

/// Pixels without a live tap hold the bias alone.
template <class T>
void fill_bias(const TrimmedCorrelation<T>& c, const ChannelUnit<T>& unit, PositionCursor<T> cursor,
               std::int64_t positions) {
  for (std::int64_t i = 0; i < positions; ++i, cursor.next()) {
    T* const target = c.target + cursor.target();
    for (std::int64_t lane = 0; lane < unit.channels; ++lane) {
      target[lane] = unit.bias == nullptr ? T{0} : unit.bias[lane];
    }
    if (!c.epilogue.is_plain) {
      finish_position(c, unit, target);
    }
  }
}

/// Elements of the source, from a position's first tap on, that its predecessors in the rectangle
/// did not read.
struct NewPixels {
  static constexpr std::int64_t kMostElements = 256;
  static constexpr std::int64_t kLine = 16;
  std::int64_t begin, row, rows, length;

  NewPixels(const TapRun& row_run, const TapRun& column_run, std::int64_t row_elements,
            std::int64_t pitch, std::int64_t channels)
      : row(row_elements) {
    const std::int64_t last_row = (row_run.taps - 1) * row_run.tap_step;
    const std::int64_t last_column = (column_run.taps - 1) * column_run.tap_step;
    rows = std::min(row_run.source_step, last_row + 1);
    const std::int64_t columns = std::min(column_run.source_step, last_column + 1);
    begin = (last_row + 1 - rows) * row + (last_column + 1 - columns) * pitch;
    length = (columns - 1) * pitch + channels;
    if (rows * length > kMostElements || length < kLine) {
      rows = 0;  // they would push out what the tile before them reads, or are read as one stream
    }
  }

  template <class T>
  void prefetch(const T* source) const {
    for (std::int64_t i = 0; i < rows; ++i) {
      prefetch_lines(source + begin + i * row, length);
    }
  }
};

/// The positions of a register tile.
template <class T, int MostRows>
struct TilePositions {
  std::int64_t count = 0;
  const T* sources[MostRows];
  T* targets[MostRows];

  void take(const TrimmedCorrelation<T>& c, std::int64_t positions, PositionCursor<T>& cursor) {
    count = positions;
    for (std::int64_t r = 0; r < count; ++r, cursor.next()) {
      sources[r] = c.source + cursor.source();
      targets[r] = c.target + cursor.target();
    }
  }
};

/// One rectangle of positions x one block of channels; returns the multiply-adds.
template <class S, int NV, bool Depthwise, class T = typename S::T>
std::int64_t correlate_rectangle(const TrimmedCorrelation<T>& c, const ChannelUnit<T>& unit,
                                 const TapRun& rows, const TapRun& columns,
                                 std::int64_t first_image, std::int64_t images) {
  const std::int64_t positions = images * rows.count * columns.count;
  PositionCursor<T> cursor(c, rows, columns, first_image, unit.source_channel, unit.target_channel);
  if (rows.taps == 0 || columns.taps == 0) {
    fill_bias(c, unit, cursor, positions);
    return 0;
  }
  constexpr std::int64_t width = NV * S::width;
  TapBox box{.row_taps = rows.taps,
             .column_taps = columns.taps,
             .length = c.inner_channels,
             .row_step = rows.tap_step * c.source_columns * c.source_pitch,
             .column_step = columns.tap_step * c.source_pitch,
             .panel_row = c.filter_columns * c.inner_channels * width,
             .panel_column = c.inner_channels * width};
  if (box.column_step == box.length) {  // the taps of a row are contiguous in both operands
    box.length *= box.column_taps;
    box.column_taps = 1;
  }
  const TermList terms(box, width);
  const std::int64_t depth = box.row_taps * box.column_taps * box.length;
  const T* const panel = unit.panel + rows.slot * box.panel_row + columns.slot * box.panel_column;
  const bool finishes =
      c.epilogue.scale != nullptr || c.epilogue.shift != nullptr || c.epilogue.residual != nullptr;
  const T slope = finishes ? T{1} : c.epilogue.slope;  // of a tile
  const std::int64_t last_channels = unit.channels - (NV - 1) * S::width;
  constexpr int kMostRows = kCorrelationRows<S, NV>;
  const std::int64_t tiles = ceil_div(positions, kMostRows);
  const std::int64_t least = positions / tiles;  // tiles differ by one row at most
  const std::int64_t larger = positions % tiles;
  const NewPixels pixels(rows, columns, c.source_columns * c.source_pitch, c.source_pitch,
                         Depthwise ? unit.channels : c.inner_channels);
  // Memory takes about as long to answer as a tile to compute, and processors do not look so far
  // ahead.
  const auto count_of = [&](std::int64_t t) { return least + (t < larger ? 1 : 0); };
  TilePositions<T, kMostRows> both[2];
  for (std::int64_t t = 0; t < tiles; ++t) {
    TilePositions<T, kMostRows>& tile = both[t % 2];
    if (t == 0 || pixels.rows == 0) {
      tile.take(c, count_of(t), cursor);
    }
    if (t + 1 < tiles && pixels.rows > 0) {
      TilePositions<T, kMostRows>& next = both[(t + 1) % 2];
      next.take(c, count_of(t + 1), cursor);
      for (std::int64_t r = 0; r < next.count; ++r) {
        pixels.prefetch(next.sources[r]);
        prefetch_lines(next.targets[r], width);
      }
    }
    with_rows<kMostRows>(tile.count, [&](auto row_count) {
      correlation_tile<S, row_count(), NV, Depthwise>(box, terms, tile.sources, panel, unit.bias,
                                                      slope, last_channels, tile.targets);
    });
    for (std::int64_t r = 0; finishes && r < tile.count; ++r) {
      finish_position(c, unit, tile.targets[r]);
    }
  }
  return positions * unit.channels * depth;
}

/// All rectangles of some images and row runs x one block of channels.
template <class S, int NV, class T = typename S::T>
std::int64_t correlate_unit(const TrimmedCorrelation<T>& c, const ChannelUnit<T>& unit,
                            IndexRange images, std::span<const TapRun> row_runs) {
  std::int64_t executed = 0;
  for (const TapRun& rows : row_runs) {
    for (const TapRun& columns : c.column_runs) {
      const auto correlate =
          c.depthwise ? correlate_rectangle<S, NV, true> : correlate_rectangle<S, NV, false>;
      executed += correlate(c, unit, rows, columns, images.begin, images.size());
    }
  }
  return executed;
}

/// Computes every target pixel once; returns the multiply-adds executed.
template <class T>
std::int64_t correlate(const TrimmedCorrelation<T>& c, const CorrelationBlocks& blocks) {
  const ChannelBlocks channel_blocks(c.vector_channels, kSimdBytes, dtype_of<T>());
  const std::int64_t per_group = channel_blocks.count();
  const std::int64_t units = c.groups * per_group;
  const std::int64_t depth = c.filter_rows * c.filter_columns * c.inner_channels;
  const std::int64_t row_blocks = blocks.split_rows ? std::ssize(c.row_runs) : 1;
  std::atomic<std::int64_t> executed = 0;
  parallel_for(blocks.image_blocks * blocks.unit_blocks * row_blocks, [&](std::int64_t block) {
    const std::int64_t row = block % row_blocks;
    const std::int64_t first_unit =
        block / row_blocks % blocks.unit_blocks * blocks.units_per_block;
    const std::int64_t image = block / row_blocks / blocks.unit_blocks * blocks.images_per_block;
    const IndexRange images{image, std::min(c.images, image + blocks.images_per_block)};
    const std::span<const TapRun> runs =
        blocks.split_rows ? c.row_runs.subspan(static_cast<std::size_t>(row), 1) : c.row_runs;
    std::int64_t sum = 0;
    for (std::int64_t u = first_unit; u < std::min(units, first_unit + blocks.units_per_block);
         ++u) {
      const std::int64_t group = u / per_group;
      const std::int64_t first_channel = channel_blocks.begin(u % per_group);
      const std::int64_t width = channel_blocks.width(u % per_group);
      const std::int64_t channel = group * c.vector_channels + first_channel;
      const ChannelUnit<T> unit{
          .panel = c.panels + (group * channel_blocks.padded() + first_channel) * depth,
          .bias = c.epilogue.bias == nullptr ? nullptr : c.epilogue.bias + channel,
          .source_channel = c.depthwise ? channel : group * c.inner_channels,
          .target_channel = channel,
          .channels = std::min(width, c.vector_channels - first_channel)};
      with_channel_block<T>(width, [&](auto simd, auto vectors) {
        sum += correlate_unit<decltype(simd), vectors()>(c, unit, images, runs);
      });
    }
    executed += sum;
  });
  return executed;
}

/// The forward pass or backward_data of a problem as a correlation. The workspace is laid out as
/// CorrelationLayout says: the filter is packed in it already, the runs of both axes come in here.
template <class T>
std::int64_t correlate_pass(Conv2dPass pass, const Conv2dProblem& p,
                            const CorrelationLayout& layout, const T* source,
                            const TypedEpilogue<T>& epilogue, T* target, std::byte* workspace) {
  const bool forward = pass == Conv2dPass::forward;
  const auto cut_axis = forward ? forward_runs : deconv_runs;
  const std::int64_t rows = forward ? p.OH : p.IH;
  const std::int64_t columns = forward ? p.OW : p.IW;
  auto* const runs = reinterpret_cast<TapRun*>(workspace + layout.panel_bytes);
  const ChannelBlocks channels(layout.vector_channels, kSimdBytes, dtype_of<T>());
  const CorrelationBlocks blocks(exact_multiply_adds(p), p.N, layout.groups * channels.count(),
                                 rows, rows * columns);
  const TrimmedCorrelation<T> correlation{
      .source = source,
      .target = target,
      .panels = reinterpret_cast<const T*>(workspace),
      .epilogue = epilogue,
      .images = p.N,
      .source_rows = forward ? p.IH : p.OH,
      .source_columns = forward ? p.IW : p.OW,
      .source_pitch = forward ? p.x_pitch : p.y_pitch,
      .target_rows = rows,
      .target_columns = columns,
      .target_pitch = forward ? p.y_pitch : p.x_pitch,
      .groups = layout.groups,
      .inner_channels = layout.inner_channels,
      .vector_channels = layout.vector_channels,
      .filter_rows = p.FH,
      .filter_columns = p.FW,
      .depthwise = is_depthwise(p),
      .row_runs = cut_axis(row_axis(p), blocks.row_positions, runs),
      .column_runs = cut_axis(column_axis(p), columns, runs + rows)};
  return correlate(correlation, blocks);
}

}  // namespace cks::kernels::CKS_CPU
