#pragma once
#include "cks/kernels/conv2d/hopper/boxes.h"

namespace cks::kernels::hopper {

/// Walks over the units of a worker, a block or a cluster of two, one after the other. All roles of
/// a block walk alike.
class UnitWalk {
 public:
  __device__ UnitWalk(const BoxCorrelation& c, int worker, int workers)
      : c_(c), worker_(worker), workers_(workers) {}

  /// Goes to the next unit; false after the last.
  __device__ __forceinline__ bool next() {
    for (; turn_ * workers_ < c_.units; ++turn_) {
      const int unit = unit_of(turn_, worker_, workers_);
      if (unit >= c_.units) {
        continue;
      }
      ++turn_;
      while (place_ + 1 < c_.places && unit >= c_.place[place_ + 1].first_unit) {
        ++place_;
      }
      const int of_place = unit - c_.place[place_].first_unit;
      const int pair = of_place / c_.channel_units;
      first_ = pair * 2 * c_.box;
      channel_ = (of_place - pair * c_.channel_units) * c_.unit_channels;
      return true;
    }
    return false;
  }

  const __device__ __forceinline__ Place& place() const { return c_.place[place_]; }
  /// The first position of box 0 or 1 of the unit.
  __device__ __forceinline__ int first(int box) const { return first_ + box * c_.box; }
  /// The first channel of the result.
  __device__ __forceinline__ int channel() const { return channel_; }

 private:
  const BoxCorrelation& c_;
  int worker_, workers_;
  int turn_ = 0, place_ = 0, first_ = 0, channel_ = 0;
};

}  // namespace cks::kernels::hopper
