#pragma once
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cks/core/device/device.h"
#include "cks/core/error.h"
#include "cks/core/memory/storage.h"
#include "cks/core/tensor/shape.h"
#include "cks/kernels/common/dtype.h"

namespace cks {

class Node;
struct TensorImpl;

/// An n-dimensional array: dense, row-major, with an optional place on the autograd tape.
///
/// A Tensor is a handle: copies share the elements, the gradient and the place on the tape.
/// clone() copies the elements. A default-constructed Tensor is undefined; asking it for anything
/// but defined() throws Error.
/// Images are [N,H,W,C], filters [OC,FH,FW,IC/G].
class Tensor {
 public:
  Tensor() = default;
  Tensor(const Tensor&) = default;
  Tensor(Tensor&&) noexcept = default;
  ~Tensor() = default;
  // Of handles with a name alone: x[0] = y would change a temporary. x[0].copy_(y) writes.
  Tensor& operator=(const Tensor&) & = default;
  Tensor& operator=(Tensor&&) & noexcept = default;

  // --- Making tensors -------------------------------------------------------------------------
  /// Uninitialised elements.
  static Tensor empty(Shape shape, DType dtype = DType::float32, Device device = {});
  static Tensor zeros(Shape shape, DType dtype = DType::float32, Device device = {});
  static Tensor ones(Shape shape, DType dtype = DType::float32, Device device = {});
  static Tensor full(Shape shape, double value, DType dtype = DType::float32, Device device = {});
  /// A rank-0 tensor.
  static Tensor scalar(double value, DType dtype = DType::float32, Device device = {});
  /// 0, 1, ..., count-1.
  static Tensor arange(std::int64_t count, DType dtype = DType::int64, Device device = {});
  /// Copies the values; T is an element type and names the dtype. Throws ShapeError unless
  /// values.size() == shape.numel().
  template <class T>
  static Tensor from_vector(const std::vector<T>& values, Shape shape, Device device = {});
  /// Shares memory of the caller, who keeps it alive unless a deleter is given: `deleter(data)`
  /// runs with the last tensor, and not at all if from_blob throws. Throws Error if data is null or
  /// not aligned for the dtype.
  static Tensor from_blob(void* data, Shape shape, DType dtype, Device device = {},
                          std::function<void(void*)> deleter = {});

  // --- What it is -----------------------------------------------------------------------------
  bool defined() const { return impl_ != nullptr; }
  const Shape& shape() const;
  std::int64_t size(int axis) const { return shape()[axis]; }  // -1 is the last axis
  int rank() const { return shape().rank(); }
  std::int64_t numel() const { return shape().numel(); }
  /// Bytes that its elements take.
  std::size_t nbytes() const { return static_cast<std::size_t>(numel()) * size_of(dtype()); }
  DType dtype() const;
  Device device() const;

  // --- Elements -------------------------------------------------------------------------------
  /// First element. Writing through it on a tensor that others saved is the writer's risk: call
  /// bump_version() afterwards, so that backward can notice.
  void* data();
  const void* data() const;
  /// The same, checked: throws DtypeError unless T is the element type.
  template <class T>
  T* data_as();
  template <class T>
  const T* data_as() const;
  /// Copies the elements to the host. Throws DtypeError unless T is the element type.
  template <class T>
  std::vector<T> to_vector() const;
  /// The value of a tensor of one element, converted to double (int64 exactly up to 2^53).
  /// Throws ShapeError if numel() != 1, CaptureError inside a captured step.
  double item() const;
  /// Shape, dtype, device and up to `limit` elements, for people.
  std::string to_string(std::int64_t limit = 64) const;

  // --- Copies and views -----------------------------------------------------------------------
  /// Same elements in another shape; shares memory. One extent may be -1 and is inferred.
  /// Differentiable. Throws ShapeError if the number of elements differs.
  Tensor reshape(std::initializer_list<std::int64_t> extents) const;
  Tensor reshape(const std::vector<std::int64_t>& extents) const;
  Tensor reshape(const Shape& shape) const;
  /// Rows [begin, end) of the first axis; shares memory. Differentiable.
  Tensor slice(std::int64_t begin, std::int64_t end) const;
  /// Row `index` of the first axis, without that axis; -1 is the last. Shares memory.
  /// Differentiable. Throws ShapeError for rank 0 or an index outside [-size(0), size(0)).
  Tensor operator[](std::int64_t index) const;
  /// A deep copy. Differentiable.
  Tensor clone() const;
  /// Shares the elements, leaves the tape.
  Tensor detach() const;
  /// Converted elements; the tensor itself if nothing changes. Differentiable between float types.
  /// Real numbers become integers by truncation; those beyond the range of the integer type become
  /// its nearest end, NaN becomes 0. Between integers: modulo 2^bits.
  Tensor to(DType dtype) const;
  /// Moved elements; the tensor itself if nothing changes. Differentiable.
  Tensor to(Device device) const;

  // --- Writing in place (raises the version) ----------------------------------------------------
  // Throw AutogradError if grad mode is on and the tensor requires a gradient. A value that an
  // integer dtype cannot hold throws DtypeError.
  Tensor& fill_(double value);            // all elements
  Tensor& zero_() { return fill_(0.0); }  // likewise
  /// Elements of `source`, converted and moved; shapes must be equal. Is not recorded: throws
  /// AutogradError if grad mode is on and the source requires a gradient, which would be lost.
  Tensor& copy_(const Tensor& source);

  // --- Autograd -------------------------------------------------------------------------------
  bool requires_grad() const;
  /// Makes a leaf collect its gradient. Throws AutogradError on results of recorded operations,
  /// DtypeError on integers.
  Tensor& set_requires_grad(bool value = true);
  bool is_leaf() const;
  /// Sum of the gradients that backward() left here; undefined before. Leaves only: throws
  /// AutogradError on results of recorded operations. A later backward() does not write into the
  /// tensor returned here, it leaves a new one.
  Tensor grad() const;
  /// Replaces it; an undefined tensor forgets it. Throws ShapeError, DtypeError, DeviceError.
  void set_grad(const Tensor& grad);
  /// Forgets the gradient.
  void zero_grad();
  /// Runs the tape backward from this tensor and frees it. Without an argument the tensor must have
  /// one element, whose gradient is 1. If it throws, no leaf's gradient has changed.
  /// Throws AutogradError, ShapeError, DtypeError, DeviceError.
  void backward(const Tensor& grad_output = {}) const;

  /// Replaces the elements, shape, dtype and device of this very tensor object, so that all handles
  /// (a module's, an optimiser's) see the new ones; shares the elements of `source`, as detach()
  /// does. Leaves only; forgets the gradient. Throws AutogradError, DtypeError.
  void set_data(const Tensor& source);

  // --- For people who write operations ----------------------------------------------------------
  std::uint64_t version() const;
  void bump_version();  // says that the elements were written to
  const std::shared_ptr<Storage>& storage() const;
  /// Element of the storage at which this tensor starts.
  std::int64_t storage_offset() const;
  const std::shared_ptr<Node>& grad_node() const;
  const std::shared_ptr<TensorImpl>& impl() const { return impl_; }
  explicit Tensor(std::shared_ptr<TensorImpl> impl) : impl_(std::move(impl)) {}

 private:
  std::shared_ptr<TensorImpl> impl_;
};

/// Tensors with names, in an order: a state_dict, the content of a file.
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

/// Handle equality: the same tensor object, not equal elements.
inline bool is_same(const Tensor& a, const Tensor& b) { return a.impl() == b.impl(); }

std::ostream& operator<<(std::ostream& out, const Tensor& tensor);

}  // namespace cks
