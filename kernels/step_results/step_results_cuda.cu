// One block counts the correct classifications of a batch, a thread for each image in turn.
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/step_results/step_results.h"

namespace cks::kernels::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kWarp = 32;

template <class Logit, class Loss>
__global__ void __launch_bounds__(kThreads)
    add_batch_kernel(BatchOutputs p, const Logit* logits, const Loss* loss, StepResults* results) {
  begin_kernel();
  __shared__ int shared[kThreads / kWarp];
  const int thread = static_cast<int>(threadIdx.x);
  int correct = 0;  // a thread's share of fewer than 2^31 images
  if (logits != nullptr) {
    for (std::int64_t i = thread; i < p.images; i += kThreads) {
      const std::int64_t predicted = first_greatest(logits + i * p.classes, p.classes);
      correct += predicted == p.labels[i] ? 1 : 0;
    }
  }
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    correct += __shfl_xor_sync(0xffffffffU, correct, distance);
  }
  if (thread % kWarp == 0) {
    shared[thread / kWarp] = correct;
  }
  __syncthreads();
  if (thread == 0) {
    std::int64_t sum = 0;
    for (int warp = 0; warp < kThreads / kWarp; ++warp) {
      sum += shared[warp];
    }
    add_to_results(*results, static_cast<double>(*loss), p.images, sum);
  }
}

__global__ void judge_step_kernel(const double* gradient_norm, StepResults* results,
                                  std::uint8_t* skip) {
  begin_kernel();
  *skip = judge(*results, *gradient_norm) ? 1 : 0;
}

}  // namespace

void add_batch(const BatchOutputs& outputs, StepResults* results) {
  visit_real("add_batch", outputs.logits_dtype, [&]<class Logit>(Logit) {
    visit_real("add_batch", outputs.loss_dtype, [&]<class Loss>(Loss) {
      launch("add_batch", add_batch_kernel<Logit, Loss>, 1, kThreads, 0, outputs,
             static_cast<const Logit*>(outputs.logits), static_cast<const Loss*>(outputs.loss),
             results);
    });
  });
}

void judge_step(const double* gradient_norm, StepResults* results, std::uint8_t* skip) {
  launch("judge_step", judge_step_kernel, 1, 1, 0, gradient_norm, results, skip);
}

}  // namespace cks::kernels::cuda
