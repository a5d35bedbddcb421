#pragma once
#include <map>
#include <string>

#include "apps/cli/flags.h"
#include "apps/cli/program.h"
#include "cks/core/device/device.h"
#include "cks/kernels/common/dtype.h"

namespace cks::apps {

/// Adds --device with auto, cpu, cuda and cuda:N; any other text is a wrong flag.
void add_device_flag(Flags& flags, std::string& value);

/// Adds it, and --precision with fp32, tf32 and bf16.
void add_device_flags(Flags& flags, std::string& device, std::string& precision);
/// The precision of such a flag. Throws DeviceError, naming what it has, if the device lacks it.
Precision take_precision(const std::string& flag, Device device);

/// Adds --tune, for a ConvTuning with conv_plans_file().
void add_tune_flag(Flags& flags, bool& value);
/// Where its answers are.
inline std::string conv_plans_file() { return cache_path("conv_plans.txt"); }

/// The device that a program computes on.
struct ChosenDevice {
  Device device{};
  /// For the header of a run: "cuda:0, NVIDIA H200, compute capability 9.0, ..." or
  /// "cpu (auto: there is no NVIDIA GPU)". Empty where there was nothing to choose: the CPU was
  /// named, or the build has no CUDA.
  std::string why{};
  /// For config.json: the device, and of a GPU its name, compute capability, driver and the
  /// architectures that the build has code for.
  std::map<std::string, std::string> fields{};
};

/// Takes the device of the flag. Throws DeviceError, with the reason, if a CUDA device is named
/// that cannot be used.
ChosenDevice take_device(const std::string& flag);

}  // namespace cks::apps
