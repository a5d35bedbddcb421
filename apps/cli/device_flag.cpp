#include "apps/cli/device_flag.h"

#include "cks/config.h"
#include "cks/core/device/cuda.h"
#include "cks/core/error.h"

namespace cks::apps {
namespace {

constexpr const char* kAuto = "auto";

void check_text(const std::string& text) {
  if (text == kAuto) {
    return;
  }
  try {
    Device::parse(text);
  } catch (const DeviceError&) {
    throw DeviceError("'" + text + "' is not auto, cpu, cuda or cuda:N");
  }
}

/// 90 -> "9.0".
std::string capability_text(int capability) {
  return std::to_string(capability / 10) + "." + std::to_string(capability % 10);
}

}  // namespace

void add_device_flag(Flags& flags, std::string& value) {
  flags.add("device", value,
            "auto, cpu, cuda or cuda:N; auto: a CUDA device if one can be used, or else the CPU",
            check_text);
}

ChosenDevice take_device(const std::string& flag) {
  ChosenDevice chosen;
  chosen.device = choose_device(flag);
  const std::string name = chosen.device.to_string();
  chosen.fields["device"] = name;
  if (chosen.device.is_cuda()) {
    const CudaDeviceInfo info = cuda_device_info(chosen.device);
    const std::string capability = capability_text(info.compute_capability);
    chosen.why.append(name).append(flag == kAuto ? " (auto), " : ", ").append(info.name);
    chosen.why.append(", compute capability ").append(capability);
    chosen.why.append(", driver for CUDA ").append(info.driver);
    chosen.why.append(", compiled for ").append(info.compiled);
    chosen.fields["gpu"] = info.name;
    chosen.fields["compute_capability"] = capability;
    chosen.fields["driver"] = info.driver;
    chosen.fields["compiled_architectures"] = info.compiled;
  } else if (CKS_HAS_CUDA != 0 && flag == kAuto) {
    chosen.why = name + " (auto: " + why_not_usable(Device::cuda()) + ")";
  }
  return chosen;
}

}  // namespace cks::apps
