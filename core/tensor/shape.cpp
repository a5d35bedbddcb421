#include "cks/core/tensor/shape.h"

#include <limits>
#include <span>

#include "cks/core/error.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {
namespace {

std::string print(std::span<const std::int64_t> extents) {
  return formatted("[{}]", list_text(extents, ","));
}

}  // namespace

Shape::Shape(std::initializer_list<std::int64_t> extents) {
  assign(extents.begin(), extents.size());
}

Shape::Shape(const std::vector<std::int64_t>& extents) { assign(extents.data(), extents.size()); }

void Shape::assign(const std::int64_t* extents, std::size_t count) {
  if (count > static_cast<std::size_t>(kMaxRank)) {
    throw ShapeError(formatted("shape: rank {} exceeds the greatest rank {}", count, kMaxRank));
  }
  // The product of the non-zero extents has to fit, so that no partial product overflows either.
  std::int64_t product = 1;
  bool is_empty = false;
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t extent = extents[i];
    if (extent < 0) {
      throw ShapeError(
          formatted("shape: extents must not be negative, got {}", print({extents, count})));
    }
    if (extent == 0) {
      is_empty = true;
    } else if (product > std::numeric_limits<std::int64_t>::max() / extent) {
      throw ShapeError(formatted("shape: number of elements of {} does not fit into 63 bits",
                                 print({extents, count})));
    } else {
      product *= extent;
    }
    extents_[i] = extent;
  }
  rank_ = static_cast<int>(count);
  numel_ = is_empty ? 0 : product;
}

int Shape::index_of(int axis) const {
  if (axis < -rank_ || axis >= rank_) {
    throw ShapeError(
        formatted("shape: axis {} is outside of {} of rank {}", axis, to_string(), rank_));
  }
  return axis < 0 ? axis + rank_ : axis;
}

Shape Shape::with(int axis, std::int64_t extent) const {
  std::vector<std::int64_t> extents = to_vector();
  extents[static_cast<std::size_t>(index_of(axis))] = extent;
  return Shape(extents);
}

std::string Shape::to_string() const { return print({begin(), end()}); }

Shape broadcast_shapes(const char* operation, const Shape& a, const Shape& b) {
  const int rank = a.rank() > b.rank() ? a.rank() : b.rank();
  std::vector<std::int64_t> extents(static_cast<std::size_t>(rank));
  for (int axis = 0; axis < rank; ++axis) {
    const int axis_a = axis - (rank - a.rank());
    const int axis_b = axis - (rank - b.rank());
    const std::int64_t extent_a = axis_a < 0 ? 1 : a[axis_a];
    const std::int64_t extent_b = axis_b < 0 ? 1 : b[axis_b];
    if (extent_a != extent_b && extent_a != 1 && extent_b != 1) {
      throw ShapeError(
          formatted("{}: shapes {} and {} do not broadcast: extents {} and {} at axis {}",
                    operation, a, b, extent_a, extent_b, axis - rank));
    }
    extents[static_cast<std::size_t>(axis)] = extent_a == 1 ? extent_b : extent_a;
  }
  return Shape(extents);
}

}  // namespace cks
