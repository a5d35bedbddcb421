#pragma once
#include "cks/kernels/common/parallel_for.h"

namespace cks::testing {

/// Restores the number of threads when a test ends.
class ThreadCount {
 public:
  ThreadCount() = default;
  explicit ThreadCount(int count) { kernels::set_num_threads(count); }
  ~ThreadCount() { kernels::set_num_threads(before_); }
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;

 private:
  int before_ = kernels::num_threads();
};

}  // namespace cks::testing
