#pragma once
#include <cstdint>

#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/entry_point.h"
#include "cks/kernels/common/host_device.h"

/// What training steps come to, kept where they run: the host looks when it likes, and a recorded
/// step goes on without it.
namespace cks::kernels {

/// All of float64, so that a tensor holds them; counts are exact up to 2^53.
struct StepResults {
  // Sums over the steps that were judged good.
  double loss_sum;  // over images, of the mean loss of their batch
  double correct;
  double images;
  double steps;
  double is_bad;         // 1 from the first bad step on; nothing above changes any more
  double loss;           // mean loss of the last step, or of the bad one
  double gradient_norm;  // of the last step whose loss was finite; before any, -1
  // Sums over the batches added since the last step was judged.
  double pending_loss_sum;
  double pending_correct;
  double pending_images;
};

CKS_HOST_DEVICE inline void add_to_results(StepResults& results, double mean_loss,
                                           std::int64_t images, std::int64_t correct) {
  results.pending_loss_sum += mean_loss * static_cast<double>(images);
  results.pending_correct += static_cast<double>(correct);
  results.pending_images += static_cast<double>(images);
}

CKS_HOST_DEVICE inline bool is_finite(double x) { return x - x == 0.0; }

/// Takes what is pending into the sums if loss and norm are finite and no step before was bad;
/// returns whether the step must not be taken.
CKS_HOST_DEVICE inline bool judge(StepResults& results, double gradient_norm) {
  if (results.is_bad == 0.0) {
    const double images = results.pending_images;
    results.loss = images == 0.0 ? 0.0 : results.pending_loss_sum / images;
    if (is_finite(results.loss)) {
      results.gradient_norm = gradient_norm;
    }
    if (is_finite(results.loss) && is_finite(gradient_norm)) {
      results.loss_sum += results.loss * images;
      results.correct += results.pending_correct;
      results.images += images;
      results.steps += 1.0;
    } else {
      results.is_bad = 1.0;
    }
  }
  results.pending_loss_sum = 0.0;
  results.pending_correct = 0.0;
  results.pending_images = 0.0;
  return results.is_bad != 0.0;
}

/// Index of the first greatest of `count` >= 1 numbers; a NaN is never greater.
template <class T>
CKS_HOST_DEVICE inline std::int64_t first_greatest(const T* x, std::int64_t count) {
  std::int64_t best = 0;
  for (std::int64_t i = 1; i < count; ++i) {
    if (x[i] > x[best]) {
      best = i;
    }
  }
  return best;
}

/// Outputs of a batch, to be compared with its labels.
struct BatchOutputs {
  std::int64_t images;
  const void* loss;  // its mean, one number
  DType loss_dtype;
  const void* logits = nullptr;  // [images,classes]; null: nothing is counted as correct
  DType logits_dtype = DType::float32;
  std::int64_t classes = 0;
  const std::int64_t* labels = nullptr;  // [images]
};

/// Adds a batch's mean loss, times its images, and its correct classifications to what is pending.
CKS_ENTRY_POINT(void, add_batch, (const BatchOutputs& outputs, StepResults* results));
/// judge(); *skip becomes 1 if the step must not be taken, else 0.
CKS_ENTRY_POINT(void, judge_step,
                (const double* gradient_norm, StepResults* results, std::uint8_t* skip));

}  // namespace cks::kernels
