#include "cks/core/ops/random_fill.h"

#include "cks/core/ops/output.h"
#include "cks/kernels/random_fill/random_fill.h"

namespace cks {
namespace {

using kernels::RandomKind;

void fill(const char* operation, RandomKind kind, Tensor& tensor, double a, double b, RandomKey key,
          const Tensor& step) {
  ops::require_dtype(operation, {"step", step}, DType::int64);
  ops::require_one_element(operation, {"step", step});
  ops::require_same_device(operation, {"step", step}, {"tensor", tensor});
  const kernels::RandomFillProblem problem{kind, tensor.dtype(), tensor.numel(), a, b, key.value};
  CKS_KERNEL(tensor.device(), random_fill(problem, step.data_as<std::int64_t>(), tensor.data()));
  tensor.bump_version();
}

}  // namespace

void fill_uniform(Tensor& tensor, double low, double high, RandomKey key, const Tensor& step) {
  ops::require_uniform("fill_uniform", tensor, low, high);
  fill("fill_uniform", RandomKind::uniform, tensor, low, high, key, step);
}

void fill_normal(Tensor& tensor, double mean, double stddev, RandomKey key, const Tensor& step) {
  ops::require_normal("fill_normal", tensor, mean, stddev);
  fill("fill_normal", RandomKind::normal, tensor, mean, stddev, key, step);
}

}  // namespace cks
