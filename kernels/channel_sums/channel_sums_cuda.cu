// Per-channel sums in two stages: a block adds one slice of the pixels for 32 channels, a second
// kernel adds the slices in order.
#include "cks/kernels/channel_sums/channel_sums.h"
#include "cks/kernels/common/launch.cuh"

namespace cks::kernels::cuda {
namespace {

constexpr int kChannels = 32;  // of a block, side by side in memory
constexpr int kSharers = 8;    // threads that share the pixels of a channel

template <class T>
__global__ void __launch_bounds__(kChannels* kSharers)
    channel_sums_kernel(const T* values, double* partial, ChannelSumsProblem p) {
  begin_kernel();
  __shared__ double sums[2][kSharers][kChannels];
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kChannels + threadIdx.x;
  const std::int64_t slice = blockIdx.y;
  double sum = 0.0, square = 0.0;
  if (c < p.channels) {
    const std::int64_t end = p.pixels * (slice + 1) / kChannelSlices;
    for (std::int64_t i = p.pixels * slice / kChannelSlices + threadIdx.y; i < end; i += kSharers) {
      const auto value = static_cast<double>(values[i * p.pitch + c]);
      sum += value;
      square += value * value;
    }
  }
  sums[0][threadIdx.y][threadIdx.x] = sum;
  sums[1][threadIdx.y][threadIdx.x] = square;
  __syncthreads();
  if (threadIdx.y < 2 && c < p.channels) {
    double total = 0.0;
    for (int other = 0; other < kSharers; ++other) {
      total += sums[threadIdx.y][other][threadIdx.x];
    }
    partial[(slice * 2 + threadIdx.y) * p.channels + c] = total;
  }
}

__global__ void add_channel_slices_kernel(const double* partial, double* sums, std::int64_t count) {
  begin_kernel();
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) {
    double total = 0.0;
    for (std::int64_t slice = 0; slice < kChannelSlices; ++slice) {
      total += partial[slice * count + i];
    }
    sums[i] = total;
  }
}

}  // namespace

void channel_sums(const ChannelSumsProblem& p, const void* values, double* sums, void* workspace) {
  auto* partial = static_cast<double*>(workspace);
  const dim3 grid(static_cast<unsigned>(ceil_div<std::int64_t>(p.channels, kChannels)),
                  static_cast<unsigned>(kChannelSlices));
  visit_real("channel_sums", p.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch("channel_sums", channel_sums_kernel<T>, grid, dim3(kChannels, kSharers), 0,
           static_cast<const T*>(values), partial, p);
  });
  const std::int64_t count = 2 * p.channels;
  launch("channel_sums", add_channel_slices_kernel,
         static_cast<unsigned>(ceil_div<std::int64_t>(count, 128)), 128, 0, partial, sums, count);
}

}  // namespace cks::kernels::cuda
