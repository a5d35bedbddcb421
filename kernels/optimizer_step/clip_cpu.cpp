#include <algorithm>
#include <cmath>

#include "cks/kernels/optimizer_step/clip.h"
#include "cks/kernels/reduce/reduce.h"

namespace cks::kernels::CKS_CPU {

std::size_t gradient_norm_workspace_bytes(const NormTensor* tensors, std::int64_t count) {
  std::size_t bytes = 0;  // of one tensor's sum at a time
  for (std::int64_t i = 0; i < count; ++i) {
    bytes = std::max(bytes, sum_of_squares_workspace_bytes(tensors[i].count));
  }
  return bytes;
}

void gradient_norm(const NormTensor* tensors, std::int64_t count, double max_norm, double* norm,
                   double* factor, void* workspace) {
  double sum = 0.0;
  for (std::int64_t i = 0; i < count; ++i) {
    double square = 0.0;
    sum_of_squares(tensors[i].dtype, tensors[i].count, tensors[i].x, &square, workspace);
    sum += square;
  }
  *norm = std::sqrt(sum);
  *factor = clip_ratio(*norm, max_norm);
}

}  // namespace cks::kernels::CKS_CPU
