#include "cks/kernels/upsample_bilinear/upsample_bilinear.h"

#include "cks/core/ops/bfloat16_impl.h"
#include "cks/core/ops/output.h"
#include "cks/core/ops/rearrange.h"
#include "cks/core/ops/traced_options_impl.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {

Tensor upsample_bilinear(const Tensor& input, Size2 size, bool align_corners) {
  const char* name = "upsample_bilinear";
  if (ops::is_bfloat16(input)) {
    return ops::in_float32(
        [&](const Tensor& x) { return upsample_bilinear(x, size, align_corners); }, input);
  }
  ops::require_real(name, {"input", input});
  ops::require_rank(name, {"input", input}, 4, "[N,H,W,C]");
  const Shape in = input.shape();
  constexpr std::int64_t kMost = std::int64_t{1} << 30;  // products of two extents fit
  const auto fits = [](std::int64_t extent) { return extent >= 1 && extent <= kMost; };
  if (!fits(in[1]) || !fits(in[2]) || !fits(size.h) || !fits(size.w)) {
    throw ShapeError(formatted(
        "{}: size is {{{},{}}}, expected extents from 1 to 2^30, as of the image (input {})", name,
        size.h, size.w, in));
  }
  const kernels::BilinearProblem problem{in[0],  in[1], in[2],         size.h,
                                         size.w, in[3], align_corners, input.dtype()};
  Tensor result = ops::make_output(name, {in[0], size.h, size.w, in[3]}, input);
  CKS_KERNEL(input.device(), upsample_bilinear_forward(problem, input.data(), result.data()));
  note_options(ops::Resampling{size, align_corners});
  return record(name, std::move(result), {input}, [name, problem, in](const Tensor& grad) {
    Tensor grad_input = ops::make_output(name, in, grad);
    CKS_KERNEL(grad.device(), upsample_bilinear_backward(problem, grad.data(), grad_input.data()));
    return grad_input;
  });
}

}  // namespace cks
