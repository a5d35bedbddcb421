#include <doctest/doctest.h>

#include <cstdlib>
#include <string>

#include "cks/core/device/cuda.h"
#include "cks/core/error.h"
#include "cks/core/ops/reduce.h"
#include "cks/core/profile/module_path.h"
#include "tests/support/tensors.h"

// A program of its own: what it does to the GPU loses the device to the process.

namespace cks {
namespace {

using testing::message_of;

TEST_CASE("an error on the GPU names the operation that caused it and its module") {
  REQUIRE(setenv("CKS_SYNC_CHECK", "1", 1) == 0);  // before the first launch
  Tensor owner = Tensor::ones({64}, DType::float32, Device::cuda());
  REQUIRE(sum(owner).item() == 64.0);
  // Far more elements than the GPU has memory for: the kernel reads where nothing is.
  constexpr std::int64_t kElements = std::int64_t{1} << 37;
  const Tensor beyond =
      Tensor::from_blob(owner.data(), {kElements}, DType::float32, Device::cuda());
  const std::string message =
      message_of<CudaError>([&] { in_module("layer1.0.conv1", [&] { return sum(beyond); }); });
  CAPTURE(message);
  CHECK(message.starts_with("reduce: cuda"));  // which error depends on the address
  CHECK(message.ends_with(", in module layer1.0.conv1"));
  // The device is lost: what follows says so in place of computing.
  CHECK_THROWS_AS(synchronize(Device::cuda()), CudaError);
}

}  // namespace
}  // namespace cks
