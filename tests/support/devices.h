#pragma once
#include <vector>

#include "cks/core/device/device.h"

namespace cks::testing {

/// Devices that a test runs on: the CPU, and the first CUDA device if it can be used.
std::vector<Device> test_devices();

/// For tests of a GPU alone, `if (!has_gpu()) { return; }`: whether the first CUDA device can be
/// used. What was skipped without one is counted, here as in test_devices(), and said in one line
/// at the end: "12 GPU cases skipped: <reason>".
bool has_gpu();

}  // namespace cks::testing
