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

/// A position of a unit: the pixel of the result that it is, -1 if it is none, the pixel that tap 0
/// would meet if it had no padding, and where that tap lies. Far outside if there is no position.
struct Spot {
  int target;
  std::uint32_t source;
  int row, column;
};

inline constexpr int kNowhere = -(1 << 30);  // whatever a tap's shift

/// Fills in the positions of a unit.
template <class K>
__device__ __forceinline__ void find_spots(const BoxCorrelation& c, const Place& place,
                                           const BoxUnit& unit, Spot (&spots)[K::kPositions]) {
  const Run& rows = c.rows[place.row_class];
  const Run& columns = c.columns[place.column_class];
  for (int i = static_cast<int>(threadIdx.x); i < K::kPositions; i += K::kThreads) {
    const int position = unit.first + i;
    if (position >= positions_of(c, place)) {
      spots[i] = {-1, 0, kNowhere, kNowhere};
      continue;
    }
    const Position at = position_of(c, place, position);
    const int row = at.row * rows.source_step, column = at.column * columns.source_step;
    const int line = at.image * c.source_height + row;
    spots[i] = {pixel_of(c, place, at),
                static_cast<std::uint32_t>(line) * static_cast<std::uint32_t>(c.source_width) +
                    static_cast<std::uint32_t>(column),
                rows.source + row, columns.source + column};
  }
  __syncthreads();
}

/// Calls copy(i, to) for the thread's chunks of rows of kRowBytes, kRows of them side by side:
/// place(row, byte) is where one lies.
template <int kRows, int kCopies, int kRowBytes, class Place, class Copy>
__device__ __forceinline__ void each_copy(std::uint32_t to, int row, int byte, Place&& place,
                                          Copy&& copy) {
#pragma unroll
  for (int i = 0; i < kCopies; ++i) {
    if constexpr (kRows % 8 == 0) {  // chunks of such rows change places alike
      copy(i, to + place(row, byte) + i * kRows * kRowBytes);
    } else {
      copy(i, to + place(row + i * kRows, byte));
    }
  }
}

/// Of the pixels of each step, rows of kChunks chunks.
template <class K>
class PixelCopies {
 public:
  __device__ __forceinline__ PixelCopies(const BoxOperands& p, const BoxUnit& unit,
                                         const Spot (&spots)[K::kPositions])
      : spots_(spots + first_row()) {
    left_ = p.c.source_channels * K::kPixelBytes - chunk();
    source_ = p.source + std::int64_t{unit.group} * p.c.source_channels * K::kPixelBytes + chunk();
  }

  /// Which pixels a tap meets that shifts tap 0 by (down, right).
  __device__ __forceinline__ void meet(const BoxOperands& p, const Place& place, int down,
                                       int right) {
    const BoxCorrelation& c = p.c;
    const int row = c.rows[place.row_class].source + down;
    const int column = c.columns[place.column_class].source + right;
    from_ = source_ + (std::int64_t{row} * c.source_width + column) * p.source_pitch;
    meets_ = 0;
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      const Spot& spot = spots_[i * kRows];
      const bool meets =
          static_cast<unsigned>(spot.row + down) < static_cast<unsigned>(c.source_height) &&
          static_cast<unsigned>(spot.column + right) < static_cast<unsigned>(c.source_width);
      meets_ |= (meets ? 1U : 0U) << i;
    }
  }
  __device__ __forceinline__ void meet_none() { meets_ = 0; }

  __device__ __forceinline__ void copy(const BoxOperands& p, std::uint32_t to, int channel,
                                       bool exists) const {
    const unsigned meets = exists && channel * K::kPixelBytes < left_ ? meets_ : 0;
    const unsigned char* const from = from_ + channel * K::kPixelBytes;
    each_copy<kRows, kCopies, K::kPixelRowBytes>(
        to, first_row(), chunk(), [](int row, int byte) { return K::pixel_place(row, byte); },
        [&](int i, std::uint32_t at) {
          copy_async<K::kChunk>(at, from + std::uint64_t{spots_[i * kRows].source} * p.source_pitch,
                                (meets >> i & 1U) != 0);
        });
  }

 private:
  static constexpr int kChunks = K::kPixelRowBytes / K::kChunk;
  static constexpr int kRows = K::kThreads / kChunks;  // side by side
  static constexpr int kCopies = K::kPositions / kRows;
  static_assert(K::kThreads % kChunks == 0 && K::kPositions % kRows == 0 && kCopies <= 32);

  static __device__ __forceinline__ int chunk() {
    return static_cast<int>(threadIdx.x) % kChunks * K::kChunk;
  }
  static __device__ __forceinline__ int first_row() {
    return static_cast<int>(threadIdx.x) / kChunks;
  }

  const Spot* spots_;                    // of the thread's first row
  const unsigned char* source_;          // the chunk of the group's first pixel
  const unsigned char* from_ = nullptr;  // of the pixel that the tap would meet from there
  int left_;                             // bytes of source channels from the chunk on
  unsigned meets_ = 0;
};

/// Of the filter of each step.
template <class K>
class FilterCopies {
 public:
  __device__ __forceinline__ FilterCopies(const BoxOperands& p, const BoxUnit& unit) {
    const BoxCorrelation& c = p.c;
    const int end = (unit.group + 1) * c.target_channels;
    if constexpr (K::kTransposed) {
      rows_left_ = c.source_channels - row();
      bytes_left_ = (end - unit.channel) * K::kFilterBytes - chunk();
      filter_ = p.filter + (std::int64_t{unit.group} * c.source_channels + row()) * p.row_pitch +
                (unit.channel - (end - c.target_channels)) * K::kFilterBytes + chunk();
    } else {
      rows_left_ = end - unit.channel - row();
      bytes_left_ = c.source_channels * K::kFilterBytes - chunk();
      filter_ = p.filter + (std::int64_t{unit.channel} + row()) * p.row_pitch + chunk();
    }
  }

  __device__ __forceinline__ void copy_none() { bytes_left_ = 0; }

  __device__ __forceinline__ void copy(const BoxOperands& p, std::uint32_t to, int tap, int channel,
                                       bool exists) const {
    const unsigned char* from = filter_ + std::int64_t{tap} * p.tap_pitch;
    int bytes_left = bytes_left_, rows_left = rows_left_;
    if constexpr (K::kTransposed) {
      from += std::int64_t{channel} * p.row_pitch;
      rows_left -= channel;
    } else {
      from += channel * K::kFilterBytes;
      bytes_left -= channel * K::kFilterBytes;
    }
    rows_left = exists && bytes_left > 0 ? rows_left : 0;
#pragma unroll
    for (int plane = 0; plane < K::kPlanes; ++plane) {
      each_copy<kRows, kCopies, K::kFilterRowBytes>(
          to + plane * K::kFilterPlaneBytes, row(), chunk(),
          [](int row, int byte) { return K::filter_place(row, byte); },
          [&](int i, std::uint32_t at) {
            copy_async<kChunk>(at,
                               from + plane * p.plane_pitch + std::int64_t{i * kRows} * p.row_pitch,
                               i * kRows < rows_left);
          });
    }
  }

 private:
  static constexpr int kChunk = K::kFilterChunk;
  static constexpr int kChunks = K::kFilterRowBytes / kChunk;
  static constexpr int kRows = K::kThreads / kChunks;
  static constexpr int kCopies = K::kFilterRows / kRows;
  static_assert(K::kThreads % kChunks == 0 && K::kFilterRows % kRows == 0);

  static __device__ __forceinline__ int chunk() {
    return static_cast<int>(threadIdx.x) % kChunks * kChunk;
  }
  static __device__ __forceinline__ int row() { return static_cast<int>(threadIdx.x) / kChunks; }

  const unsigned char* filter_;  // the thread's first chunk, of tap 0 and source channel 0
  int rows_left_, bytes_left_;
};

/// All copies of a unit, step by step: tap by tap, K::kStep source channels at a time. A place
/// without taps has one step, of zeros.
template <class K>
class StepCopies {
 public:
  __device__ __forceinline__ StepCopies(const BoxOperands& p, const Place& place,
                                        const BoxUnit& unit, const Spot (&spots)[K::kPositions])
      : p_(p),
        place_(place),
        pixels_(p, unit, spots),
        filter_(p, unit),
        row_(place.row_tap),
        column_(place.column_tap) {
    meet();
    if (place.row_taps * place.column_taps == 0) {
      pixels_.meet_none();
      filter_.copy_none();
    }
  }

  /// The step, or zeros, to the stage at `to`.
  __device__ __forceinline__ void copy(std::uint32_t to, bool exists) const {
    pixels_.copy(p_, to, channel_, exists);
    filter_.copy(p_, to + K::kPixelStageBytes, tap_, channel_, exists);
  }
  __device__ __forceinline__ void advance() {
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
    pixels_.meet(p_, place_, row_ * p_.c.rows[place_.row_class].tap_step,
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
