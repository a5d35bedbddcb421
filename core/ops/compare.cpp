#include "cks/core/ops/compare.h"

#include "cks/core/ops/broadcast_impl.h"
#include "cks/core/ops/output.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/elementwise/elementwise.h"

namespace cks {
namespace {

using kernels::CompareOp;

Tensor compare(const char* name, CompareOp op, const Tensor& a, const Tensor& b) {
  ops::require_same(name, {{"a", a}, {"b", b}});
  const Shape shape = broadcast_shapes(name, a.shape(), b.shape());
  Tensor result = ops::make_output(name, shape, DType::uint8, a.device());
  CKS_KERNEL(a.device(), compare(op, a.dtype(), ops::broadcast_problem(shape, a, b), a.data(),
                                 b.data(), result.data_as<std::uint8_t>()));
  return result;
}

Tensor compare(const char* name, CompareOp op, const Tensor& a, double b) {
  ops::require_defined(name, {{"a", a}});
  try {
    return compare(name, op, a, Tensor::full({}, b, a.dtype(), a.device()));
  } catch (const DtypeError& error) {
    throw DtypeError(formatted("{}: {}", name, error.what()));
  }
}

}  // namespace

Tensor equal(const Tensor& a, const Tensor& b) { return compare("equal", CompareOp::equal, a, b); }
Tensor not_equal(const Tensor& a, const Tensor& b) {
  return compare("not_equal", CompareOp::not_equal, a, b);
}
Tensor less(const Tensor& a, const Tensor& b) { return compare("less", CompareOp::less, a, b); }
Tensor less_equal(const Tensor& a, const Tensor& b) {
  return compare("less_equal", CompareOp::less_equal, a, b);
}
Tensor greater(const Tensor& a, const Tensor& b) {
  return compare("greater", CompareOp::greater, a, b);
}
Tensor greater_equal(const Tensor& a, const Tensor& b) {
  return compare("greater_equal", CompareOp::greater_equal, a, b);
}

Tensor equal(const Tensor& a, double b) { return compare("equal", CompareOp::equal, a, b); }
Tensor not_equal(const Tensor& a, double b) {
  return compare("not_equal", CompareOp::not_equal, a, b);
}
Tensor less(const Tensor& a, double b) { return compare("less", CompareOp::less, a, b); }
Tensor less_equal(const Tensor& a, double b) {
  return compare("less_equal", CompareOp::less_equal, a, b);
}
Tensor greater(const Tensor& a, double b) { return compare("greater", CompareOp::greater, a, b); }
Tensor greater_equal(const Tensor& a, double b) {
  return compare("greater_equal", CompareOp::greater_equal, a, b);
}

}  // namespace cks
