// Dropout on a GPU: a thread draws one random block, which decides on four elements.
#include "cks/kernels/common/activation.h"
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/common/pack.cuh"
#include "cks/kernels/dropout/dropout.h"
#include "cks/kernels/random/philox.h"

namespace cks::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWords = 4;  // of a random block

template <class T>  // of the arithmetic
struct KeepOrDrop {
  std::uint64_t key;
  std::int64_t count;
  std::int64_t first_block;  // the random block that decides on element -lead
  int lead;                  // its words before element 0's
  float threshold;
  T scale;
  bool packs;
  T mask_slope;
};

template <bool kMasked, class X, class T>
__global__ void __launch_bounds__(kThreads)
    dropout_kernel(KeepOrDrop<T> p, const std::int64_t* step, std::int64_t* drawn, const X* mask,
                   const X* x, X* y) {
  begin_kernel();
  constexpr int V = kPackSize<X> < kWords ? kPackSize<X> : kWords;
  const auto now = static_cast<std::uint64_t>(*step);
  if (drawn != nullptr && blockIdx.x == 0 && threadIdx.x == 0) {
    *drawn = *step;
  }
  const auto result = [&](std::uint32_t word, X value, X sign) {
    const bool kept = to_unit_interval(word) >= p.threshold;
    const T scaled = widen<T>(value) * p.scale;
    return narrowed<X>(kept ? (kMasked ? masked(scaled, widen<T>(sign), p.mask_slope) : scaled)
                            : T{0});
  };
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
        Pack<X, V> pack = load_pack<V>(x + first + i);
        const Pack<X, V> signs = kMasked ? load_pack<V>(mask + first + i) : pack;
#pragma unroll
        for (int v = 0; v < V; ++v) {
          pack[v] = result(words.word[i + v], pack[v], signs[v]);
        }
        store_pack<V>(y + first + i, pack);
      }
    } else {
#pragma unroll
      for (int i = 0; i < kWords; ++i) {
        if (first + i >= 0 && first + i < p.count) {
          const std::int64_t at = first + i;
          y[at] = result(words.word[i], x[at], kMasked ? mask[at] : x[at]);
        }
      }
    }
  }
}

}  // namespace

void dropout(const DropoutProblem& problem, const std::int64_t* step, std::int64_t* drawn,
             const void* x, void* y) {
  visit_floating("dropout", problem.dtype, [&]<class X>(X) {
    using T = ComputeType<X>;
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
                          lead == 0 && aligned_for_packs(x, y, problem.mask),
                          static_cast<T>(problem.mask_slope)};
    launch("dropout",
           problem.mask == nullptr ? dropout_kernel<false, X, T> : dropout_kernel<true, X, T>,
           grid_for(ceil_div(problem.count + lead, kWords), kThreads), kThreads, 0, p, step, drawn,
           static_cast<const X*>(problem.mask), static_cast<const X*>(x), static_cast<X*>(y));
  });
}

}  // namespace cks::kernels::cuda
