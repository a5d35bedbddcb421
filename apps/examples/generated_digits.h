#pragma once
// What a generator has learnt: images of it, and whether a classifier can tell what they are.
#include <memory>
#include <string>
#include <vector>

#include "cks/cks.h"
#include "example.h"

namespace example {

/// Images that a generator makes in evaluation mode of [count,1,1,latent + digits]: random numbers,
/// which depend on the seed alone, and a 1 at the digit that it is asked for, i % digits of image
/// i.
inline cks::Tensor generate(cks::Module& generator, std::int64_t count, std::int64_t latent,
                            std::int64_t digits, std::uint64_t seed) {
  const cks::NoGradGuard no_grad;
  cks::Tensor numbers = cks::Tensor::empty({count, 1, 1, latent});
  fill_normal(numbers, 0.0, 1.0, make_random_key(seed, cks::RandomPurpose::data, "shown"));
  const cks::Tensor digit = cks::Tensor::zeros({count, 1, 1, digits});
  for (std::int64_t i = 0; i < count; ++i) {
    digit[i][0][0][i % digits].fill_(1.0);
  }
  const bool training = generator.training();
  generator.eval();
  const cks::Tensor input = cks::concat({numbers, digit}, -1);
  cks::Tensor images = generator(input.to(generator.parameters().front().device()));
  generator.train(training);
  return images;
}

/// Says how good generated digits are, by a classifier of train_mnist.
class DigitJudge {
 public:
  /// Reads the classifier; without a file everything is approved of. Throws as cks::load_weights.
  DigitJudge(const std::string& weights, cks::Device device) {
    if (!weights.empty()) {
      info_ = cks::read_checkpoint_info(weights);
      classifier_ = cks::make_model(info_.model);
      cks::load_weights(weights, *classifier_);
      classifier_->to(device);
      classifier_->eval();
    }
  }

  /// Prints of what share of images that generate() made, from -1 to 1, it is at least 90 % sure,
  /// what share it takes for what was asked for, and the share of each class. Returns whether the
  /// first is four in five or more, and that of each class one in fifty or more.
  bool approves(const cks::Tensor& images) const {
    if (classifier_ == nullptr) {
      return true;
    }
    const cks::NoGradGuard no_grad;
    const cks::Tensor bytes = 0.5 * (images + 1.0);
    const cks::Tensor input = (bytes - info_.mean.at(0)) / info_.std.at(0);
    const cks::Tensor sure = cks::softmax((*classifier_)(input));
    const auto percent = [](const cks::Tensor& which) {
      return 100.0 * cks::mean(which.to(cks::DType::float32)).item();
    };
    const double named = percent(cks::max(sure, {-1}) >= 0.9);
    bool good = named >= 80.0;
    const std::size_t classes = info_.class_names.size();
    std::vector<std::int64_t> asked;
    for (std::int64_t i = 0; i < images.size(0); ++i) {
      asked.push_back(i % static_cast<std::int64_t>(classes));
    }
    print("judged: %.1f %% named with at least 90 %%, %.1f %% as asked for;", named,
          percent(cks::argmax(sure) ==
                  cks::Tensor::from_vector(asked, {images.size(0)}, images.device())));
    for (std::size_t i = 0; i < classes; ++i) {
      const double share = percent(cks::argmax(sure) == static_cast<double>(i));
      print(" %s: %.1f %%", info_.class_names[i].c_str(), share);
      good = good && share >= 2.0;
    }
    print("\n");
    return good;
  }

 private:
  cks::CheckpointInfo info_;
  std::unique_ptr<cks::Module> classifier_;
};

}  // namespace example
