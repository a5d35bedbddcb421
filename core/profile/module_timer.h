#pragma once
#include <memory>
#include <string>
#include <vector>

#include "cks/core/device/device.h"

namespace cks {

/// Seconds that a module's own operations took; those of its children count for them.
struct ModuleTime {
  std::string module_path;  // empty: the model itself, and what runs outside of modules
  double forward = 0.0;
  double backward = 0.0;
};

/// Adds times to those of the same modules; modules that are new come last.
void merge_module_times(std::vector<ModuleTime>& into, const std::vector<ModuleTime>& from);

/// Times the modules that run on this thread while it lives, forward and backward: by the host's
/// clock on the CPU, on a CUDA device between two events around each stretch of a module, gaps in
/// which the device waits for the host included. Must be destroyed on its own thread, the last made
/// first, of which alone measures.
///
///   ModuleTimer timer(device);
///   cross_entropy(model(images), labels).backward();
///   for (const ModuleTime& time : timer.times()) { ... }
class ModuleTimer {
 public:
  /// Throws DeviceError if the device cannot be used.
  explicit ModuleTimer(Device device);
  ~ModuleTimer();
  ModuleTimer(const ModuleTimer&) = delete;
  ModuleTimer& operator=(const ModuleTimer&) = delete;

  /// Sums so far, in the order in which the modules ran first. Waits for the device. Throws what
  /// kept it from measuring: CaptureError if a step was captured meanwhile, CudaError.
  std::vector<ModuleTime> times();

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace cks
