#include "cks/kernels/concat/concat.h"

#include <string>

#include "cks/core/ops/gradient_terms_impl.h"
#include "cks/core/ops/output.h"
#include "cks/core/ops/rearrange.h"
#include "cks/core/ops/strides_impl.h"
#include "cks/core/ops/traced_options_impl.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"

// Putting tensors together and taking parts of them: concat, stack, slice, pad.

namespace cks {
namespace {

/// Same dtype and device as the first, and the same shape but for `free_axis` (-1: no exception).
void check_inputs(const char* name, const std::vector<Tensor>& inputs, int free_axis) {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::string own = formatted("inputs[{}]", i);
    ops::require_same(name, {{"inputs[0]", inputs[0]}, {own.c_str(), inputs[i]}});
    const Shape& shape = inputs[i].shape();
    const bool fits = free_axis < 0 || shape.rank() != inputs[0].rank()
                          ? shape == inputs[0].shape()
                          : shape.with(free_axis, 0) == inputs[0].shape().with(free_axis, 0);
    if (!fits) {
      throw ShapeError(formatted(
          "{}: {} has shape {}, inputs[0] has {}{}", name, own, shape, inputs[0].shape(),
          free_axis < 0 ? ", expected equal shapes"
                        : ", expected the same but for axis " + std::to_string(free_axis)));
    }
  }
}

/// Tensors side by side along an axis as rows: the axes before it are rows, those behind it belong
/// to a row's elements.
struct Widths {
  std::int64_t rows = 1;
  std::vector<std::int64_t> all;

  Widths(const Shape& shape, int axis, const std::vector<std::int64_t>& extents) {
    std::int64_t inner = 1;
    for (int i = 0; i < shape.rank(); ++i) {
      (i < axis ? rows : inner) *= i == axis ? 1 : shape[i];
    }
    all = mapped(extents, [inner](std::int64_t extent) { return extent * inner; });
  }
  kernels::ConcatProblem of(const Tensor& whole) const { return {rows, all, whole.dtype()}; }
};

/// The gradients of concat's inputs.
std::vector<Tensor> parts_of(const Tensor& grad, int along,
                             const std::vector<std::int64_t>& extents, const GradientWork& work,
                             const std::vector<bool>& needed, const SavedTensors& saved) {
  std::vector<Tensor> gradients(extents.size());
  std::vector<kernels::SplitPart> parts(extents.size());
  for (std::size_t i = 0; i < extents.size(); ++i) {
    if (!needed[i]) {
      continue;
    }
    gradients[i] = ops::make_output("concat", grad.shape().with(along, extents[i]), grad);
    parts[i].to = gradients[i].data();
    if (work.input_slope(i) != 1.0) {
      parts[i].y = saved[i].data();
      parts[i].slope = work.input_slope(i);
    }
  }
  if (grad.numel() > 0) {
    const Widths widths(grad.shape(), along, extents);
    CKS_KERNEL(grad.device(), split(widths.of(grad), ops::terms_of(grad, work), parts));
  }
  return gradients;
}

}  // namespace

Tensor concat(const std::vector<Tensor>& inputs, int axis) {
  if (inputs.empty()) {
    throw ShapeError("concat: there are no inputs");
  }
  ops::require_defined("concat", {{"inputs[0]", inputs[0]}});
  const Shape& first = inputs[0].shape();
  const int along = ops::checked_axis("concat", axis, first.rank(), first);
  check_inputs("concat", inputs, along);
  std::vector<std::int64_t> extents;
  std::int64_t total = 0;
  for (const Tensor& input : inputs) {
    extents.push_back(input.size(along));
    if (extents.back() > INT64_MAX - total) {  // empty inputs may be as long as they like
      throw ShapeError(
          formatted("concat: the inputs have more than 2^63 - 1 rows along axis {}", along));
    }
    total += extents.back();
  }
  Tensor result = ops::make_output("concat", first.with(along, total), inputs[0]);
  if (result.numel() > 0) {
    const Widths widths(first, along, extents);
    const auto parts = mapped(inputs, [](const Tensor& input) { return input.data(); });
    CKS_KERNEL(result.device(), concat(widths.of(result), parts, result.data()));
  }
  note_options(ops::AlongAxis{along});
  const Tensor recorded =
      record("concat", result, inputs,
             mapped(inputs,
                    [](const Tensor& input) { return ops::may_mask_by(input) ? input : Tensor(); }),
             [along, extents](const Tensor& grad, const GradientWork& work,
                              const std::vector<bool>& needed, const SavedTensors& saved) {
               return parts_of(grad, along, extents, work, needed, saved);
             });
  return ops::declared(recorded, {.added_terms = kernels::kSplitTerms,
                                  .masked_inputs = static_cast<int>(inputs.size())});
}

Tensor stack(const std::vector<Tensor>& inputs, int axis) {
  if (inputs.empty()) {
    throw ShapeError("stack: there are no inputs");
  }
  ops::require_defined("stack", {{"inputs[0]", inputs[0]}});
  const Shape& shape = inputs[0].shape();
  const int along = ops::checked_axis("stack", axis, shape.rank() + 1, shape);
  check_inputs("stack", inputs, -1);
  std::vector<std::int64_t> extents = shape.to_vector();
  extents.insert(extents.begin() + along, 1);
  const Shape with_axis(extents);
  return concat(mapped(inputs, [&](const Tensor& input) { return input.reshape(with_axis); }),
                along);
}

Tensor slice(const Tensor& input, int axis, std::int64_t begin, std::int64_t end,
             std::int64_t step) {
  ops::require_defined("slice", {{"input", input}});
  const Shape& shape = input.shape();
  const int along = ops::checked_axis("slice", axis, shape.rank(), shape);
  if (begin < 0 || end < begin || end > shape[along] || step < 1) {
    throw ShapeError(
        formatted("slice: [{},{}) with step {} is not within axis {} of input {}, expected 0 <= "
                  "begin <= end <= {} and step >= 1",
                  begin, end, step, along, shape, shape[along]));
  }
  const std::int64_t count = begin == end ? 0 : (end - begin - 1) / step + 1;
  const Shape part = shape.with(along, count);
  ops::Walk walk = ops::dense_walk(shape);
  std::int64_t& stride = walk.strides[static_cast<std::size_t>(along)];
  walk.offset = begin * stride;
  stride = count > 1 ? stride * step : stride;
  Tensor result = ops::make_output("slice", part, input);
  ops::copy_along(part, input, walk, result, ops::dense_walk(part));
  note_options(ops::Range{along, begin, end, step});
  return record("slice", result, {input}, [shape, part, walk](const Tensor& grad) {
    Tensor grad_input = ops::make_output("slice", shape, grad);
    grad_input.zero_();
    ops::copy_along(part, grad, ops::dense_walk(part), grad_input, walk);
    return grad_input;
  });
}

Tensor pad(const Tensor& input, const std::vector<PadAmount>& amounts, double value) {
  ops::require_defined("pad", {{"input", input}});
  const Shape& part = input.shape();
  if (static_cast<int>(amounts.size()) != part.rank()) {
    throw ShapeError(formatted("pad: expected one amount for each axis, got {} (input {})",
                               amounts.size(), part));
  }
  Shape shape = part;
  for (int axis = 0; axis < part.rank(); ++axis) {
    const PadAmount& amount = amounts[static_cast<std::size_t>(axis)];
    constexpr std::int64_t kLimit = std::int64_t{1} << 60;  // keeps the sum within 64 bits
    if (amount.before < 0 || amount.after < 0 || amount.before > kLimit || amount.after > kLimit) {
      throw ShapeError(formatted(
          "pad: amounts of axis {} are {} and {}, expected 0 or more and no overflow (input {})",
          axis, amount.before, amount.after, part));
    }
    shape = shape.with(axis, amount.before + part[axis] + amount.after);
  }
  ops::Walk walk = ops::dense_walk(shape);
  for (std::size_t axis = 0; axis < amounts.size(); ++axis) {
    walk.offset += amounts[axis].before * walk.strides[axis];
  }
  Tensor result = ops::make_output("pad", shape, input);
  result.fill_(value);
  ops::copy_along(part, input, ops::dense_walk(part), result, walk);
  note_options(ops::Surrounding{amounts, value});
  return record("pad", result, {input}, [part, walk](const Tensor& grad) {
    Tensor grad_input = ops::make_output("pad", part, grad);
    ops::copy_along(part, grad, walk, grad_input, ops::dense_walk(part));
    return grad_input;
  });
}

}  // namespace cks
