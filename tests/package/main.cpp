// What an outside project does with the installed package: a layer, an operation with its own
// backward and a model of its own, trained on the drawn digits until it knows most of them.
#include <cstdio>

#include "cks/core/grad_check.h"
#include "cks/core/ops.h"
#include "cks/core/optim/adam.h"
#include "cks/datasets/data_loader.h"
#include "cks/datasets/drawn_digits.h"
#include "cks/layers/conv2d.h"
#include "cks/layers/flatten.h"
#include "cks/layers/linear.h"
#include "cks/layers/pool2d.h"

namespace {

// An operation of its own: x * sigmoid(x), with its derivative written by hand.
struct SwishBackward : cks::Node {
  cks::SavedTensor input{this};
  const char* name() const override { return "swish"; }
  std::vector<cks::Tensor> backward(const cks::Tensor& grad_output,
                                    const std::vector<bool>& needed) override {
    if (!needed[0]) {
      return {cks::Tensor()};
    }
    const cks::Tensor& x = input.get();
    const cks::Tensor gate = cks::sigmoid(x);
    return {grad_output * (gate + x * gate * (1.0 - gate))};
  }
};

cks::Tensor swish(const cks::Tensor& input) {
  const cks::Tensor value = input.detach() * cks::sigmoid(input.detach());
  return cks::record<SwishBackward>(value, {input},
                                    [&](SwishBackward& node) { node.input.save(input); });
}

// A layer of its own.
struct ScaledSwish : cks::Module {
  cks::Tensor scale;
  ScaledSwish(cks::Module* parent, std::string name) : Module(parent, std::move(name)) {
    register_parameter("scale", scale, cks::Tensor::ones({1}));
  }
  cks::Tensor forward(const cks::Tensor& input) override { return swish(input) * scale; }
};

// A model of its own.
struct Net : cks::Module {
  cks::Conv2d conv{
      this,
      "conv",
      {.in_channels = 1, .out_channels = 8, .kernel_size = 5, .stride = 2, .padding = 2}};
  ScaledSwish act{this, "act"};
  cks::MaxPool2d pool{this, "pool", {.kernel_size = 2}};
  cks::Flatten flatten{this, "flatten"};
  cks::Linear head{this, "head", {.in_features = 8 * 7 * 7, .out_features = 10}};
  cks::Tensor forward(const cks::Tensor& input) override {
    return head(flatten(pool(act(conv(input)))));
  }
};

}  // namespace

int main() {
  const cks::Tensor x = cks::Tensor::arange(6, cks::DType::float64) * 0.5 - 1.0;
  const auto report =
      cks::grad_check([](const std::vector<cks::Tensor>& in) { return swish(in[0]); }, {x});
  if (!(report.max_relative_error < 1e-6)) {
    std::printf("swish: gradient error %g\n", report.max_relative_error);
    return 1;
  }

  const cks::ImageDataset digits = cks::drawn_digits({.count = 4000, .seed = 1});
  cks::DataLoader loader(digits, {.batch_size = 100, .seed = 1});
  Net net;
  net.initialize(1);
  cks::Adam optimizer(net.named_parameters(), {.lr = 3e-3});
  double accuracy = 0;
  for (int epoch = 0; epoch < 4; ++epoch) {
    loader.start_epoch(epoch);
    std::int64_t right = 0;
    for (cks::Batch batch; loader.next(batch);) {
      optimizer.zero_grad();
      const cks::Tensor logits = net(batch.images);
      cks::cross_entropy(logits, batch.labels).backward();
      optimizer.step();
      const auto predicted = cks::argmax(logits, -1).to_vector<std::int64_t>();
      const auto truth = batch.labels.to_vector<std::int64_t>();
      for (std::size_t i = 0; i < truth.size(); ++i) {
        right += predicted[i] == truth[i] ? 1 : 0;
      }
    }
    accuracy = static_cast<double>(right) / 4000.0;
    std::printf("epoch %d: training accuracy %.1f %%\n", epoch + 1, 100.0 * accuracy);
  }
  return accuracy > 0.85 ? 0 : 1;
}
