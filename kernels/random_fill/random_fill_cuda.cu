// Random numbers on a GPU: a thread draws one random block, which makes four elements.
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/random_fill/formulas_impl.h"
#include "cks/kernels/random_fill/random_fill.h"

namespace cks::kernels::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void __launch_bounds__(kThreads)
    random_fill_kernel(RandomFillProblem p, const std::int64_t* step, T* y) {
  begin_kernel();
  const auto now = static_cast<std::uint64_t>(*step);
  const std::int64_t blocks = ceil_div(p.count, 4);
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t block = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
       block < blocks; block += stride) {
    const FourNumbers numbers = random_numbers(p, now, block);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (4 * block + i < p.count) {
        y[4 * block + i] = static_cast<T>(numbers.value[i]);
      }
    }
  }
}

}  // namespace

void random_fill(const RandomFillProblem& problem, const std::int64_t* step, void* y) {
  visit_real("random_fill", problem.dtype, [&]<class T>(T) {
    if (problem.count > 0) {
      launch("random_fill", random_fill_kernel<T>, grid_for(ceil_div(problem.count, 4), kThreads),
             kThreads, 0, problem, step, static_cast<T*>(y));
    }
  });
}

}  // namespace cks::kernels::cuda
