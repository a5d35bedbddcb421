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

void add_device_flags(Flags& flags, std::string& device, std::string& precision) {
  add_device_flag(flags, device);
  flags.add_choice("precision", precision, {"fp32", "tf32", "bf16"},
                   "how products are computed\n"
                   "fp32: strictly\n"
                   "tf32: their factors rounded to 10 bits behind the point, on GPUs from 8.0 on\n"
                   "bf16: with activations of bfloat16, on GPUs from 8.0 on; slow on a CPU");
}

Precision take_precision(const std::string& flag, Device device) {
  const std::vector<Precision> modes = precisions_of(device);
  for (const Precision mode : modes) {
    if (flag == name_of(mode)) {
      return mode;
    }
  }
  throw DeviceError(
      formatted("--precision {}: {} does not have it; it has {}", flag, device, list_text(modes)));
}

void add_tune_flag(Flags& flags, bool& value) {
  flags.add_switch("tune", value,
                   "time kernels before a convolution first uses them and take the fastest; "
                   "answers are kept (in $XDG_CACHE_HOME or ~/.cache, cks/conv_plans.txt)");
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
