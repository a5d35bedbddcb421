#pragma once
#include <cstdint>
#include <memory>

#include "cks/core/tensor/tensor.h"

namespace cks {

/// What the handles of one tensor share. Private to core.
struct TensorImpl {
  std::shared_ptr<Storage> storage;
  std::int64_t offset = 0;  // first element, in elements of dtype
  Shape shape;
  DType dtype = DType::float32;
  bool requires_grad = false;            // of a leaf, as its user set it
  bool is_part = false;                  // of another tensor, even if of all of it: slice, x[i]
  std::shared_ptr<Node> node;            // the operation that made it; null for a leaf
  std::shared_ptr<TensorImpl> gradient;  // of a leaf
  /// What the operation that made it added up of its elements (kernels/common/epilogue.h),
  /// [rows,2,C] float32, and their version then; null: nothing. They live as long as the tensor:
  /// whoever reads it on another stream may read these, too.
  std::shared_ptr<TensorImpl> channel_sums;
  std::uint64_t version_of_sums = 0;
};

/// What the handle leads to; throws Error, naming the operation, if the tensor is undefined.
TensorImpl& checked(const std::shared_ptr<TensorImpl>& impl, const char* operation);

/// A tensor off the tape that starts `offset` elements into a storage.
Tensor make_view(std::shared_ptr<Storage> storage, std::int64_t offset, const Shape& shape,
                 DType dtype);

}  // namespace cks
