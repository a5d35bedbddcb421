#pragma once
#include <vector>

#include "cks/core/device.h"

namespace cks::testing {

/// Devices that a test runs on: the CPU, and the first CUDA device if there is a usable one. Without
/// one the tests' GPU twins are skipped, which tests/core/cuda_test.cpp counts and says.
std::vector<Device> test_devices();

}  // namespace cks::testing
