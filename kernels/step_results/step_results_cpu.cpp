#include "cks/kernels/step_results/step_results.h"

namespace cks::kernels::CKS_CPU {
namespace {

template <class T>
std::int64_t count_correct(const BatchOutputs& outputs) {
  const T* logits = static_cast<const T*>(outputs.logits);
  std::int64_t correct = 0;
  for (std::int64_t i = 0; i < outputs.images; ++i) {
    const std::int64_t predicted = first_greatest(logits + i * outputs.classes, outputs.classes);
    correct += predicted == outputs.labels[i] ? 1 : 0;
  }
  return correct;
}

}  // namespace

void add_batch(const BatchOutputs& outputs, StepResults* results) {
  std::int64_t correct = 0;
  if (outputs.logits != nullptr) {
    visit_real("add_batch", outputs.logits_dtype,
               [&]<class T>(T) { correct = count_correct<T>(outputs); });
  }
  visit_real("add_batch", outputs.loss_dtype, [&]<class T>(T) {
    const auto loss = static_cast<double>(*static_cast<const T*>(outputs.loss));
    add_to_results(*results, loss, outputs.images, correct);
  });
}

void judge_step(const double* gradient_norm, StepResults* results, std::uint8_t* skip) {
  *skip = judge(*results, *gradient_norm) ? 1 : 0;
}

}  // namespace cks::kernels::CKS_CPU
