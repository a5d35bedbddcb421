// CIFAR-10 in eight epochs: what makes a network learn fast, each a piece of the library that other
// trainings can use. On a GPU images, augmentation and steps never leave it.
//
// - The first layer whitens windows of 2x2 pixels (init::whitening) and stays as it is: the network
//   need not first find out that neighbouring pixels are alike.
// - Filters begin by passing their inputs on (init::dirac), and Muon turns all directions of a bank
//   of them equally far in each step.
// - Batch normalisation has no factors, and its statistics follow within a few steps.
// - Images are mirrored in every other epoch (alternate_flip), not at random.
// - Targets are smoothed: 0.8 for the class, the rest for all.
// - The weights are put back onto their average every five steps, the later the closer
// (look-ahead).
// - The test judges each image and its mirror image together.
//
// Sources: Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498; muon.h.
#include <chrono>
#include <cmath>
#include <iostream>

#include "apps/cli/device_flag.h"
#include "apps/run/picture_data.h"
#include "apps/run/seeds.h"
#include "apps/speedrun/net.h"
#include "cks/cks.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::apps {
namespace {

constexpr std::int64_t kSample = 5000, kLookAhead = 5;  // images to whiten by; steps

/// The recipe. Rates are those of the mean loss of a batch.
struct Recipe {
  std::int64_t epochs = 8;
  std::int64_t batch = 2000;
  std::int64_t width = 64;         // filters of the first group; four times as many in the others
  std::string optimizer = "muon";  // or "sgd" for all, from the same beginning, to compare with
  double filter_rate = 0.24;
  double head_rate = 0.67;
  double bias_rate = 0.053;
  double decay = 0.004;  // of weights in a step, of those that are not filters
};

std::unique_ptr<Optimizer> make_optimizer(SpeedrunNet& net, const Recipe& recipe) {
  ParameterGroup filters;
  ParameterGroup head{.parameters = {{"head.weight", net.head.weight}}, .as_vectors = true};
  ParameterGroup biases;
  for (const auto& [name, parameter] : net.named_parameters()) {
    if (parameter.requires_grad() && !is_same(parameter, net.head.weight)) {
      (parameter.rank() == 4 ? filters : biases).parameters.emplace_back(name, parameter);
    }
  }
  if (recipe.optimizer == "sgd") {
    return std::make_unique<Sgd>(std::vector{filters, head, biases},
                                 Sgd::Options{.learning_rate = recipe.filter_rate,
                                              .momentum = 0.9,
                                              .weight_decay = 5e-4,
                                              .nesterov = true});
  }
  // A step takes rate * decay off, whatever the rate.
  head.learning_rate_scale = recipe.head_rate / recipe.bias_rate;
  head.weight_decay_scale = recipe.bias_rate / recipe.head_rate;
  return std::make_unique<Muon>(
      std::vector{filters, head, biases},
      Muon::Options{.learning_rate = recipe.filter_rate,
                    .momentum = 0.6,
                    .iterations = 3,
                    .normalize_weights = true,
                    .vectors = SgdOptions{.learning_rate = recipe.bias_rate,
                                          .momentum = 0.85,
                                          .weight_decay = recipe.decay / recipe.bias_rate,
                                          .nesterov = true}});
}

/// Of each image and its mirror image together: an alternating flip shows one of them in epoch 0,
/// the other in epoch 1.
double accuracy(SpeedrunNet& net, DataLoader& both_sides) {
  const NoGradGuard no_grad;
  net.eval();
  std::vector<Tensor> logits;
  for (const Batch& batch : both_sides.epoch(0)) {
    logits.push_back(net(batch.images));
  }
  Tensor correct = Tensor::zeros({}, DType::float32, logits.front().device());
  for (const Batch& batch : both_sides.epoch(1)) {
    const Tensor sums = logits[static_cast<std::size_t>(batch.index)] + net(batch.images);
    correct += sum(equal(argmax(sums), batch.labels).to(DType::float32));
  }
  return correct.item() / static_cast<double>(both_sides.dataset().size());
}

/// The accuracy after a run, and the seconds of whitening, training and test.
std::pair<double, double> train(const Recipe& recipe, const Tensor& sample, DataLoader& loader,
                                DataLoader& both_sides, std::uint64_t seed) {
  const Device device = loader.options().device;
  const auto begin = std::chrono::steady_clock::now();
  SpeedrunNet net(recipe.width, loader.dataset().classes());
  net.to(device);
  net.prepare(seed, sample);
  const auto optimizer = make_optimizer(net, recipe);
  NamedTensors weights = net.named_parameters();
  const NamedTensors buffers = net.named_buffers();
  weights.insert(weights.end(), buffers.begin(), buffers.end());
  WeightAverage average(weights, {.every = kLookAhead, .look_ahead = true});

  Tensor images = Tensor::empty(sample.shape().with(0, recipe.batch), DType::float32, device);
  Tensor labels = Tensor::empty({recipe.batch}, DType::int64, device);
  Tensor position = loader.position(0);
  CapturedStep step(
      [&] {
        loader.fill_batch(images, labels, position);
        optimizer->zero_grad();
        cross_entropy(net(images), labels, {.label_smoothing = 0.2}).backward();
        optimizer->step();
      },
      device);
  const std::int64_t steps = recipe.epochs * loader.batches_per_epoch();
  for (std::int64_t i = 0; i < steps; ++i) {
    const double done = static_cast<double>(i) / static_cast<double>(steps);
    optimizer->set_learning_rate(recipe.filter_rate * (1.0 - done));
    step.run();
    average.set_decay(std::pow(0.95, kLookAhead) * std::pow(done, 3));
    average.step();
  }
  const double share = accuracy(net, both_sides);  // waits for the device
  return {share, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()};
}

int run(int argc, char** argv) {
  Recipe recipe;
  PictureData pictures;
  std::int64_t runs = 1;
  std::int64_t seed = 1;
  std::string device_text = "auto";
  std::string precision_text = "fp32";
  Flags flags("speedrun", "Trains a network on CIFAR-10 in eight epochs.");
  flags.add_choice("dataset", pictures.dataset, {"auto", "cifar10", "cifar100", "folder", "drawn"},
                   "which pictures, of 32x32; auto: cifar10");
  flags.add_path("data-dir", pictures.data_dir, "where they are");
  flags.add("limit-train", pictures.limit_train, "train on N images; 0: all");
  flags.add("limit-test", pictures.limit_test, "test on N images; 0: all");
  flags.add("runs", runs, "train N times, with this seed and those after it", 1, 1'000'000);
  flags.add("seed", seed, "of weights, order and augmentation");
  flags.add("epochs", recipe.epochs, "passes over the images", 1, 10'000);
  flags.add("batch-size", recipe.batch, "images of one step", 2, 1 << 20);
  flags.add("width", recipe.width, "filters of the first group, a quarter of the others'", 1, 4096);
  flags.add_choice("opt", recipe.optimizer, {"muon", "sgd"}, "sgd: Nesterov momentum 0.9 for all");
  flags.add("lr", recipe.filter_rate, "learning rate of filters, of sgd of all", 1e-9, 1e9);
  add_device_flags(flags, device_text, precision_text);
  if (const auto code = flags.parse(argc, argv)) {
    return *code;
  }
  install_interrupt_handler();
  const Device device = take_device(device_text).device;
  const PrecisionScope precision(take_precision(precision_text, device));

  const TrainTest data = load_pictures(pictures);
  if (data.train.height() != 32 || data.train.width() != 32 || data.train.channels() != 3) {
    throw Error(
        formatted("speedrun: the images are {}, expected [N,32,32,3]", data.train.images.shape()));
  }
  const DataLoader plain(data.train, {.batch_size = std::min(kSample, data.train.size())});
  const Tensor sample = plain.make_batch(0, 0).images.to(device);
  DataLoader both_sides(data.test, {.batch_size = recipe.batch,
                                    .shuffle = false,
                                    .device = device,
                                    .augment = {.flip = true, .alternate_flip = true}});
  std::vector<double> accuracies;
  std::vector<double> seconds;
  for (std::int64_t i = 0; i < runs; ++i) {
    const auto seed_of_run = static_cast<std::uint64_t>(seed + i);
    DataLoader loader(data.train,
                      {.batch_size = recipe.batch,
                       .seed = seed_of_run,
                       .drop_last = true,
                       .device = device,
                       .augment = {.crop_padding = 2, .flip = true, .alternate_flip = true}});
    const auto [share, passed] = train(recipe, sample, loader, both_sides, seed_of_run);
    accuracies.push_back(share);
    seconds.push_back(passed);
    std::cout << formatted("run {}/{}, seed {}: test accuracy {:.2f} %, {:.3f} s\n", i + 1, runs,
                           seed_of_run, 100.0 * share, passed)
              << std::flush;
  }
  const MeanDeviation accuracy = mean_deviation(accuracies);
  const MeanDeviation time = mean_deviation(seconds);
  std::cout << formatted("mean of {}: {:.2f} %, deviation {:.2f}; {:.3f} s, deviation {:.3f}\n",
                         runs, 100.0 * accuracy.mean, 100.0 * accuracy.deviation, time.mean,
                         time.deviation)
            << std::flush;
  return 0;
}

}  // namespace
}  // namespace cks::apps

int main(int argc, char** argv) { return cks::apps::run_program(cks::apps::run, argc, argv); }
