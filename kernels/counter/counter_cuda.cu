#include <algorithm>

#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/counter/counter.h"

namespace cks::kernels::cuda {
namespace {

constexpr int kMaxCounters = 256;  // of a launch; kernel parameters hold 4 KB

struct Counters {
  std::int64_t* counter[kMaxCounters];
};

__global__ void count_up_kernel(const __grid_constant__ Counters p, const std::uint8_t* skip) {
  begin_kernel();
  if (skip == nullptr || *skip == 0) {
    ++*p.counter[threadIdx.x];
  }
}

}  // namespace

void count_up(std::int64_t* counter) { count_up(&counter, 1); }

void count_up(std::int64_t* const* counters, std::int64_t count, const std::uint8_t* skip) {
  for (std::int64_t done = 0; done < count; done += kMaxCounters) {
    const std::int64_t now = std::min<std::int64_t>(kMaxCounters, count - done);
    Counters chunk{};
    std::copy(counters + done, counters + done + now, chunk.counter);
    launch("count_up", count_up_kernel, 1, static_cast<unsigned>(now), 0, chunk, skip);
  }
}

}  // namespace cks::kernels::cuda
