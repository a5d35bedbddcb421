#include "cks/core/device/device.h"

#include "cks/core/error.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {

Device Device::parse(const std::string& text) {
  if (text == "cpu") {
    return cpu();
  }
  if (text == "cuda") {
    return cuda(0);
  }
  const std::string number = text.starts_with("cuda:") ? text.substr(5) : "";
  if (number.empty() || number.size() > 4 ||
      number.find_first_not_of("0123456789") != std::string::npos) {
    throw DeviceError(formatted("device: expected cpu, cuda or cuda:N, got \"{}\"", text));
  }
  return cuda(std::stoi(number));
}

std::string Device::to_string() const { return is_cpu() ? "cpu" : "cuda:" + std::to_string(index); }

}  // namespace cks
