#pragma once
#include "cks/kernels/ampere/copy.cuh"
#include "cks/kernels/conv2d/ampere/geometry.h"

/// What the threads of a block copy for the steps of a unit. Each owns the same places of every
/// stage; which pixels and filter rows belong there is worked out once for the unit, which of them
/// a tap meets once for the tap.
///
/// A stage holds the pixels, rows of K::kPixelRowBytes of source channels, then the planes of the
/// filter. Their rows are channels of the result with source channels side by side, or, transposed,
/// source channels with channels of the result side by side. K places both in shared memory:
/// K::pixel_place(row, byte) and K::filter_place(row, byte).
namespace cks::kernels::ampere {

/// A call, all but what is stored.
struct BoxOperands {
  BoxCorrelation c;
  const unsigned char* source;
  const unsigned char* filter;  // [OC][taps][pitch], or planes of it
  // In bytes, from one to the next.
  std::uint32_t source_pitch;
  int tap_pitch, row_pitch;
  std::int64_t plane_pitch;
};

/// Of X or dY and a filter whose [OC][taps] are `pitch` elements apart, its planes `plane_pitch`.
template <class Pixel, class Filter>
BoxOperands operands_of(const PreparedConv2d& conv, const Conv2dOperands& o, const Filter* filter,
                        std::int64_t pitch, std::int64_t plane_pitch = 0) {
  constexpr std::int64_t kPixelBytes = sizeof(Pixel), kFilterBytes = sizeof(Filter);
  const BoxCorrelation& c = conv.data<PlannedBoxes>().correlation;
  const void* const source = conv.plan.pass == Conv2dPass::forward ? o.x : o.y;
  return {c,
          static_cast<const unsigned char*>(source),
          reinterpret_cast<const unsigned char*>(filter),
          static_cast<std::uint32_t>(c.source_pitch * kPixelBytes),
          narrow(pitch * kFilterBytes),
          narrow(c.filter_taps * pitch * kFilterBytes),
          plane_pitch * kFilterBytes};
}

/// How many of kBytes are there, if `left` are from the first on.
template <int kBytes>
__device__ __forceinline__ int bytes_there(int left) {
  return min(max(left, 0), kBytes);
}

/// Of the pixels of each step, rows of kChunks chunks.
template <class K>
class PixelCopies {
 public:
  __device__ __forceinline__ PixelCopies(const BoxOperands& p, const Place& place,
                                         const BoxUnit& unit) {
    const BoxCorrelation& c = p.c;
    const Run& rows = c.rows[place.row_class];
    const Run& columns = c.columns[place.column_class];
    const int chunk = static_cast<int>(threadIdx.x) % kChunks * K::kChunk;
    const int first_row = static_cast<int>(threadIdx.x) / kChunks;
    left_ = c.source_channels * K::kPixelBytes - chunk;
    source_ = p.source + std::int64_t{unit.group} * c.source_channels * K::kPixelBytes + chunk;
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      const int row = first_row + i * kRows, position = unit.first + row;
      const bool exists = position < positions_of(c, place);
      const Position at = position_of(c, place, exists ? position : 0);
      const int source_row = rows.source + at.row * rows.source_step;
      column_[i] = columns.source + at.column * columns.source_step;
      pixel_[i] = pixel_at(c, at.image * c.source_height + source_row, column_[i]);
      row_[i] = exists ? source_row : kNowhere;
    }
  }

  /// Which pixels a tap meets that shifts them.
  __device__ __forceinline__ void meet(const BoxCorrelation& c, int down, int right) {
    shift_ = pixel_at(c, down, right);
    meets_ = 0;
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      const bool meets =
          static_cast<unsigned>(row_[i] + down) < static_cast<unsigned>(c.source_height) &&
          static_cast<unsigned>(column_[i] + right) < static_cast<unsigned>(c.source_width);
      meets_ |= (meets ? 1U : 0U) << i;
    }
  }
  __device__ __forceinline__ void meet_none() { meets_ = 0; }

  __device__ __forceinline__ void copy(const BoxOperands& p, std::uint32_t to, int channel) const {
    const int bytes = bytes_there<K::kChunk>(left_ - channel * K::kPixelBytes);
    const unsigned char* const from = source_ + channel * K::kPixelBytes;
    const int chunk = static_cast<int>(threadIdx.x) % kChunks * K::kChunk;
    const int first_row = static_cast<int>(threadIdx.x) / kChunks;
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      const int there = (meets_ >> i & 1U) != 0 ? bytes : 0;
      copy_async<K::kChunk>(
          to + K::pixel_place(first_row + i * kRows, chunk),
          there != 0 ? from + std::uint64_t{pixel_[i] + shift_} * p.source_pitch : source_, there);
    }
  }

 private:
  static constexpr int kChunks = K::kPixelRowBytes / K::kChunk;
  static constexpr int kRows = K::kThreads / kChunks;  // side by side
  static constexpr int kCopies = K::kPositions / kRows;
  static_assert(K::kThreads % kChunks == 0 && K::kPositions % kRows == 0 && kCopies <= 32);
  static constexpr int kNowhere = -(1 << 30);  // outside whatever the tap's shift

  /// The number of a pixel. It may lie outside the image; modulo 2^32, the sum of a pixel's and a
  /// shift's is right for those inside.
  static __device__ __forceinline__ std::uint32_t pixel_at(const BoxCorrelation& c, int line,
                                                           int column) {
    return static_cast<std::uint32_t>(line) * static_cast<std::uint32_t>(c.source_width) +
           static_cast<std::uint32_t>(column);
  }

  const unsigned char* source_;  // the chunk of the group's first pixel
  int left_;                     // bytes of source channels from the chunk on
  std::uint32_t shift_ = 0, pixel_[kCopies];
  int row_[kCopies], column_[kCopies];  // of the pixel that tap 0 meets
  std::uint32_t meets_ = 0;
};

/// Of the filter of each step.
template <class K>
class FilterCopies {
 public:
  __device__ __forceinline__ FilterCopies(const BoxOperands& p, const BoxUnit& unit) {
    const BoxCorrelation& c = p.c;
    const int chunk = static_cast<int>(threadIdx.x) % kChunks * kChunk;
    const int row = static_cast<int>(threadIdx.x) / kChunks;
    const int end = (unit.group + 1) * c.target_channels;
    if constexpr (K::kTransposed) {
      rows_left_ = c.source_channels - row;
      bytes_left_ = (end - unit.channel) * K::kFilterBytes - chunk;
      filter_ = p.filter + (std::int64_t{unit.group} * c.source_channels + row) * p.row_pitch +
                (unit.channel - (end - c.target_channels)) * K::kFilterBytes + chunk;
    } else {
      rows_left_ = end - unit.channel - row;
      bytes_left_ = c.source_channels * K::kFilterBytes - chunk;
      filter_ = p.filter + (std::int64_t{unit.channel} + row) * p.row_pitch + chunk;
    }
  }

  __device__ __forceinline__ void copy_none() { bytes_left_ = 0; }

  __device__ __forceinline__ void copy(const BoxOperands& p, std::uint32_t to, int tap,
                                       int channel) const {
    const int chunk = static_cast<int>(threadIdx.x) % kChunks * kChunk;
    const int row = static_cast<int>(threadIdx.x) / kChunks;
    const unsigned char* from = filter_ + std::int64_t{tap} * p.tap_pitch;
    int bytes = bytes_left_, rows_left = rows_left_;
    if constexpr (K::kTransposed) {
      from += std::int64_t{channel} * p.row_pitch;
      rows_left -= channel;
    } else {
      from += channel * K::kFilterBytes;
      bytes -= channel * K::kFilterBytes;
    }
    bytes = bytes_there<kChunk>(bytes);
#pragma unroll
    for (int plane = 0; plane < K::kPlanes; ++plane) {
#pragma unroll
      for (int i = 0; i < kCopies; ++i) {
        const int there = i * kRows < rows_left ? bytes : 0;
        const unsigned char* const at =
            from + plane * p.plane_pitch + std::int64_t{i * kRows} * p.row_pitch;
        copy_async<kChunk>(
            to + plane * K::kFilterPlaneBytes + K::filter_place(row + i * kRows, chunk),
            there != 0 ? at : p.filter, there);
      }
    }
  }

 private:
  static constexpr int kChunk = K::kFilterChunk;
  static constexpr int kChunks = K::kFilterRowBytes / kChunk;
  static constexpr int kRows = K::kThreads / kChunks;
  static constexpr int kCopies = K::kFilterRows / kRows;
  static_assert(K::kThreads % kChunks == 0 && K::kFilterRows % kRows == 0);

  const unsigned char* filter_;  // the thread's first chunk, of tap 0 and source channel 0
  int rows_left_, bytes_left_;
};

/// All copies of a unit, step by step: tap by tap, K::kStep source channels at a time. A place
/// without taps has one step, of zeros.
template <class K>
class StepCopies {
 public:
  __device__ __forceinline__ StepCopies(const BoxOperands& p, const Place& place,
                                        const BoxUnit& unit)
      : p_(p),
        place_(place),
        pixels_(p, place, unit),
        filter_(p, unit),
        row_(place.row_tap),
        column_(place.column_tap) {
    meet();
    if (place.row_taps * place.column_taps == 0) {
      pixels_.meet_none();
      filter_.copy_none();
    }
  }

  /// The next step, to the stage at `to`.
  __device__ __forceinline__ void copy(std::uint32_t to) {
    pixels_.copy(p_, to, channel_);
    filter_.copy(p_, to + K::kPixelStageBytes, tap_, channel_);
    channel_ += K::kStep;
    if (channel_ >= p_.c.source_channels) {
      channel_ = 0;
      if (++column_ >= place_.column_tap + place_.column_taps) {
        column_ = place_.column_tap;
        ++row_;
      }
      meet();
    }
  }

 private:
  __device__ __forceinline__ void meet() {
    tap_ = filter_tap_of(p_.c, place_, row_, column_);
    pixels_.meet(p_.c, row_ * p_.c.rows[place_.row_class].tap_step,
                 column_ * p_.c.columns[place_.column_class].tap_step);
  }

  const BoxOperands& p_;
  const Place& place_;
  PixelCopies<K> pixels_;
  FilterCopies<K> filter_;
  int row_, column_;  // the tap, of those of the class
  int tap_, channel_ = 0;
};

}  // namespace cks::kernels::ampere
