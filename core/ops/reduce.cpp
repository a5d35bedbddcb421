#include "cks/core/ops/reduce.h"

#include <bitset>

#include "cks/core/ops/bfloat16_impl.h"
#include "cks/core/ops/broadcast_impl.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/output.h"
#include "cks/core/ops/strides_impl.h"
#include "cks/core/ops/traced_options_impl.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/elementwise/elementwise.h"
#include "cks/kernels/reduce/reduce.h"

namespace cks {
namespace {

using kernels::ReduceOp;
using kernels::ReduceProblem;

/// Which axes go.
using AxisSet = std::bitset<Shape::kMaxRank>;

constexpr AxisSet kAllAxes{(1U << Shape::kMaxRank) - 1};

AxisSet make_axis_set(const char* name, const Tensor& input, const std::vector<int>& axes) {
  ops::require_defined(name, {{"input", input}});
  AxisSet set;
  for (const int axis : axes) {
    const int place = ops::checked_axis(name, axis, input.rank(), input.shape());
    if (set.test(static_cast<std::size_t>(place))) {
      throw ShapeError(
          formatted("{}: axis {} is named twice (input {})", name, axis, input.shape()));
    }
    set.set(static_cast<std::size_t>(place));
  }
  return set;
}

ops::Reduction reduction(const Tensor& input, const AxisSet& set, bool keepdim) {
  ops::Reduction reduction{.keepdim = keepdim};
  for (int axis = 0; axis < input.rank(); ++axis) {
    if (set[static_cast<std::size_t>(axis)]) {
      reduction.axes.push_back(axis);
    }
  }
  return reduction;
}

Shape reduced_shape(const Shape& shape, const AxisSet& set, bool keepdim) {
  std::vector<std::int64_t> extents;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (!set[static_cast<std::size_t>(axis)]) {
      extents.push_back(shape[axis]);
    } else if (keepdim) {
      extents.push_back(1);
    }
  }
  return Shape(extents);
}

std::int64_t elements_per_result(const Shape& shape, const AxisSet& set) {
  std::int64_t count = 1;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    count *= set[static_cast<std::size_t>(axis)] ? shape[axis] : 1;
  }
  return count;
}

void run(const char* name, ReduceOp op, const ReduceProblem& problem, double scale,
         const Tensor& input, Tensor& result) {
  const std::size_t bytes = CKS_KERNEL(input.device(), reduce_workspace_bytes(problem));
  const auto workspace = ops::make_workspace(name, bytes, input.device());
  CKS_KERNEL(input.device(),
             reduce(op, problem, scale, input.data(), result.data(), workspace->data()));
}

/// The reduction of the axes of the set, one group of neighbours after the other, the last first:
/// what lies behind a group has no reduced axis any more. Between groups sums stay in float64.
Tensor reduce_axes(const char* name, ReduceOp op, const Tensor& input, const AxisSet& set,
                   double scale, const Shape& result_shape) {
  const Shape& shape = input.shape();
  const auto goes = [&](int axis) { return set[static_cast<std::size_t>(axis)]; };
  int first_group = 0;  // the set's first axis
  while (first_group < shape.rank() && !goes(first_group)) {
    ++first_group;
  }
  if (first_group == shape.rank()) {
    return input.detach().clone().reshape(result_shape);
  }

  Tensor current = input.detach();
  std::int64_t inner = 1;
  for (int axis = shape.rank() - 1; axis >= first_group; --axis) {
    if (!goes(axis)) {
      inner *= shape[axis];
      continue;
    }
    std::int64_t count = shape[axis];
    while (axis > 0 && goes(axis - 1)) {
      count *= shape[--axis];
    }
    std::int64_t before = 1;
    for (int k = 0; k < axis; ++k) {
      before *= shape[k];
    }
    const bool is_last = axis == first_group;
    const DType dtype = is_last || op != ReduceOp::sum ? input.dtype() : DType::float64;
    const ReduceProblem problem{before, count, inner, current.dtype(), dtype};
    Tensor next = is_last ? ops::make_output(name, result_shape, dtype, input.device())
                          : Tensor::empty({before, inner}, dtype, input.device());
    run(name, op, problem, is_last ? scale : 1.0, current, next);
    current = next;
  }
  return current;
}

Tensor sum_axes(const char* name, const Tensor& input, const AxisSet& set, bool keepdim,
                bool is_mean) {
  if (ops::is_bfloat16(input)) {
    return ops::in_float32(
        [&](const Tensor& x) { return sum_axes(name, x, set, keepdim, is_mean); }, input);
  }
  ops::require_real(name, {"input", input});
  const std::int64_t count = elements_per_result(input.shape(), set);
  const double scale = is_mean ? 1.0 / static_cast<double>(count) : 1.0;
  Tensor result = reduce_axes(name, ReduceOp::sum, input, set, scale,
                              reduced_shape(input.shape(), set, keepdim));
  note_options(reduction(input, set, keepdim));
  return record(name, result, {input},
                [name, scale, shape = input.shape(), set](const Tensor& grad) {
                  const Tensor scaled = scale == 1.0 ? grad : grad * scale;
                  Tensor grad_input = ops::make_output(name, shape, grad);
                  ops::Walk repeated = ops::dense_walk(reduced_shape(shape, set, true));
                  for (int axis = 0; axis < shape.rank(); ++axis) {
                    if (set[static_cast<std::size_t>(axis)]) {
                      repeated.strides[static_cast<std::size_t>(axis)] = 0;
                    }
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

Tensor max_axes(const Tensor& input, const AxisSet& set, bool keepdim) {
  if (ops::is_bfloat16(input)) {
    return ops::in_float32([&](const Tensor& x) { return max_axes(x, set, keepdim); }, input);
  }
  ops::require_real("max", {"input", input});
  if (elements_per_result(input.shape(), set) == 0) {
    throw ShapeError(
        formatted("max: there are no elements to choose from (input {})", input.shape()));
  }
  Tensor result = reduce_axes("max", ReduceOp::max, input, set, 1.0,
                              reduced_shape(input.shape(), set, keepdim));
  note_options(reduction(input, set, keepdim));
  return record("max", result, {input}, {input, result},
                [set](const Tensor& grad, const SavedTensors& saved) {
                  const Tensor& x = saved[0];
                  const Shape kept = reduced_shape(x.shape(), set, true);
                  const Tensor greatest = saved[1].reshape(kept);
                  const Tensor one = Tensor::ones({}, x.dtype(), x.device());
                  const Tensor ties =
                      reduce_axes("max", ReduceOp::sum, if_equal(x, greatest, one), set, 1.0, kept);
                  return if_equal(x, greatest, grad.reshape(kept) / ties);
                });
}

}  // namespace

Tensor sum(const Tensor& input) { return sum_axes("sum", input, kAllAxes, false, false); }

Tensor sum(const Tensor& input, const std::vector<int>& axes, bool keepdim) {
  return sum_axes("sum", input, make_axis_set("sum", input, axes), keepdim, false);
}

Tensor mean(const Tensor& input) { return sum_axes("mean", input, kAllAxes, false, true); }

Tensor mean(const Tensor& input, const std::vector<int>& axes, bool keepdim) {
  return sum_axes("mean", input, make_axis_set("mean", input, axes), keepdim, true);
}

Tensor max(const Tensor& input) { return max_axes(input, kAllAxes, false); }

Tensor max(const Tensor& input, const std::vector<int>& axes, bool keepdim) {
  return max_axes(input, make_axis_set("max", input, axes), keepdim);
}

Tensor argmax(const Tensor& input, int axis, bool keepdim) {
  if (ops::is_bfloat16(input)) {
    return argmax(ops::widened(input), axis, keepdim);
  }
  const AxisSet set = make_axis_set("argmax", input, {axis});
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
      ops::make_output("argmax", reduced_shape(shape, set, keepdim), DType::int64, input.device());
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
  AxisSet set;
  const int lead = input.rank() - shape.rank();
  for (int axis = 0; axis < input.rank(); ++axis) {
    set[static_cast<std::size_t>(axis)] =
        axis < lead || (shape[axis - lead] == 1 && input.size(axis) != 1);
  }
  return reduce_axes("sum", ReduceOp::sum, input, set, 1.0, shape);
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
