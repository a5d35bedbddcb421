#include "cks/core/ops/step_results.h"

#include <cstddef>
#include <cstring>
#include <vector>

#include "cks/core/ops/bfloat16_impl.h"
#include "cks/core/ops/output.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/step_results/step_results.h"

namespace cks {
namespace {

constexpr const char* kAdd = "StepResults::add";
constexpr const char* kJudge = "StepResults::judge";
constexpr std::size_t kNumbers = sizeof(kernels::StepResults) / sizeof(double);
static_assert(kNumbers * sizeof(double) == sizeof(kernels::StepResults));

kernels::StepResults to_host(const Tensor& values) {
  capture::forbid("StepResults::read");
  const std::vector<double> numbers = values.to_vector<double>();
  kernels::StepResults results{};
  std::memcpy(&results, numbers.data(), sizeof(results));
  return results;
}

std::int64_t whole(double count) { return static_cast<std::int64_t>(count); }

}  // namespace

StepResults::StepResults(Device device)
    : values_(Tensor::empty({static_cast<std::int64_t>(kNumbers)}, DType::float64, device)),
      skip_(Tensor::zeros({}, DType::uint8, device)) {
  reset({.gradient_norm = -1.0});
}

void StepResults::add(const Tensor& loss, std::int64_t images, const Tensor& logits,
                      const Tensor& labels) {
  if (ops::is_bfloat16(logits)) {
    return add(loss, images, ops::widened(logits), labels);
  }
  const Device device = values_.device();
  const ops::Argument here{"the results", values_};
  ops::require_same_device(kAdd, {"loss", loss}, here);
  ops::require_real(kAdd, {"loss", loss});
  if (loss.numel() != 1 || images < 0) {
    throw ShapeError(
        formatted("{}: loss has shape {} for {} images, expected one element and at least 0", kAdd,
                  loss.shape(), images));
  }
  kernels::BatchOutputs outputs{.images = images, .loss = loss.data(), .loss_dtype = loss.dtype()};
  if (logits.defined()) {
    ops::require_same_device(kAdd, {"logits", logits}, here);
    ops::require_same_device(kAdd, {"labels", labels}, here);
    ops::require_real(kAdd, {"logits", logits});
    ops::require_rank(kAdd, {"logits", logits}, 2, "[images,classes]");
    if (logits.size(0) != images || logits.size(1) < 1) {
      throw ShapeError(formatted("{}: logits have shape {}, expected [{},classes] with a class",
                                 kAdd, logits.shape(), images));
    }
    ops::require_dtype(kAdd, {"labels", labels}, DType::int64);
    ops::require_shape(kAdd, {"labels", labels}, {images});
    outputs.logits = logits.data();
    outputs.logits_dtype = logits.dtype();
    outputs.classes = logits.size(1);
    outputs.labels = labels.data_as<std::int64_t>();
  }
  auto* results = static_cast<kernels::StepResults*>(values_.data());
  CKS_KERNEL(device, add_batch(outputs, results));
  values_.bump_version();
}

Tensor StepResults::pending() const {
  constexpr std::int64_t kFirst = offsetof(kernels::StepResults, pending_loss_sum) / sizeof(double);
  return values_.slice(kFirst, kFirst + 3);
}

const Tensor& StepResults::judge(const Tensor& gradient_norm) {
  const Device device = values_.device();
  ops::require_same_device(kJudge, {"gradient_norm", gradient_norm}, {"the results", values_});
  ops::require_dtype(kJudge, {"gradient_norm", gradient_norm}, DType::float64);
  ops::require_one_element(kJudge, {"gradient_norm", gradient_norm});
  auto* results = static_cast<kernels::StepResults*>(values_.data());
  CKS_KERNEL(device,
             judge_step(gradient_norm.data_as<double>(), results, skip_.data_as<std::uint8_t>()));
  values_.bump_version();
  skip_.bump_version();
  return skip_;
}

void StepResults::reset(const StepSummary& sums) {
  capture::forbid("StepResults::reset");
  const kernels::StepResults results{.loss_sum = sums.loss_sum,
                                     .correct = static_cast<double>(sums.correct),
                                     .images = static_cast<double>(sums.images),
                                     .steps = static_cast<double>(sums.steps),
                                     .is_bad = sums.is_bad ? 1.0 : 0.0,
                                     .loss = sums.loss,
                                     .gradient_norm = sums.gradient_norm,
                                     .pending_loss_sum = 0.0,
                                     .pending_correct = 0.0,
                                     .pending_images = 0.0};
  std::vector<double> numbers(kNumbers);
  std::memcpy(numbers.data(), &results, sizeof(results));
  values_.copy_(Tensor::from_vector(numbers, values_.shape()));
}

StepSummary StepResults::read() const {
  const kernels::StepResults results = to_host(values_);
  return {.loss_sum = results.loss_sum,
          .correct = whole(results.correct),
          .images = whole(results.images),
          .steps = whole(results.steps),
          .is_bad = results.is_bad != 0.0,
          .loss = results.loss,
          .gradient_norm = results.gradient_norm};
}

StepSummary StepResults::read_pending() const {
  const kernels::StepResults results = to_host(values_);
  const double images = results.pending_images;
  return {.loss_sum = results.pending_loss_sum,
          .correct = whole(results.pending_correct),
          .images = whole(images),
          .steps = 1,
          .is_bad = !kernels::is_finite(results.pending_loss_sum),
          .loss = images == 0.0 ? 0.0 : results.pending_loss_sum / images,
          .gradient_norm = -1.0};
}

}  // namespace cks
