#include "cks/models/googlenet.h"

#include "cks/core/ops/pool2d.h"
#include "cks/core/ops/rearrange.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/layers/pool2d.h"
#include "cks/models/parts_impl.h"

namespace cks {

using models::add_conv;
using models::kSlope;

Inception::Inception(Module* parent, std::string name, const Options& options)
    : Layer(parent, std::move(name), options) {
  add_conv(add_branch("branch1"), "0", options.in_channels, options.conv1x1, 1);

  Sequential& branch2 = add_branch("branch2");
  add_conv(branch2, "0", options.in_channels, options.reduce3x3, 1);
  add_conv(branch2, "2", options.reduce3x3, options.conv3x3, 3);

  Sequential& branch3 = add_branch("branch3");
  add_conv(branch3, "0", options.in_channels, options.reduce5x5, 1);
  add_conv(branch3, "2", options.reduce5x5, options.conv5x5, 5);

  Sequential& branch4 = add_branch("branch4");
  branch4.add<MaxPool2d>("0", {.kernel_size = 3, .stride = 1, .padding = 1});
  add_conv(branch4, "1", options.in_channels, options.pool, 1);
}

std::string Inception::description() const {
  const Options& o = options();
  return formatted("{} -> {}", o.in_channels, o.conv1x1 + o.conv3x3 + o.conv5x5 + o.pool);
}

// In braces: the channels that come in, then the columns of the paper's table 1: 1x1; 3x3 reduce,
// 3x3; 5x5 reduce, 5x5; pool proj.
GoogLeNet::GoogLeNet(Module* parent, std::string name, const Options& options)
    : Layer(parent, std::move(name), options),
      conv1{this,
            "conv1",
            {.in_channels = options.in_channels,
             .out_channels = 64,
             .kernel_size = 5,
             .padding = 2,
             .negative_slope = kSlope}},
      conv2{
          this, "conv2", {.in_channels = 64, .out_channels = 192, .kernel_size = 3, .padding = 1}},
      bn2{this, "bn2", {.num_features = 192, .negative_slope = kSlope}},
      inception3a{this, "inception3a", {192, 64, 96, 128, 16, 32, 32}},
      inception3b{this, "inception3b", {256, 128, 128, 192, 32, 96, 64}},
      bn3{this, "bn3", {.num_features = 480}},
      inception4a{this, "inception4a", {480, 192, 96, 208, 16, 48, 64}},
      inception4b{this, "inception4b", {512, 160, 112, 224, 24, 64, 64}},
      inception4c{this, "inception4c", {512, 128, 128, 256, 24, 64, 64}},
      inception4d{this, "inception4d", {512, 112, 144, 288, 32, 64, 64}},
      inception4e{this, "inception4e", {528, 256, 160, 320, 32, 128, 128}},
      inception5a{this, "inception5a", {832, 256, 160, 320, 32, 128, 128}},
      inception5b{this, "inception5b", {832, 384, 192, 384, 48, 128, 128}} {
  models::require_extent("GoogLeNet", "image_size", options.image_size, 16);
  models::add_classifier(classifier, 1024, 256, options.classes);
}

Tensor GoogLeNet::forward(const Tensor& images) {
  const auto halve = [](const Tensor& x) { return max_pool2d(x, {.kernel_size = 2}); };
  Tensor x = halve(conv1(images));
  x = halve(bn2(conv2(x)));
  x = halve(bn3(inception3b(inception3a(x))));
  x = inception4e(inception4d(inception4c(inception4b(inception4a(x)))));
  x = inception5b(inception5a(halve(x)));
  return classifier(flatten_chw(global_avg_pool2d(x)));
}

}  // namespace cks
