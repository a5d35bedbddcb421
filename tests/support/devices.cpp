#include "tests/support/devices.h"

#include <cstdio>
#include <string>

#include "cks/core/device/cuda.h"

namespace cks::testing {
namespace {

/// Counts, and speaks when the program ends.
class Skipped {
 public:
  ~Skipped() {
    if (count_ > 0) {
      std::printf("%d GPU cases skipped: %s\n", count_, reason_.c_str());
    }
  }
  void add() { ++count_; }
  const std::string& reason() const { return reason_; }

 private:
  int count_ = 0;
  const std::string reason_ = why_not_usable(Device::cuda());
};

}  // namespace

bool has_gpu() {
  static Skipped skipped;
  if (skipped.reason().empty()) {
    return true;
  }
  skipped.add();
  return false;
}

std::vector<Device> test_devices() {
  std::vector<Device> devices{Device::cpu()};
  if (has_gpu()) {
    devices.push_back(Device::cuda());
  }
  return devices;
}

}  // namespace cks::testing
