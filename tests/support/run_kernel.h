#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "tests/support/fill.h"
#include "tests/support/threads.h"
#if defined(CKS_TEST_CUDA)
#  include "tests/support/device_buffer.h"
#endif

// A test of kernels that names them as target::f and hands them memory of this header is compiled
// twice: into kernels_tests for the CPU, and with CKS_TEST_CUDA into kernels_cuda_tests, where
// target is kernels::cuda and every pointer one of the device.

namespace cks::kernels {
namespace cpu {}
namespace cuda {}
#if defined(CKS_TEST_CUDA)
namespace target = cuda;
#else
namespace target = cpu;
#endif
}  // namespace cks::kernels

namespace cks::testing {

#if defined(CKS_TEST_CUDA)

constexpr bool kTestsCuda = true;
using TargetBuffer = DeviceBuffer;

/// A copy of host values where the kernels under test can read it, until the end of the expression
/// that it stands in. Checks at its end that nobody wrote to it.
template <class T>
class OnDevice {
 public:
  explicit OnDevice(const std::vector<T>& values, std::size_t offset = 0)
      : values_(values), buffer_(values.size() * sizeof(T), offset) {
    buffer_.upload(values.data());
  }
  ~OnDevice() {
    std::vector<T> after(values_.size());
    buffer_.download(after.data());
    const std::size_t bytes = buffer_.bytes();
    CHECK((bytes == 0 || std::memcmp(after.data(), values_.data(), bytes) == 0));
    CHECK(buffer_.intact());
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

  operator const T*() { return buffer_.template as<T>(); }

 private:
  std::vector<T> values_;
  DeviceBuffer buffer_;
};

template <class T>
OnDevice<T> on_device(const std::vector<T>& values) {
  return OnDevice<T>(values);
}

/// Runs a kernel three times that writes `count` elements to where it is told, into poisoned
/// memory between guard bands, once `odd_offset` bytes behind a multiple of 256.
/// Checks that the bands stay as they are and that every run gives the same bits, and returns the
/// elements.
template <class T, class Kernel>
std::vector<T> run_kernel(std::int64_t count, Kernel&& kernel, std::size_t odd_offset = sizeof(T)) {
  std::vector<T> result;
  for (const std::size_t offset : {std::size_t{0}, odd_offset, std::size_t{0}}) {
    std::vector<T> now(static_cast<std::size_t>(count));
    DeviceBuffer out(now.size() * sizeof(T), offset);
    kernel(out.template as<T>());
    REQUIRE(out.intact());
    out.download(now.data());
    if (!result.empty()) {
      REQUIRE_MESSAGE(std::memcmp(result.data(), now.data(), out.bytes()) == 0,
                      "other bits in another run, offset ", offset);
    }
    result = std::move(now);
  }
  return result;
}

/// Overwrites what a kernel is about to change in place.
template <class T>
void write_to(T* target, const std::vector<T>& values) {
  CKS_CUDA_CHECK(cudaDeviceSynchronize());  // kernels that still read it; their stream is another
  CKS_CUDA_CHECK(
      cudaMemcpy(target, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
  CKS_CUDA_CHECK(cudaDeviceSynchronize());
}

/// The elements of a buffer that kernels wrote to.
template <class T>
std::vector<T> read_from(const TargetBuffer& buffer) {
  std::vector<T> values(buffer.bytes() / sizeof(T));
  buffer.download(values.data());
  return values;
}

#else

constexpr bool kTestsCuda = false;
using TargetBuffer = GuardedBuffer;

template <class T>
const T* on_device(const std::vector<T>& values) {
  return values.data();
}

template <class T>
void write_to(T* target, const std::vector<T>& values) {
  std::copy(values.begin(), values.end(), target);
}

/// The elements of a buffer that kernels wrote to.
template <class T>
std::vector<T> read_from(const TargetBuffer& buffer) {
  const T* first = buffer.as<T>();
  return std::vector<T>(first, first + buffer.bytes() / sizeof(T));
}

/// Runs a kernel that writes `count` elements to where it is told, with 1, 2 and 5 threads, into
/// poisoned memory between guard bands. Checks that the bands stay as they are and that every
/// number of threads gives the same bits, and returns the elements.
template <class T, class Kernel>
std::vector<T> run_kernel(std::int64_t count, Kernel&& kernel, std::size_t /*odd_offset*/ = 0) {
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

#endif

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

// Tests of kernels are short for it.
using namespace cks::testing;
namespace target = cks::kernels::target;
