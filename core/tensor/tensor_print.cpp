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

/// Prints the elements in nested brackets and stops after `left` of them.
class Printer {
 public:
  Printer(const Tensor& tensor, std::int64_t limit)
      : shape_(tensor.shape()),
        dtype_(tensor.dtype()),
        next_(static_cast<const char*>(tensor.data())),
        left_(limit) {}

  std::string print() {
    print_axis(0);
    return text_;
  }

 private:
  void print_axis(int axis) {
    if (axis == shape_.rank()) {
      text_ += left_ > 0 ? print_element(dtype_, next_) : "...";
      next_ += size_of(dtype_);
      --left_;
      return;
    }
    text_ += '[';
    for (std::int64_t i = 0; i < shape_[axis]; ++i) {
      text_ += i == 0 ? "" : ", ";
      if (left_ <= 0) {
        text_ += "...";
        break;
      }
      print_axis(axis + 1);
    }
    text_ += ']';
  }

  Shape shape_;
  DType dtype_;
  const char* next_;
  std::int64_t left_;
  std::string text_;
};

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
  return head + " " + Printer(detach().to(Device::cpu()), limit).print();
}

std::ostream& operator<<(std::ostream& out, const Tensor& tensor) {
  return out << tensor.to_string();
}

}  // namespace cks
