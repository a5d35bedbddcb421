#pragma once
// What a generator has learnt: images of it, and whether a classifier can tell what they are.
#include <cstdio>
#include <memory>
#include <string>

#include "cks/cks.h"

namespace example {

/// Images that a generator makes in evaluation mode of random numbers [count,1,1,latent], which
/// depend on the seed alone.
inline cks::Tensor generate(cks::Module& generator, std::int64_t count, std::int64_t latent,
                            std::uint64_t seed) {
  const cks::NoGradGuard no_grad;
  cks::Tensor numbers = cks::Tensor::empty({count, 1, 1, latent});
  fill_normal(numbers, 0.0, 1.0, make_random_key(seed, cks::RandomPurpose::data, "shown"));
  const bool training = generator.training();
  generator.eval();
  cks::Tensor images = generator(numbers.to(generator.parameters().front().device()));
  generator.train(training);
  return images;
}

/// Prints of what share of the images, from -1 to 1, a classifier of train_mnist is at least 90 %
/// sure, and the share of each of its classes. Returns whether the first is four in five or more
/// and each of the others one in fifty or more.
inline bool judge_digits(const std::string& weights, const cks::Tensor& images) {
  const cks::NoGradGuard no_grad;
  const cks::CheckpointInfo info = cks::read_checkpoint_info(weights);
  const std::unique_ptr<cks::Module> classifier = cks::make_model(info.model);
  cks::load_weights(weights, *classifier);
  classifier->to(images.device());
  classifier->eval();
  const cks::Tensor bytes = 0.5 * (images + 1.0);
  const cks::Tensor sure = cks::softmax((*classifier)((bytes - info.mean.at(0)) / info.std.at(0)));
  const auto percent = [](const cks::Tensor& which) {
    return 100.0 * cks::mean(which.to(cks::DType::float32)).item();
  };
  const double named = percent(cks::max(sure, {-1}) >= 0.9);
  bool good = named >= 80.0;
  std::printf("judged: %.1f %% named with at least 90 %%;", named);
  for (std::size_t i = 0; i < info.class_names.size(); ++i) {
    const double share = percent(cks::argmax(sure) == static_cast<double>(i));
    std::printf(" %s: %.1f %%", info.class_names[i].c_str(), share);
    good = good && share >= 2.0;
  }
  std::printf("\n");
  return good;
}

}  // namespace example
