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
  const std::string prefix = "cuda:";
  const bool has_number = text.size() > prefix.size() && text.size() <= prefix.size() + 4 &&
                          text.compare(0, prefix.size(), prefix) == 0 &&
                          text.find_first_not_of("0123456789", prefix.size()) == std::string::npos;
  if (!has_number) {
    throw DeviceError(formatted("device: expected cpu, cuda or cuda:N, got \"{}\"", text));
  }
  return cuda(std::stoi(text.substr(prefix.size())));
}

std::string Device::to_string() const { return is_cpu() ? "cpu" : "cuda:" + std::to_string(index); }

}  // namespace cks
