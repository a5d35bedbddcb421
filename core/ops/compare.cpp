#include "cks/core/ops/compare.h"

#include <array>

#include "cks/core/ops/broadcast_impl.h"
#include "cks/core/ops/output.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/elementwise/elementwise.h"

namespace cks {
namespace {

using kernels::CompareOp;

const char* name_of(CompareOp op) {
  constexpr std::array kNames{"equal",      "not_equal", "less",
                              "less_equal", "greater",   "greater_equal"};
  return kNames[static_cast<std::size_t>(op)];
}

Tensor compare(CompareOp op, const Tensor& a, const Tensor& b) {
  const char* name = name_of(op);
  ops::require_same(name, {{"a", a}, {"b", b}});
  const Shape shape = broadcast_shapes(name, a.shape(), b.shape());
  Tensor result = ops::make_output(name, shape, DType::uint8, a.device());
  CKS_KERNEL(a.device(), compare(op, a.dtype(), ops::broadcast_problem(shape, a, b), a.data(),
                                 b.data(), result.data_as<std::uint8_t>()));
  return result;
}

Tensor compare(CompareOp op, const Tensor& a, double b) {
  const char* name = name_of(op);
  ops::require_defined(name, {{"a", a}});
  try {
    return compare(op, a, Tensor::full({}, b, a.dtype(), a.device()));
  } catch (const DtypeError& error) {
    throw DtypeError(formatted("{}: {}", name, error.what()));
  }
}

}  // namespace

Tensor equal(const Tensor& a, const Tensor& b) { return compare(CompareOp::equal, a, b); }
Tensor not_equal(const Tensor& a, const Tensor& b) { return compare(CompareOp::not_equal, a, b); }
Tensor less(const Tensor& a, const Tensor& b) { return compare(CompareOp::less, a, b); }
Tensor less_equal(const Tensor& a, const Tensor& b) { return compare(CompareOp::less_equal, a, b); }
Tensor greater(const Tensor& a, const Tensor& b) { return compare(CompareOp::greater, a, b); }
Tensor greater_equal(const Tensor& a, const Tensor& b) {
  return compare(CompareOp::greater_equal, a, b);
}

Tensor equal(const Tensor& a, double b) { return compare(CompareOp::equal, a, b); }
Tensor not_equal(const Tensor& a, double b) { return compare(CompareOp::not_equal, a, b); }
Tensor less(const Tensor& a, double b) { return compare(CompareOp::less, a, b); }
Tensor less_equal(const Tensor& a, double b) { return compare(CompareOp::less_equal, a, b); }
Tensor greater(const Tensor& a, double b) { return compare(CompareOp::greater, a, b); }
Tensor greater_equal(const Tensor& a, double b) { return compare(CompareOp::greater_equal, a, b); }

}  // namespace cks
