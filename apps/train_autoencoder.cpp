// Trains the autoencoder of models/autoencoder.h on digits, without their labels: its loss is the
// mean squared error to its own input. Writes a picture of test digits, below each what it drew.
//
//   train_autoencoder --dataset drawn                   needs no file
//   train_autoencoder --data-dir DIR --picture mnist.png
//
// Expected on drawn digits with the defaults: a test loss of about 0.022 (an output of zeros gives
// 1).
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "apps/app.h"
#include "apps/device_choice.h"
#include "apps/digit_data.h"
#include "apps/flags.h"
#include "apps/picture.h"
#include "cks/core/autograd.h"
#include "cks/core/file.h"
#include "cks/core/ops.h"
#include "cks/core/optim/adam.h"
#include "cks/core/optim/lr_schedule.h"
#include "cks/datasets/data_loader.h"
#include "cks/models/registry.h"
#include "cks/train/trainer.h"

namespace {

using cks::Tensor;

constexpr const char* kModel = "autoencoder";

struct AutoencoderFlags {
  cks::apps::DigitData data;
  std::int64_t epochs = 3;
  std::int64_t batch_size = 128;
  double lr = 1e-3;
  std::int64_t seed = 1;
  std::string device = "auto";
  std::string picture = "autoencoder.png";
  std::int64_t columns = 16;
  std::int64_t rows = 4;
  std::string weights;
  double target_loss = 0.0;
};

void add_flags(cks::apps::Flags& parser, AutoencoderFlags& flags) {
  parser.group("Data");
  parser.add_choice("dataset", flags.data.dataset, {"auto", "mnist", "drawn"},
                    "mnist: the files in --data-dir; drawn: digits drawn from a seed, needs no "
                    "file; auto: mnist, with a hint when it is not there");
  parser.add("data-dir", flags.data.data_dir,
             "folder with MNIST's files; default: CKS_DATA_DIR, then ./data");
  parser.add("limit-train", flags.data.limit_train, "train on the first N images; 0: all");
  parser.add("limit-test", flags.data.limit_test, "test on the first N images; 0: all");
  parser.group("Training");
  parser.add("epochs", flags.epochs, "passes over the training images", 1);
  parser.add("batch-size", flags.batch_size, "images of one step", 1);
  parser.add("lr", flags.lr, "learning rate of Adam");
  parser.add("seed", flags.seed, "of the parameters and the shuffle");
  cks::apps::add_device_flag(parser, flags.device);
  parser.group("Output");
  parser.add("picture", flags.picture, "PNG file of test images over their reconstructions",
             [](const std::string& path) {
               if (path.empty()) {
                 throw cks::Error("needs a file name");
               }
             });
  parser.add("columns", flags.columns, "images in a row of the picture", 1, 100);
  parser.add("rows", flags.rows, "pairs of rows in the picture", 1, 100);
  parser.add("target-loss", flags.target_loss,
             "exit code 3 unless the last test loss is at most this; 0: any will do");
  parser.add("weights", flags.weights, "file for the trained weights (.safetensors); empty: none");
}

/// Rows of test images and, below each, the row of their reconstructions.
Tensor reconstructions(cks::Module& model, const cks::ImageDataset& test,
                       const AutoencoderFlags& flags) {
  const std::int64_t columns = std::min(flags.columns, test.size());
  const std::int64_t rows = std::min(flags.rows, test.size() / columns);
  const cks::ImageDataset shown = test.limit(rows * columns);
  const cks::DataLoader loader(shown,
                               {.batch_size = shown.size(), .shuffle = false, .prefetch = 0});
  const cks::NoGradGuard no_grad;
  model.eval();
  const Tensor images = loader.make_batch(0, 0).images;
  const Tensor drawn = cks::apps::denormalised(
      model(images.to(model.parameters().front().device())).to(cks::Device::cpu()), shown.mean,
      shown.std);
  std::vector<Tensor> lines;
  for (std::int64_t begin = 0; begin < shown.size(); begin += columns) {
    lines.push_back(shown.images.slice(begin, begin + columns));
    lines.push_back(drawn.slice(begin, begin + columns));
  }
  return cks::apps::picture_grid(cks::concat(lines, 0), columns);
}

void print_epoch(const cks::EpochEvent& event) {
  std::printf("epoch %2lld/%lld  train loss %.4f   test loss %.4f   %.1f s\n",
              static_cast<long long>(event.metrics.epoch), static_cast<long long>(event.epochs),
              event.metrics.train_loss, event.metrics.test_loss, event.metrics.seconds);
  std::fflush(stdout);
}

/// Throws IoError now rather than after the training.
void require_writable(const std::string& path) {
  if (!path.empty()) {
    const cks::AtomicFile probe(path);  // never committed
  }
}

int run(int argc, char** argv) {
  AutoencoderFlags flags;
  cks::apps::Flags parser("train_autoencoder",
                          "Trains a convolutional autoencoder on digits and shows what it draws.");
  add_flags(parser, flags);
  if (const auto code = parser.parse(argc, argv)) {
    return *code;
  }
  require_writable(flags.picture);
  require_writable(flags.weights);
  const cks::apps::ChosenDevice chosen = cks::apps::take_device(flags.device);
  const auto [train, test] = cks::apps::load_digits(flags.data);
  const auto model =
      cks::make_model(kModel, {.in_channels = train.channels(), .image_size = train.height()});
  model->initialize(static_cast<std::uint64_t>(flags.seed));
  model->to(chosen.device);
  cks::Adam optimizer(model->named_parameters(), {.learning_rate = flags.lr});
  cks::DataLoader train_loader(train, {.batch_size = flags.batch_size,
                                       .seed = static_cast<std::uint64_t>(flags.seed),
                                       .device = chosen.device});
  cks::DataLoader test_loader(test, {.batch_size = 500, .shuffle = false, .device = chosen.device});
  std::cout << "model     " << kModel << ": " << cks::apps::with_commas(model->num_parameters())
            << " parameters\ndata      " << cks::describe(train.name, train.source) << ", "
            << cks::apps::with_commas(train.size()) << " images\ndevice    "
            << (chosen.why.empty() ? chosen.device.to_string() : chosen.why) << std::endl;
  if (!train.source.warning.empty()) {
    std::cerr << "warning: " << train.source.warning << std::endl;
  }

  cks::TrainOptions options;
  options.epochs = flags.epochs;
  options.loss = [](const Tensor& output, const cks::Batch& batch) {
    return cks::mse_loss(output, batch.images);
  };
  cks::apps::install_interrupt_handler();
  const cks::TrainSummary summary =
      cks::fit(options, *model, optimizer, cks::constant_lr(), train_loader, test_loader,
               {.on_epoch = print_epoch, .should_stop = [] { return cks::apps::interrupted(); }});

  std::cout << (summary.interrupted ? "stopped   " : "done      ") << "test loss "
            << summary.test_loss << " after epoch " << summary.epochs << "\n";
  if (!flags.weights.empty()) {
    cks::save_weights(flags.weights, *model,
                      {.model = kModel,
                       .dataset = train.name,
                       .mean = train.mean,
                       .std = train.std,
                       .height = train.height(),
                       .width = train.width(),
                       .channels = train.channels(),
                       .notes = {{"cks", cks::apps::version()}}});
    std::cout << "weights   " << flags.weights << "\n";
  }
  cks::apps::write_png(flags.picture, reconstructions(*model, test, flags));
  std::cout << "picture   " << flags.picture << "\n";
  if (summary.interrupted) {
    return cks::apps::kExitInterrupted;
  }
  if (flags.target_loss > 0.0 && !(summary.test_loss <= flags.target_loss)) {
    std::cerr << "error: test loss " << summary.test_loss << " is above --target-loss "
              << flags.target_loss << std::endl;
    return cks::apps::kExitTargetNotReached;
  }
  return cks::apps::kExitOk;
}

}  // namespace

int main(int argc, char** argv) {
  return cks::apps::run_app([&] { return run(argc, argv); });
}
