#pragma once
#include <algorithm>

#include "cks/kernels/common/host_device.h"

/// Work in units, dealt out to workers before it begins. Units stand in groups of equal ones, which
/// follow each other, the longest first; a group knows its first_unit.
namespace cks::kernels::hopper {

/// The number of the group that a unit belongs to, of `count`.
template <class Group>
CKS_HOST_DEVICE int group_of(const Group* groups, int count, int unit) {
  int first = 0, last = count - 1;
  while (first < last) {
    const int middle = (first + last + 1) / 2;
    if (groups[middle].first_unit <= unit) {
      first = middle;
    } else {
      last = middle - 1;
    }
  }
  return first;
}

/// One worker's units, one after the other. Workers take turns, every second round backwards, so
/// that who had one of the longest next has one of the shortest.
template <class Group>
class UnitWalk {
 public:
  /// each: units of every group, 0 if they differ (units_of_each()).
  CKS_HOST_DEVICE UnitWalk(const Group* groups, int count, int units, int each, int worker,
                           int workers)
      : groups_(groups),
        count_(count),
        units_(units),
        each_(each),
        worker_(worker),
        workers_(workers) {}

  /// Goes to the next unit; false after the last.
  CKS_HOST_DEVICE bool next() {
    for (; turn_ * workers_ < units_; ++turn_) {
      unit_ = turn_ * workers_ + (turn_ % 2 == 0 ? worker_ : workers_ - 1 - worker_);
      if (unit_ < units_) {
        ++turn_;
        if (each_ > 0) {  // at once, for there may be hundreds
          group_ = unit_ / each_;
        } else {
          while (group_ + 1 < count_ && unit_ >= groups_[group_ + 1].first_unit) {
            ++group_;
          }
        }
        return true;
      }
    }
    return false;
  }
  CKS_HOST_DEVICE const Group& group() const { return groups_[group_]; }
  /// The unit's number within its group.
  CKS_HOST_DEVICE int index() const { return unit_ - group().first_unit; }

 private:
  const Group* groups_;
  int count_, units_, each_, worker_, workers_;
  int turn_ = 0, unit_ = 0, group_ = 0;
};

/// Units of every group of a plan, 0 if they differ.
template <class Group>
int units_of_each(const Group* groups, int count, int units) {
  const int each = units / count;
  for (int i = 0; i < count; ++i) {
    if (groups[i].first_unit != i * each) {
      return 0;
    }
  }
  return each * count == units ? each : 0;
}

/// The load of the worker that has most of a plan's units; cost(walk) is a unit's.
template <class Plan, class Cost>
double longest_load(const Plan& plan, int workers, Cost&& cost) {
  double longest = 0.0;
  for (int worker = 0; worker < workers; ++worker) {
    double load = 0.0;
    for (auto walk = plan.walk(worker, workers); walk.next();) {
      load += cost(walk);
    }
    longest = std::max(longest, load);
  }
  return longest;
}

}  // namespace cks::kernels::hopper
