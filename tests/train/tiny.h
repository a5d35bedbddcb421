#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "cks/core/ops.h"
#include "cks/core/optim/adam.h"
#include "cks/core/optim/muon.h"
#include "cks/core/optim/sgd.h"
#include "cks/datasets/data_loader.h"
#include "cks/datasets/drawn/drawn_digits.h"
#include "cks/layers/batch_norm2d.h"
#include "cks/layers/conv2d.h"
#include "cks/layers/dropout.h"
#include "cks/layers/linear.h"
#include "cks/train/trainer.h"

namespace cks::testing {

/// A small network with everything that a resume must restore: a convolution, batch normalisation
/// (buffers) and dropout (random numbers).
struct TinyNet : Module {
  Conv2d conv{this,
              "conv",
              {.in_channels = 1, .out_channels = 4, .kernel_size = 5, .stride = 3, .padding = 2}};
  BatchNorm2d norm{this, "norm", {.num_features = 4}};
  Dropout dropout{this, "dropout", {.p = 0.2}};
  Linear head{this, "head", {.in_features = 400, .out_features = 10}};
  bool normalizes = true;

  Tensor forward(const Tensor& images) override {
    const Tensor x = relu(normalizes ? norm(conv(images)) : conv(images));
    return head(dropout(x.reshape({x.size(0), -1})));
  }
};

/// A run of the tiny network on few drawn digits: every part is made anew, as in a new process.
struct TinyRun {
  TrainTest data;
  TinyNet model;
  std::unique_ptr<Optimizer> optimizer;
  DataLoader train_loader;
  DataLoader test_loader;

  struct Settings {
    std::int64_t images = 220;  // with batches of 50: the last one is smaller
    std::int64_t batch_size = 50;
    std::string optimizer = "adam";
    std::uint64_t seed = 5;
    std::uint64_t data_seed = 3;
    Device device{};
    ImageAugmentation augment{};
    std::int64_t prefetch = 2;
    BatchShare share{};
    bool normalizes = true;
  };
  TinyRun() : TinyRun(Settings{}) {}
  explicit TinyRun(const Settings& settings)
      : data(drawn_digits(
            {.seed = settings.data_seed, .train_count = settings.images, .test_count = 130})),
        train_loader(data.train, {.batch_size = settings.batch_size,
                                  .seed = settings.seed,
                                  .device = settings.device,
                                  .augment = settings.augment,
                                  .prefetch = settings.prefetch,
                                  .share = settings.share}),
        test_loader(data.test, {.batch_size = 60, .shuffle = false, .device = settings.device}) {
    model.normalizes = settings.normalizes;
    model.initialize(settings.seed);
    model.to(settings.device);
    if (settings.optimizer == "adam") {
      optimizer =
          std::make_unique<Adam>(model.named_parameters(), Adam::Options{.learning_rate = 3e-3});
    } else if (settings.optimizer == "muon") {
      optimizer = std::make_unique<Muon>(model.named_parameters());
    } else {
      optimizer = std::make_unique<Sgd>(model.named_parameters(),
                                        Sgd::Options{.learning_rate = 3e-3, .momentum = 0.9});
    }
  }

  TrainTask task() {
    return {.model = model,
            .optimizer = *optimizer,
            .train_loader = train_loader,
            .test_loader = test_loader};
  }
};

}  // namespace cks::testing
