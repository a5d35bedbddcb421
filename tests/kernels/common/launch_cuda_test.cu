#include <cuda_runtime_api.h>
#include <doctest/doctest.h>

#include <string>
#include <thread>
#include <vector>

#include "cks/kernels/common/launch.cuh"
#include "tests/support/device_buffer.h"

namespace cks::kernels::cuda {
namespace {

using cks::testing::DeviceBuffer;

constexpr int kThreads = 128;

/// Fills `count` ints of dynamic shared memory and reads them from the other end.
template <int kVariant>
__global__ void reverse_kernel(int* out, int count) {
  begin_kernel();
  extern __shared__ int numbers[];
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
    numbers[i] = i + kVariant;
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
    out[i] = numbers[count - 1 - i];
  }
}

/// Shared memory of both kinds, together above what a kernel may use unasked.
__global__ void both_kinds_kernel(int* out, int count) {
  begin_kernel();
  extern __shared__ int numbers[];
  __shared__ int others[kThreads];
  const auto thread = static_cast<int>(threadIdx.x);
  others[thread] = thread;
  numbers[count - kThreads + thread] = 1000 + thread;
  __syncthreads();
  out[thread] = others[kThreads - 1 - thread] + numbers[count - 1 - thread];
}

/// The rank of each block in its cluster.
__global__ void rank_kernel(int* ranks) {
  begin_kernel();
  int rank = -1;
#if __CUDA_ARCH__ >= 900
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
#endif
  if (threadIdx.x == 0) {
    ranks[blockIdx.x] = rank;
  }
}

int attribute(cudaDeviceAttr which) {
  int value = 0;
  CKS_CUDA_CHECK(cudaDeviceGetAttribute(&value, which, current_device()));
  return value;
}

std::vector<int> read(DeviceBuffer& buffer) {
  CKS_CUDA_CHECK(cudaDeviceSynchronize());
  std::vector<int> values(buffer.bytes() / sizeof(int));
  buffer.download(values.data());
  return values;
}

template <class Body>
std::string error_of(Body&& body) {
  try {
    body();
  } catch (const CudaError& error) {
    return error.what();
  }
  return "no error";
}

template <int kVariant>
void check_reverse(int count) {
  const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(int);
  DeviceBuffer out(bytes);
  launch("reverse", reverse_kernel<kVariant>, 1, kThreads, bytes, out.as<int>(), count);
  const std::vector<int> values = read(out);
  CHECK(values.front() == count - 1 + kVariant);
  CHECK(values.back() == kVariant);
}

TEST_CASE("launch: dynamic shared memory beside declared") {
  constexpr int kCount = 48 * 256;  // 48 KiB
  DeviceBuffer out(kThreads * sizeof(int));
  launch("both kinds", both_kinds_kernel, 1, kThreads, kCount * sizeof(int), out.as<int>(), kCount);
  const std::vector<int> values = read(out);
  CHECK(values.front() == 127 + 1127);
  CHECK(values.back() == 1000);
}

TEST_CASE("launch: shared memory up to what the device has") {
  const int most =
      attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin) / static_cast<int>(sizeof(int));
  check_reverse<0>(48 * 256);
  check_reverse<0>(most);  // more, less, and more again
  check_reverse<0>(48 * 256 + 1);
  check_reverse<0>(most);

  const std::string message = error_of([&] { check_reverse<0>(most + 1); });
  CHECK(message.starts_with("reverse: " + std::to_string((most + 1) * sizeof(int)) +
                            " bytes of shared memory: cudaErrorInvalidValue"));
  check_reverse<0>(most);  // the device goes on
}

TEST_CASE("launch: several threads ask for shared memory of one kernel") {
  std::vector<std::thread> threads;
  std::vector<std::string> errors(8);
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&errors, t] {
      errors[static_cast<std::size_t>(t)] = error_of([t] {
        DeviceBuffer out(sizeof(int) * (13000 + static_cast<std::size_t>(t) * 200));
        const int count = static_cast<int>(out.bytes() / sizeof(int));
        launch("reverse", reverse_kernel<1>, 1, kThreads, out.bytes(), out.as<int>(), count);
        CKS_CUDA_CHECK(cudaDeviceSynchronize());
      });
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const std::string& error : errors) {
    CHECK(error == "no error");
  }
}

TEST_CASE("launch: clusters, where the device has them") {
  DeviceBuffer ranks(8 * sizeof(int));
  const auto run = [&](dim3 cluster) {
    launch("ranks", rank_kernel, 8, 32, LaunchOptions(0, cluster), ranks.as<int>());
  };
  if (attribute(cudaDevAttrComputeCapabilityMajor) < 9) {
    CHECK(error_of([&] {
            run(dim3(2));
          }).starts_with("ranks: clusters need compute capability 9.0, the device has "));
  } else {
    run(dim3(4));
    CHECK(read(ranks) == std::vector<int>{0, 1, 2, 3, 0, 1, 2, 3});
  }
  CHECK(error_of([&] { run(dim3(3)); }) ==
        "ranks: grid 8x1x1 cannot be cut into clusters of 3x1x1 (at most 8 blocks, a divisor of "
        "the grid)");
  CHECK(error_of([&] { run(dim3(0)); }).starts_with("ranks: grid 8x1x1 cannot be cut"));
}

}  // namespace
}  // namespace cks::kernels::cuda
