#include <numeric>
#include <utility>

#include "cks/core/ops/output.h"
#include "cks/core/ops/rearrange.h"
#include "cks/core/ops/reduce.h"
#include "cks/core/ops/strides_impl.h"
#include "cks/core/ops/traced_options_impl.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"

// Other orders of the same elements: permute, transpose, flatten_chw, upsample_nearest.

namespace cks {
namespace {

/// The order with every axis in [0, rank).
std::vector<int> checked_order(const Tensor& input, const std::vector<int>& order) {
  ops::require_defined("permute", {{"input", input}});
  const int rank = input.rank();
  std::vector<int> axes;
  for (const int axis : order) {
    const int positive = axis < 0 ? axis + rank : axis;
    if (positive < 0 || positive >= rank || contains(axes, positive)) {
      break;
    }
    axes.push_back(positive);
  }
  if (axes.size() != order.size() || static_cast<int>(axes.size()) != rank) {
    throw ShapeError(formatted("permute: order must name each axis once, got {{{}}} (input {})",
                               list_text(order, ","), input.shape()));
  }
  return axes;
}

}  // namespace

Tensor permute(const Tensor& input, const std::vector<int>& order) {
  const std::vector<int> axes = checked_order(input, order);
  const ops::Walk dense = ops::dense_walk(input.shape());
  ops::Walk walk;
  std::vector<std::int64_t> extents;
  std::vector<int> inverse(axes.size());
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<std::size_t>(axes[i]);
    extents.push_back(input.size(axes[i]));
    walk.strides[i] = dense.strides[axis];
    inverse[axis] = static_cast<int>(i);
  }
  const Shape shape(extents);
  Tensor result = ops::make_output("permute", shape, input);
  ops::copy_along(shape, input, walk, result, ops::dense_walk(shape));
  note_options(ops::Permutation{axes});
  return record("permute", result, {input},
                [inverse](const Tensor& grad) { return permute(grad, inverse); });
}

Tensor transpose(const Tensor& input, int a, int b) {
  ops::require_defined("transpose", {{"input", input}});
  std::vector<int> order(static_cast<std::size_t>(input.rank()));
  std::iota(order.begin(), order.end(), 0);
  const auto place = [&](int axis) -> int& {
    const int checked = ops::checked_axis("transpose", axis, input.rank(), input.shape());
    return order[static_cast<std::size_t>(checked)];
  };
  std::swap(place(a), place(b));
  return permute(input, order);
}

Tensor flatten_chw(const Tensor& input) {
  ops::require_rank("flatten_chw", {"input", input}, 4, "[N,H,W,C]");
  const Shape& shape = input.shape();
  if (shape[1] * shape[2] == 1 && Trace::current() == nullptr) {
    return input.reshape({shape[0], shape[3]});
  }
  return permute(input, {0, 3, 1, 2}).reshape({shape[0], shape[1] * shape[2] * shape[3]});
}

Tensor upsample_nearest(const Tensor& input, std::int64_t scale) {
  ops::require_rank("upsample_nearest", {"input", input}, 4, "[N,H,W,C]");
  if (scale < 1) {
    throw ShapeError(formatted("upsample_nearest: scale must be at least 1, got {} (input {})",
                               scale, input.shape()));
  }
  const Shape& in = input.shape();
  // Each pixel is repeated along two axes of its own, in which the source does not move. Building
  // the shapes checks that the products fit.
  const Shape repeated({in[0], in[1], scale, in[2], scale, in[3]});
  const ops::Strides dense = ops::dense_strides(in);
  const ops::Walk walk{0, {dense[0], dense[1], 0, dense[2], 0, dense[3]}};
  Tensor result = ops::make_output("upsample_nearest",
                                   Shape({in[0], in[1] * scale, in[2] * scale, in[3]}), input);
  ops::copy_along(repeated, input, walk, result, ops::dense_walk(repeated));
  note_options(ops::Enlargement{scale});
  return record("upsample_nearest", result, {input}, [repeated](const Tensor& grad) {
    return sum(grad.reshape(repeated), {2, 4});
  });
}

}  // namespace cks
