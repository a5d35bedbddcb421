#include "cks/core/ops/reduce.h"

#include <algorithm>
#include <numeric>

#include "cks/core/ops/bfloat16_impl.h"
#include "cks/core/ops/broadcast_impl.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/output.h"
#include "cks/core/ops/strides_impl.h"
#include "cks/core/ops/traced_options_impl.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/kernels/elementwise/elementwise.h"
#include "cks/kernels/reduce/reduce.h"

namespace cks {
namespace {

using kernels::ReduceOp;
using kernels::ReduceProblem;

/// Which axes go, from the first on.
using Axes = std::vector<int>;

Axes all_axes(const char* name, const Tensor& input) {
  ops::require_defined(name, {{"input", input}});
  Axes axes(static_cast<std::size_t>(input.rank()));
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

Axes checked_axes(const char* name, const Tensor& input, const std::vector<int>& given) {
  ops::require_defined(name, {{"input", input}});
  Axes axes;
  for (const int axis : given) {
    const int place = ops::checked_axis(name, axis, input.rank(), input.shape());
    if (contains(axes, place)) {
      throw ShapeError(
          formatted("{}: axis {} is named twice (input {})", name, axis, input.shape()));
    }
    axes.push_back(place);
  }
  std::sort(axes.begin(), axes.end());
  return axes;
}

Shape reduced_shape(const Shape& shape, const Axes& axes, bool keepdim) {
  std::vector<std::int64_t> extents;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (!contains(axes, axis)) {
      extents.push_back(shape[axis]);
    } else if (keepdim) {
      extents.push_back(1);
    }
  }
  return Shape(extents);
}

std::int64_t elements_per_result(const Shape& shape, const Axes& axes) {
  return std::accumulate(axes.begin(), axes.end(), std::int64_t{1},
                         [&](std::int64_t count, int axis) { return count * shape[axis]; });
}

void run(const char* name, ReduceOp op, const ReduceProblem& problem, double scale,
         const Tensor& input, Tensor& result) {
  const std::size_t bytes = CKS_KERNEL(input.device(), reduce_workspace_bytes(problem));
  const auto workspace = ops::make_workspace(name, bytes, input.device());
  CKS_KERNEL(input.device(),
             reduce(op, problem, scale, input.data(), result.data(), workspace->data()));
}

/// The reduction of the axes, one group of neighbours after the other, the last first: what lies
/// behind a group has no reduced axis any more. Between groups sums stay in float64.
Tensor reduce_axes(const char* name, ReduceOp op, const Tensor& input, const Axes& axes,
                   double scale, const Shape& result_shape) {
  const Shape& shape = input.shape();
  if (axes.empty()) {
    return input.detach().clone().reshape(result_shape);
  }
  Tensor current = input.detach();
  std::int64_t inner = 1;
  for (int axis = shape.rank() - 1; axis >= axes.front(); --axis) {
    if (!contains(axes, axis)) {
      inner *= shape[axis];
      continue;
    }
    std::int64_t count = shape[axis];
    while (contains(axes, axis - 1)) {
      count *= shape[--axis];
    }
    std::int64_t before = 1;
    for (int k = 0; k < axis; ++k) {
      before *= shape[k];
    }
    const bool is_last = axis == axes.front();
    const DType dtype = is_last || op != ReduceOp::sum ? input.dtype() : DType::float64;
    const ReduceProblem problem{before, count, inner, current.dtype(), dtype};
    Tensor next = is_last ? ops::make_output(name, result_shape, dtype, input.device())
                          : Tensor::empty({before, inner}, dtype, input.device());
    run(name, op, problem, is_last ? scale : 1.0, current, next);
    current = next;
  }
  return current;
}

Tensor sum_axes(const char* name, const Tensor& input, const Axes& axes, bool keepdim,
                bool is_mean) {
  if (ops::is_bfloat16(input)) {
    return ops::in_float32(
        [&](const Tensor& x) { return sum_axes(name, x, axes, keepdim, is_mean); }, input);
  }
  ops::require_real(name, {"input", input});
  const std::int64_t count = elements_per_result(input.shape(), axes);
  const double scale = is_mean ? 1.0 / static_cast<double>(count) : 1.0;
  Tensor result = reduce_axes(name, ReduceOp::sum, input, axes, scale,
                              reduced_shape(input.shape(), axes, keepdim));
  note_options(ops::Reduction{axes, keepdim});
  return record(name, result, {input},
                [name, scale, shape = input.shape(), axes](const Tensor& grad) {
                  const Tensor scaled = scale == 1.0 ? grad : grad * scale;
                  Tensor grad_input = ops::make_output(name, shape, grad);
                  ops::Walk repeated = ops::dense_walk(reduced_shape(shape, axes, true));
                  for (const int axis : axes) {
                    repeated.strides[static_cast<std::size_t>(axis)] = 0;
                  }
                  ops::copy_along(shape, scaled, repeated, grad_input, ops::dense_walk(shape));
                  return grad_input;
                });
}

/// `value` where x equals y, 0 elsewhere, in the shape of x.
Tensor if_equal(const Tensor& x, const Tensor& y, const Tensor& value) {
  Tensor result = ops::make_output("max", x);
  CKS_KERNEL(x.device(), ternary(kernels::TernaryOp::if_equal, x.dtype(),
                                 ops::broadcast_problem(x.shape(), x, y, value), x.data(), y.data(),
                                 value.data(), result.data()));
  return result;
}

Tensor max_axes(const Tensor& input, const Axes& axes, bool keepdim) {
  if (ops::is_bfloat16(input)) {
    return ops::in_float32([&](const Tensor& x) { return max_axes(x, axes, keepdim); }, input);
  }
  ops::require_real("max", {"input", input});
  if (elements_per_result(input.shape(), axes) == 0) {
    throw ShapeError(
        formatted("max: there are no elements to choose from (input {})", input.shape()));
  }
  Tensor result = reduce_axes("max", ReduceOp::max, input, axes, 1.0,
                              reduced_shape(input.shape(), axes, keepdim));
  note_options(ops::Reduction{axes, keepdim});
  return record("max", result, {input}, {input, result},
                [axes](const Tensor& grad, const SavedTensors& saved) {
                  const Tensor& x = saved[0];
                  const Shape kept = reduced_shape(x.shape(), axes, true);
                  const Tensor greatest = saved[1].reshape(kept);
                  const Tensor one = Tensor::ones({}, x.dtype(), x.device());
                  const Tensor ties = reduce_axes("max", ReduceOp::sum, if_equal(x, greatest, one),
                                                  axes, 1.0, kept);
                  return if_equal(x, greatest, grad.reshape(kept) / ties);
                });
}

}  // namespace

Tensor sum(const Tensor& input) { return sum(input, all_axes("sum", input)); }

Tensor sum(const Tensor& input, const std::vector<int>& axes, bool keepdim) {
  return sum_axes("sum", input, checked_axes("sum", input, axes), keepdim, false);
}

Tensor mean(const Tensor& input) { return mean(input, all_axes("mean", input)); }

Tensor mean(const Tensor& input, const std::vector<int>& axes, bool keepdim) {
  return sum_axes("mean", input, checked_axes("mean", input, axes), keepdim, true);
}

Tensor max(const Tensor& input) { return max(input, all_axes("max", input)); }

Tensor max(const Tensor& input, const std::vector<int>& axes, bool keepdim) {
  return max_axes(input, checked_axes("max", input, axes), keepdim);
}

Tensor argmax(const Tensor& input, int axis, bool keepdim) {
  if (ops::is_bfloat16(input)) {
    return argmax(ops::widened(input), axis, keepdim);
  }
  const Axes axes = checked_axes("argmax", input, {axis});
  ops::require_real("argmax", {"input", input});
  const Shape& shape = input.shape();
  ReduceProblem problem{1, shape[axis], 1, input.dtype()};
  if (problem.count == 0) {
    throw ShapeError(formatted("argmax: axis {} is empty (input {})", axis, shape));
  }
  for (int k = 0; k < shape.rank(); ++k) {
    const int chosen = shape.index_of(axis);
    problem.outer *= k < chosen ? shape[k] : 1;
    problem.inner *= k > chosen ? shape[k] : 1;
  }
  Tensor result =
      ops::make_output("argmax", reduced_shape(shape, axes, keepdim), DType::int64, input.device());
  CKS_KERNEL(input.device(), argmax(problem, input.data(), result.data_as<std::int64_t>()));
  return result;
}

Tensor ops::sum_to(const Tensor& input, const Shape& shape) {
  if (input.shape() == shape) {
    return input;
  }
  if (is_bfloat16(input)) {
    return sum_to(widened(input), shape).to(DType::bfloat16);
  }
  Axes axes;
  const int lead = input.rank() - shape.rank();
  for (int axis = 0; axis < input.rank(); ++axis) {
    if (axis < lead || (shape[axis - lead] == 1 && input.size(axis) != 1)) {
      axes.push_back(axis);
    }
  }
  return reduce_axes("sum", ReduceOp::sum, input, axes, 1.0, shape);
}

Tensor ops::sum_to_last_axis(const char* operation, const Tensor& input) {
  if (is_bfloat16_on_cpu(input)) {
    return sum_to_last_axis(operation, widened(input));
  }
  const std::int64_t kept = input.size(-1);
  const std::int64_t rows = kept == 0 ? 0 : input.numel() / kept;
  // For a bias, which is float32 beside bfloat16.
  const DType dtype = is_bfloat16(input) ? DType::float32 : input.dtype();
  Tensor sum = make_output(operation, {kept}, dtype, input.device());
  run(operation, ReduceOp::sum, {1, rows, kept, input.dtype(), dtype}, 1.0, input, sum);
  return sum;
}

}  // namespace cks
