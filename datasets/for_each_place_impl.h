#pragma once
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>

#include "cks/kernels/common/parallel_for.h"

namespace cks {

/// Calls body(i) for all i < count on all threads. Rethrows what the first of them threw, whichever
/// thread came to it when; those behind it may be left out.
template <class Body>
void for_each_place(std::size_t count, Body&& body) {
  std::atomic<std::size_t> first_bad = count;
  std::exception_ptr error;
  std::mutex mutex;
  kernels::parallel_for(static_cast<std::int64_t>(count), [&](std::int64_t place) {
    const auto i = static_cast<std::size_t>(place);
    if (i > first_bad) {
      return;
    }
    try {
      body(i);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (i < first_bad) {
        first_bad = i;
        error = std::current_exception();
      }
    }
  });
  if (error) {
    std::rethrow_exception(error);
  }
}

}  // namespace cks
