#pragma once
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/mma/stage.cuh"

/// The operands of the filter's gradient, dY^T X: channels by positions at which taps fall inside
/// the image.
namespace cks::kernels::cuda {

struct FilterGradient {
  const float* x;
  const float* dy;
  float* out;  // dW, or [slices][dW]
  std::int64_t x_image, x_row, x_pixel;
  std::int64_t y_image, y_row, y_pixel;
  std::int64_t filter_size;  // elements of dW
  int images, IH, IW, OH, OW, FH, FW;
  int sh, sw, pt, pl, dh, dw;
  int m, n;  // output and input channels of a group
  int n_tiles, slices;
};

/// A position of a rectangle of outputs, in all images.
struct Position {
  int n, h, w;
};

/// Walks over a slice of the positions of a rectangle.
template <class Tile>
struct PositionCursor {
  int height, width;
  std::int64_t begin;
  int left;  // positions still to be loaded
  Position step;

  /// Slices begin at whole stages.
  __device__ __forceinline__ PositionCursor(int images, int of_height, int of_width, int slice,
                                            int slices)
      : height(of_height), width(of_width), step(at(Tile::BK)) {
    const std::int64_t positions = static_cast<std::int64_t>(images) * height * width;
    const std::int64_t stages = ceil_div<std::int64_t>(positions, Tile::BK);
    begin = stages * slice / slices * Tile::BK;
    const std::int64_t stop = stages * (slice + 1) / slices * Tile::BK;
    left = static_cast<int>((stop < positions ? stop : positions) - begin);
  }

  __device__ __forceinline__ Position at(std::int64_t position) const {
    const int per_image = max(1, height * width);
    const int n = static_cast<int>(position / per_image);
    const int rest = static_cast<int>(position - static_cast<std::int64_t>(n) * per_image);
    return {n, rest / max(1, width), rest % max(1, width)};
  }

  /// Moves a position on by a stage, without a division.
  __device__ __forceinline__ void move(Position& position) const {
    position.w += step.w;
    int carry = position.w >= width ? 1 : 0;
    position.w -= carry ? width : 0;
    position.h += step.h + carry;
    carry = position.h >= height ? 1 : 0;
    position.h -= carry ? height : 0;
    position.n += step.n + carry;
  }

  __device__ __forceinline__ bool more() const { return left > 0; }
  __device__ __forceinline__ void advance() { left -= Tile::BK; }
};

/// A: dY at the positions, from the rectangle's first on.
struct OutputPixels {
  const FilterGradient& p;
  const float* first;

  __device__ __forceinline__ const float* address(const Position& at) const {
    return first + at.n * p.y_image + at.h * p.y_row + at.w * p.y_pixel;
  }
  __device__ __forceinline__ bool exists(const Position& /*at*/) const { return true; }
};

/// B: X where a tap meets the positions; it meets output (0, 0) at pixel (top, left). With merged
/// taps that may be outside the image.
template <bool kMergedTaps>
struct InputPixels {
  const FilterGradient& p;
  const float* first;
  int top, left;

  __device__ __forceinline__ const float* address(const Position& at) const {
    return first + at.n * p.x_image + at.h * p.sh * p.x_row + at.w * p.sw * p.x_pixel;
  }
  __device__ __forceinline__ bool exists(const Position& at) const {
    // As unsigned numbers, those below 0 are beyond the end.
    const bool row = static_cast<unsigned>(top + at.h * p.sh) < static_cast<unsigned>(p.IH);
    const bool column = static_cast<unsigned>(left + at.w * p.sw) < static_cast<unsigned>(p.IW);
    return !kMergedTaps || (row & column);
  }
};

/// Loads channels, which are neighbours in memory, of one position a load. A thread's channels are
/// the same in all of them; `exist` tells whether there are any.
template <class Tile, int B, int V, class Pixels>
struct PositionLoader : StageLoader<Tile, float, B, V, false> {
  using Stage = StageLoader<Tile, float, B, V, false>;

  /// Small tiles find out without jumps which pixels exist, so that their loads start early.
  static constexpr bool kRegistersLeft = Tile::TM * Tile::TN <= 16;

  Pixels pixels;
  bool exist;
  Position position[Stage::kLoads];

  __device__ __forceinline__ PositionLoader(const Pixels& from, bool channels_exist,
                                            const PositionCursor<Tile>& cursor)
      : pixels(from), exist(channels_exist) {
#pragma unroll
    for (int i = 0; i < Stage::kLoads; ++i) {
      position[i] = cursor.at(cursor.begin + Stage::k(i));
    }
  }

  __device__ __forceinline__ void load(const PositionCursor<Tile>& cursor) {
#pragma unroll
    for (int i = 0; i < Stage::kLoads; ++i) {
      const bool wanted = exist && Stage::k(i) < cursor.left;
      const bool inside = kRegistersLeft ? pixels.exists(position[i]) && wanted
                                         : wanted && pixels.exists(position[i]);
      this->packs[i] = load_constant_pack<V>(pixels.address(position[i]), inside);
      cursor.move(position[i]);
    }
  }
};

}  // namespace cks::kernels::cuda
