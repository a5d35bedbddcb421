#include "apps/cli/device_flag.h"

#include "cks/config.h"
#include "cks/core/device/cuda.h"
#include "cks/core/error.h"
#include "cks/kernels/common/formatted_impl.h"

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
    throw DeviceError(formatted("'{}' is not auto, cpu, cuda or cuda:N", text));
  }
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
    const std::string capability =
        formatted("{}.{}", info.compute_capability / 10, info.compute_capability % 10);
    chosen.why = formatted("{}{}, {}, compute capability {}, driver for CUDA {}, compiled for {}",
                           name, flag == kAuto ? " (auto)" : "", info.name, capability, info.driver,
                           info.compiled);
    chosen.fields["gpu"] = info.name;
    chosen.fields["compute_capability"] = capability;
    chosen.fields["driver"] = info.driver;
    chosen.fields["compiled_architectures"] = info.compiled;
  } else if (CKS_HAS_CUDA != 0 && flag == kAuto) {
    chosen.why = formatted("{} (auto: {})", name, why_not_usable(Device::cuda()));
  }
  return chosen;
}

}  // namespace cks::apps
