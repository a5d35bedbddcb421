// Dropout on a GPU: a thread draws one random block, which decides on four elements.
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/common/pack.cuh"
#include "cks/kernels/common/philox.h"
#include "cks/kernels/dropout/dropout.h"

namespace cks::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWords = 4;  // of a random block

template <class T>
struct KeepOrDrop {
  std::uint64_t key;
  std::int64_t count;
  std::int64_t first_block;  // the random block that decides on element -lead
  int lead;                  // its words before element 0's
  float threshold;
  T scale;
  bool packs;
};

template <class T>
__global__ void __launch_bounds__(kThreads)
    dropout_kernel(KeepOrDrop<T> p, const std::int64_t* step, const T* x, T* y) {
  begin_kernel();
  constexpr int V = kPackSize<T>;
  const auto now = static_cast<std::uint64_t>(*step);
  const std::int64_t blocks = ceil_div(p.count + p.lead, kWords);
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t block = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
       block < blocks; block += stride) {
    const PhiloxBlock words =
        random_block(p.key, now, static_cast<std::uint64_t>(p.first_block + block));
    const std::int64_t first = block * kWords - p.lead;
    if (p.packs && first + kWords <= p.count) {
#pragma unroll
      for (int i = 0; i < kWords; i += V) {
        Pack<T, V> pack = load_pack<V>(x + first + i);
#pragma unroll
        for (int v = 0; v < V; ++v) {
          const bool kept = to_unit_interval(words.word[i + v]) >= p.threshold;
          pack[v] = kept ? pack[v] * p.scale : T{0};
        }
        store_pack<V>(y + first + i, pack);
      }
    } else {
#pragma unroll
      for (int i = 0; i < kWords; ++i) {
        if (first + i >= 0 && first + i < p.count) {
          const bool kept = to_unit_interval(words.word[i]) >= p.threshold;
          y[first + i] = kept ? x[first + i] * p.scale : T{0};
        }
      }
    }
  }
}

}  // namespace

void dropout(const DropoutProblem& problem, const std::int64_t* step, const void* x, void* y) {
  visit_real("dropout", problem.dtype, [&](auto zero) {
    using T = decltype(zero);
    if (problem.count == 0) {
      return;
    }
    const int lead = static_cast<int>(problem.first % kWords);
    const KeepOrDrop<T> p{problem.key,
                          problem.count,
                          problem.first / kWords,
                          lead,
                          static_cast<float>(problem.probability),
                          static_cast<T>(1.0 / (1.0 - problem.probability)),
                          lead == 0 && aligned_for_packs(x, y)};
    launch("dropout", dropout_kernel<T>, grid_for(ceil_div(problem.count + lead, kWords), kThreads),
           kThreads, 0, p, step, static_cast<const T*>(x), static_cast<T*>(y));
  });
}

}  // namespace cks::kernels::cuda
