#pragma once
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "cks/kernels/common/cuda_check.h"

namespace cks::testing {

/// As GuardedBuffer (fill.h), in the memory of the current CUDA device: bytes between two guard
/// bands, all 0xff at first, which is a NaN in every floating dtype. With CKS_TEST_POISON=0 in the
/// environment only the bands are, so that a tool sees which elements were never written. data()
/// and as() are device pointers. Only for builds with CUDA.
///
/// The payload starts 256-byte aligned plus `offset` bytes.
class DeviceBuffer {
 public:
  explicit DeviceBuffer(std::size_t bytes, std::size_t offset = 0)
      : bytes_(bytes), begin_(kBand + offset), total_(begin_ + bytes + kBand) {
    CKS_CUDA_CHECK(cudaMalloc(reinterpret_cast<void**>(&memory_), total_));
    CKS_CUDA_CHECK(cudaMemset(memory_, kFill, begin_));
    CKS_CUDA_CHECK(cudaMemset(memory_ + begin_ + bytes_, kFill, kBand));
    poison();
    CKS_CUDA_CHECK(cudaDeviceSynchronize());
  }
  ~DeviceBuffer() { cudaFree(memory_); }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  void* data() { return memory_ + begin_; }
  const void* data() const { return memory_ + begin_; }
  std::size_t bytes() const { return bytes_; }

  template <class T>
  T* as() {
    return reinterpret_cast<T*>(memory_ + begin_);
  }

  /// Sets every byte of the payload to 0xff, unless nothing is to be poisoned.
  void poison() {
    if (!poisons()) {
      return;
    }
    CKS_CUDA_CHECK(cudaDeviceSynchronize());
    CKS_CUDA_CHECK(cudaMemset(data(), kFill, bytes_));
    CKS_CUDA_CHECK(cudaDeviceSynchronize());
  }

  /// Copies bytes() bytes from the host.
  void upload(const void* source) {
    if (bytes_ > 0) {
      CKS_CUDA_CHECK(cudaMemcpy(data(), source, bytes_, cudaMemcpyHostToDevice));
      CKS_CUDA_CHECK(cudaDeviceSynchronize());
    }
  }

  /// Waits for the device, then copies bytes() bytes to the host.
  void download(void* target) const {
    CKS_CUDA_CHECK(cudaDeviceSynchronize());
    if (bytes_ > 0) {
      CKS_CUDA_CHECK(cudaMemcpy(target, data(), bytes_, cudaMemcpyDeviceToHost));
    }
  }

  /// Waits for the device; whether the bands are as they were.
  bool intact() const {
    CKS_CUDA_CHECK(cudaDeviceSynchronize());
    return all_filled(0, begin_) && all_filled(begin_ + bytes_, total_);
  }

 private:
  static constexpr std::size_t kBand = 1024;
  static constexpr unsigned char kFill = 0xff;

  static bool poisons() {
    static const bool answer = [] {
      const char* variable = std::getenv("CKS_TEST_POISON");
      return variable == nullptr || std::string_view(variable) != "0";
    }();
    return answer;
  }
  bool all_filled(std::size_t begin, std::size_t end) const {
    std::vector<unsigned char> band(end - begin);
    CKS_CUDA_CHECK(cudaMemcpy(band.data(), memory_ + begin, band.size(), cudaMemcpyDeviceToHost));
    return std::all_of(band.begin(), band.end(), [](unsigned char byte) { return byte == kFill; });
  }

  std::size_t bytes_;
  std::size_t begin_;
  std::size_t total_;
  unsigned char* memory_ = nullptr;
};

}  // namespace cks::testing
