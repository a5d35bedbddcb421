#include "cks/models/lenet.h"

#include "cks/core/ops/activation.h"
#include "cks/core/ops/pool2d.h"
#include "cks/core/ops/rearrange.h"

namespace cks {
namespace {

/// Rows and columns that reach the first linear layer.
std::int64_t last_map(std::int64_t image_size) {
  if (image_size < 12) {
    throw ShapeError("LeNet5: image_size must be at least 12, got " + std::to_string(image_size));
  }
  const std::int64_t after_conv2 = image_size / 2 - 4;
  return after_conv2 / 2;
}

}  // namespace

LeNet5::LeNet5(Module* parent, std::string name, const Options& options)
    : Module(parent, std::move(name)),
      options_(options),
      fc1{this,
          "fc1",
          {.in_features = 16 * last_map(options.image_size) * last_map(options.image_size),
           .out_features = 120}} {}

Tensor LeNet5::forward(const Tensor& images) {
  Tensor x = max_pool2d(relu(conv1(images)), {.kernel_size = 2});
  x = max_pool2d(relu(conv2(x)), {.kernel_size = 2});
  x = relu(fc1(flatten_chw(x)));
  x = relu(fc2(x));
  return fc3(x);
}

}  // namespace cks
