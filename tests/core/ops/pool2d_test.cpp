#include "cks/core/ops/pool2d.h"

#include <doctest/doctest.h>

#include "tests/support/devices.h"
#include "tests/support/tensors.h"

namespace cks {
namespace {

using testing::message_of;
using testing::test_devices;

/// 0, 1, 2, ... as one image of one channel.
Tensor ramp(std::int64_t H, std::int64_t W, Device device) {
  return Tensor::arange(H * W, DType::float64, device).reshape(Shape{1, H, W, 1});
}

TEST_CASE("max_pool2d: the stride is the window unless given") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor y = max_pool2d(ramp(4, 5, device));
    CHECK(y.shape() == Shape{1, 2, 2, 1});
    CHECK(y.to_vector<double>() == std::vector<double>{6, 8, 16, 18});
    const Tensor z = max_pool2d(ramp(4, 5, device), {.kernel_size = {2, 3}, .stride = 1});
    CHECK(z.shape() == Shape{1, 3, 3, 1});
    CHECK(z.to_vector<double>() == std::vector<double>{7, 8, 9, 12, 13, 14, 17, 18, 19});
  }
}

TEST_CASE("max_pool2d: padding never wins, and the first of equals gets the gradient") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Tensor x = Tensor::full({1, 2, 2, 1}, -3.0, DType::float64, device).set_requires_grad();
    const Tensor y = max_pool2d(x, {.kernel_size = 3, .stride = 1, .padding = 1});
    CHECK(y.to_vector<double>() == std::vector<double>(4, -3.0));
    y.backward(Tensor::from_vector<double>({1, 2, 3, 4}, {1, 2, 2, 1}, device));
    CHECK(x.grad().to_vector<double>() == std::vector<double>{10, 0, 0, 0});
  }
}

TEST_CASE("avg_pool2d: padding counts or does not") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    // Values of torch.nn.functional.avg_pool2d.
    const AvgPool2dOptions counted{.kernel_size = 2, .stride = 1, .padding = {1, 0, 1, 0}};
    CHECK(avg_pool2d(ramp(2, 2, device), counted).to_vector<double>() ==
          std::vector<double>{0, 0.25, 0.5, 1.5});
    AvgPool2dOptions inside = counted;
    inside.count_include_pad = false;
    CHECK(avg_pool2d(ramp(2, 2, device), inside).to_vector<double>() ==
          std::vector<double>{0, 0.5, 1, 1.5});
  }
}

TEST_CASE("global_avg_pool2d: one pixel a channel") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor x = Tensor::arange(12, DType::float64, device).reshape(Shape{1, 2, 3, 2});
    const Tensor y = global_avg_pool2d(x);
    CHECK(y.shape() == Shape{1, 1, 1, 2});
    CHECK(y.to_vector<double>() == std::vector<double>{5, 6});
  }
}

TEST_CASE("pool2d: what does not fit is named") {
  CHECK(message_of<ShapeError>([] {
          max_pool2d(Tensor::ones({2, 3, 3}));
        }) == "max_pool2d: input has shape [2,3,3], expected rank 4 ([N,H,W,C])");
  CHECK(message_of<ShapeError>([] {
          avg_pool2d(Tensor::ones({2, 3, 3, 1}), {.kernel_size = 4});
        }) ==
        "avg_pool2d: the window exceeds the padded image (input [2,3,3,1], window {4,4}, stride "
        "{4,4}, padding {0,0,0,0}, dilation {1,1})");
  CHECK(message_of<ShapeError>([] {
          global_avg_pool2d(Tensor::ones({2, 0, 3, 1}));
        }) == "global_avg_pool2d: the image is empty (input [2,0,3,1])");
  CHECK_THROWS_AS(max_pool2d(Tensor::ones({1, 4, 4, 1}, DType::int32)), DtypeError);
  CHECK_THROWS_AS(max_pool2d(Tensor::ones({1, 4, 4, 1}), {.kernel_size = 2, .padding = 2}),
                  ShapeError);
}

}  // namespace
}  // namespace cks
