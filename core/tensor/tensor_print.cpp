#include <ostream>

#include "cks/core/device/capture_rules.h"
#include "cks/core/tensor/tensor.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/elementwise/elementwise.h"

namespace cks {
namespace {

std::string print_element(DType dtype, const void* element) {
  if (is_floating(dtype)) {
    double value = 0.0;
    kernels::cpu::convert(dtype, DType::float64, 1, element, &value);
    return formatted("{:.6g}", value);  // whatever the locale
  }
  std::int64_t value = 0;
  kernels::cpu::convert(dtype, DType::int64, 1, element, &value);
  return std::to_string(value);
}

/// The elements in nested brackets; stops after `left` of them.
std::string print_elements(const Tensor& tensor, std::int64_t& left) {
  if (tensor.rank() == 0) {
    --left;
    return print_element(tensor.dtype(), tensor.data());
  }
  std::string text = "[";
  for (std::int64_t i = 0; i < tensor.size(0); ++i) {
    text += i == 0 ? "" : ", ";
    if (left <= 0) {
      text += "...";
      break;
    }
    text += print_elements(tensor[i], left);
  }
  return text + "]";
}

}  // namespace

std::string Tensor::to_string(std::int64_t limit) const {
  if (!defined()) {
    return "Tensor(undefined)";
  }
  capture::forbid("to_string");
  std::string head = formatted("Tensor({} {} {})", shape(), dtype(), device());
  if (numel() == 0 || limit <= 0) {
    return head;
  }
  return head + " " + print_elements(detach().to(Device::cpu()), limit);
}

std::ostream& operator<<(std::ostream& out, const Tensor& tensor) {
  return out << tensor.to_string();
}

}  // namespace cks
