#pragma once
#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "tests/support/fill.h"
#include "tests/support/threads.h"

namespace cks::testing {

/// Runs a kernel that writes `count` elements to where it is told, with 1, 2 and 5 threads, into
/// poisoned memory between guard bands. Checks that the bands stay as they are and that every
/// number of threads gives the same bits, and returns the elements.
template <class T, class Kernel>
std::vector<T> run_kernel(std::int64_t count, Kernel&& kernel) {
  const ThreadCount restore;
  const auto elements = static_cast<std::size_t>(count);
  std::vector<T> result(elements);
  for (const int threads : {1, 2, 5}) {
    kernels::set_num_threads(threads);
    GuardedBuffer out(elements * sizeof(T));
    kernel(out.template as<T>());
    REQUIRE(out.intact());
    if (elements == 0) {
      continue;
    }
    if (threads == 1) {
      std::memcpy(result.data(), out.data(), out.bytes());
    } else {
      REQUIRE_MESSAGE(std::memcmp(result.data(), out.data(), out.bytes()) == 0, "other bits with ",
                      threads, " threads");
    }
  }
  return result;
}

/// Reals in [low, high) from a seed, the same in float32 and float64 up to rounding.
template <class T>
std::vector<T> random_values(std::int64_t count, std::uint64_t seed, double low = -1.0,
                             double high = 1.0) {
  std::vector<T> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<T>(low + (high - low) * 0.5 * (random_real(seed, i) + 1.0));
  }
  return values;
}

}  // namespace cks::testing
