// CIFAR-10 in eight epochs: what makes a network learn fast, each a piece of the library that other
// trainings can use. On a GPU images, augmentation and steps never leave it.
//
// - The first layer whitens windows of 2x2 pixels (init::whitening) and stays as it is, but for its
//   bias in the first epochs: the network need not first find out that neighbouring pixels are
//   alike.
// - Filters begin by passing their inputs on (init::dirac), and Muon turns all directions of a bank
//   of them equally far in each step.
// - Batch normalisation has no factors, and its statistics follow within a few steps. GELU behind
//   it, in the same pass, is worth half a point more than ReLU.
// - Biases learn at a rate of 106, the head at 1.7, for 2000 images a step, where SGD's rates are
//   often 0.1: with logits that are divided by 9 their gradients are small.
// - Images are mirrored in every other epoch (alternate_flip), not at random, and moved by up to
//   two pixels; what comes in at the edge is the image's reflection (reflect), no bar of grey.
// - Targets are smoothed: 0.8 for the class, the rest for all.
// - The test judges each image, its mirror image and copies of both moved by a pixel together.
//
// Sources: Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498, and his
// airbench94_muon.py, https://github.com/KellerJordan/cifar10-airbench; muon.h.
#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apps/cli/device_flag.h"
#include "apps/run/data.h"
#include "apps/run/results.h"
#include "cks/cks.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::apps {
namespace {

constexpr std::int64_t kSample = 5000;  // images to whiten by

/// Two convolutions 3x3, each normalised and followed by GELU; the first is pooled to half its
/// height and width.
struct Group : Module {
  Conv2d conv1, conv2;
  BatchNorm2d bn1, bn2;

  Group(Module* parent, std::string name, std::int64_t in, std::int64_t out)
      : Module(parent, std::move(name)),
        conv1{this, "conv1", filters(in, out)},
        conv2{this, "conv2", filters(out, out)},
        bn1{this, "bn1", quick_norm(out)},
        bn2{this, "bn2", quick_norm(out)} {}
  Tensor forward(const Tensor& x) override {
    const Tensor halved = bn1(max_pool2d(conv1(x), {.kernel_size = 2}));
    return bn2(conv2(halved));
  }

 private:
  static Conv2d::Options filters(std::int64_t in, std::int64_t out) {
    return {.in_channels = in, .out_channels = out, .kernel_size = 3, .padding = 1, .bias = false};
  }
  /// With statistics that follow within a few steps: there are only some hundred.
  static BatchNorm2d::Options quick_norm(std::int64_t channels) {
    return {.num_features = channels, .momentum = 0.4, .gelu = true};
  }
};

/// A network that learns CIFAR-10 in few epochs: wide and shallow, so that gradients reach all of
/// it from the first step on, and quickly at small maps, where an image costs little.
///
///   step                        result for width 64   parameters
///   input                       [N,32,32,3]
///   whiten 2x2, GELU            [N,31,31,24]                 312
///   group1                      [N,15,15,64]              50,944
///   group2                      [N,7,7,256]              738,304
///   group3, max-pool 3x3        [N,1,1,256]            1,180,672
///   head: the logits, over 9    [N,10]                     2,560
///
/// Source: Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498.
struct SpeedrunNet : Module {
  Conv2d whiten{this, "whiten", {.in_channels = 3, .out_channels = 24, .kernel_size = 2}};
  Group group1, group2, group3;
  Linear head;

  SpeedrunNet(std::int64_t width, std::int64_t classes)
      : group1{this, "group1", whiten.options().out_channels, width},
        group2{this, "group2", width, 4 * width},
        group3{this, "group3", 4 * width, 4 * width},
        head{this, "head", {.in_features = 4 * width, .out_features = classes, .bias = false}} {}

  Tensor forward(const Tensor& images) override {
    const Tensor x = group3(group2(group1(gelu(whiten(images)))));
    const Tensor greatest = max_pool2d(x, {.kernel_size = 3});
    return head(greatest.reshape({images.size(0), -1})) * (1.0 / 9.0);
  }

  /// Weights before the first step, from a seed and a sample of the images, and which of them stay
  /// as they are: the whitening filters, and the factors of the normalisations.
  void prepare(std::uint64_t seed, const Tensor& sample) {
    initialize(seed);
    init::whitening(whiten.weight, sample);
    init::constant(whiten.bias, 0.0);
    whiten.weight.set_requires_grad(false);
    for (Group* group : {&group1, &group2, &group3}) {
      for (Conv2d* conv : {&group->conv1, &group->conv2}) {
        // As many filters as there are inputs pass these on; the others are drawn.
        const NoGradGuard no_grad;
        Tensor first = conv->weight.slice(
            0, std::min(conv->options().in_channels, conv->options().out_channels));
        init::dirac(first);
      }
      group->bn1.weight.set_requires_grad(false);
      group->bn2.weight.set_requires_grad(false);
    }
  }
};

/// The recipe. Rates and decay of what is no filter are those of one image. A step is told the mean
/// loss of its batch and has `batch` times their rate, so that each image moves the weights equally
/// far, however many are in a batch. Filters' is a step's: Muon's steps have one length.
struct Recipe {
  std::int64_t epochs = 8;
  std::int64_t batch = 2000;
  std::int64_t width = 64;         // filters of the first group; four times as many in the others
  std::string optimizer = "muon";  // or "sgd" for all, from the same beginning, to compare with
  double filter_rate = 0.24;
  double bias_rate = 0.053;
  /// 0.67 * (9/256)^2: 0.67 for weights W of deviation 1 and logits W x / 256. Ours are W' x / 9,
  /// the same with W' = 9/256 W, whose gradients are 256/9 times W's, and whose steps shall be
  /// 9/256.
  double head_rate = 8.28e-4;
  double decay = 2e-6;                // share of a weight that goes, at first
  std::int64_t whitening_epochs = 3;  // in which the bias of the whitening layer learns
};

/// An optimiser, and the epochs in which its learning rate falls to 0.
struct Part {
  std::unique_ptr<Optimizer> optimizer;
  std::int64_t epochs;
};

std::vector<Part> make_optimizers(SpeedrunNet& net, const Recipe& recipe) {
  const bool is_muon = recipe.optimizer == "muon";
  ParameterGroup filters;
  ParameterGroup head{.parameters = {{"head.weight", net.head.weight}}, .as_vectors = true};
  ParameterGroup biases;
  for (const auto& [name, parameter] : net.named_parameters()) {
    const bool stands_apart =
        is_same(parameter, net.head.weight) || (is_muon && is_same(parameter, net.whiten.bias));
    if (parameter.requires_grad() && !stands_apart) {
      (parameter.rank() == 4 ? filters : biases).parameters.emplace_back(name, parameter);
    }
  }
  std::vector<Part> parts;
  if (!is_muon) {
    const SgdOptions all{.learning_rate = recipe.filter_rate,
                         .momentum = 0.9,
                         .weight_decay = 5e-4,
                         .nesterov = true};
    parts.push_back(
        {std::make_unique<Sgd>(std::vector{filters, head, biases}, all), recipe.epochs});
    return parts;
  }
  const SgdOptions vectors{.learning_rate = recipe.bias_rate * static_cast<double>(recipe.batch),
                           .momentum = 0.85,
                           .weight_decay = recipe.decay / recipe.bias_rate,  // times the rate
                           .nesterov = true};
  head.learning_rate_scale = recipe.head_rate / recipe.bias_rate;
  head.weight_decay_scale = recipe.bias_rate / recipe.head_rate;
  parts.push_back({std::make_unique<Muon>(std::vector{filters, head, biases},
                                          Muon::Options{.learning_rate = recipe.filter_rate,
                                                        .momentum = 0.6,
                                                        .iterations = 3,
                                                        .normalize_weights = true,
                                                        .vectors = vectors}),
                   recipe.epochs});
  // A rate of its own: groups of one optimiser share what a schedule does.
  const NamedTensors whitening{{"whiten.bias", net.whiten.bias}};
  parts.push_back({std::make_unique<Sgd>(whitening, vectors), recipe.whitening_epochs});
  return parts;
}

/// Images whose pixels go on by one along an axis, at the edge the second to last as a reflection.
Tensor moved(const Tensor& images, int axis, bool forwards) {
  const std::int64_t size = images.size(axis);
  return forwards ? concat({slice(images, axis, 1, 2), slice(images, axis, 0, size - 1)}, axis)
                  : concat({slice(images, axis, 1, size), slice(images, axis, size - 2, size - 1)},
                           axis);
}

/// The logits of images, and at half the weight each those of copies that are moved by a pixel,
/// down and to the right, and up and to the left.
Tensor views(SpeedrunNet& net, const Tensor& images) {
  Tensor logits = net(images);
  for (const bool forwards : {false, true}) {
    logits += net(moved(moved(images, 1, forwards), 2, forwards)) * 0.5;
  }
  return logits;
}

/// Of each image and its mirror image together: an alternating flip shows one of them in epoch 0,
/// the other in epoch 1.
double accuracy(SpeedrunNet& net, DataLoader& both_sides) {
  const NoGradGuard no_grad;
  net.eval();
  std::vector<Tensor> logits;
  for (const Batch& batch : both_sides.epoch(0)) {
    logits.push_back(views(net, batch.images));
  }
  Tensor correct = Tensor::zeros({}, DType::float32, logits.front().device());
  for (const Batch& batch : both_sides.epoch(1)) {
    const Tensor sums = logits[static_cast<std::size_t>(batch.index)] + views(net, batch.images);
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
  std::vector<Part> parts = make_optimizers(net, recipe);
  Tensor images = Tensor::empty(sample.shape().with(0, recipe.batch), DType::float32, device);
  Tensor labels = Tensor::empty({recipe.batch}, DType::int64, device);
  Tensor position = loader.position(0);
  CapturedStep step(
      [&] {
        loader.fill_batch(images, labels, position);
        for (const Part& part : parts) {
          part.optimizer->zero_grad();
        }
        cross_entropy(net(images), labels, {.label_smoothing = 0.2}).backward();
        for (const Part& part : parts) {
          part.optimizer->step();
        }
      },
      device);
  const std::int64_t steps = recipe.epochs * loader.batches_per_epoch();
  for (std::int64_t i = 0; i < steps; ++i) {
    if (parts.size() > 1 && i == parts.back().epochs * loader.batches_per_epoch()) {
      // Nothing before the first group learns any more: the step can do without its gradients.
      parts.pop_back();
      net.whiten.bias.set_requires_grad(false);
      step.reset();
    }
    for (const auto& [optimizer, epochs] : parts) {
      const double left =
          1.0 - static_cast<double>(i) / static_cast<double>(epochs * loader.batches_per_epoch());
      optimizer->set_learning_rate(optimizer->initial_learning_rate() * std::max(left, 0.0));
    }
    step.run();
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
  flags.add("bias-lr", recipe.bias_rate,
            "of muon: learning rate of biases, of one image: a step takes batch-size times it",
            1e-9, 1e9);
  flags.add("head-lr", recipe.head_rate, "of muon: likewise, of the last layer", 1e-9, 1e9);
  flags.add("decay", recipe.decay, "of muon: share of both that a step takes off, likewise", 0.0,
            1.0);
  for (const char* name : {"bias-lr", "head-lr", "decay"}) {
    flags.only_with(name, "opt", "muon");
  }
  add_device_flags(flags, device_text, precision_text);
  if (const auto code = flags.parse(argc, argv)) {
    return *code;
  }
  flags.require_effects();
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
    DataLoader loader(
        data.train,
        {.batch_size = recipe.batch,
         .seed = seed_of_run,
         .drop_last = true,
         .device = device,
         .augment = {.crop_padding = 2, .reflect = true, .flip = true, .alternate_flip = true}});
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
