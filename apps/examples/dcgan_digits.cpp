// A DCGAN that learns to draw the digit it is asked for: a generator turns random numbers into
// images, a discriminator says which are real, and each learns from the other. Each epoch writes a
// hundred digits, dcgan_digits.png, and the generator's weights. Uses installed headers and two
// beside it. Sources: Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep
// Convolutional Generative Adversarial Networks", ICLR 2016; with labels: arXiv 1411.1784.
#include <chrono>

#include "cks/cks.h"
#include "example.h"
#include "generated_digits.h"

namespace {

using cks::Tensor;
constexpr std::int64_t kBatch = 64, kLatent = 64, kDigits = 10;

// 1. The networks. Images are [N,28,28,1] from -1, paper, to 1, ink.
template <class Options>  // twice (ConvTranspose2d) or half (Conv2d) the rows and columns
Options by_two(std::int64_t in, std::int64_t out) {
  return {.in_channels = in, .out_channels = out, .kernel_size = 4, .stride = 2, .padding = 1};
}

struct Generator : cks::Module {  // random numbers and a digit [N,1,1,64+10] -> images
  using Up = cks::ConvTranspose2d;
  Up up1{this, "up1", {.in_channels = kLatent + kDigits, .out_channels = 64, .kernel_size = 7}};
  Up up2{this, "up2", by_two<Up::Options>(64, 32)}, up3{this, "up3", by_two<Up::Options>(32, 1)};
  cks::BatchNorm2d norm1{this, "norm1", {.num_features = 64, .negative_slope = 0.0}};  // and ReLU
  cks::BatchNorm2d norm2{this, "norm2", {.num_features = 32, .negative_slope = 0.0}};
  Tensor forward(const Tensor& latent) override {
    return cks::tanh(up3(norm2(up2(norm1(up1(latent))))));
  }
};

struct Discriminator : cks::Module {  // images -> 14x14 -> 7x7 -> [N,1,1,10], for each digit
  cks::Conv2d down1{this, "down1", by_two<cks::Conv2d::Options>(1, 32)};
  cks::Conv2d down2{this, "down2", by_two<cks::Conv2d::Options>(32, 64)};
  cks::Conv2d head{this, "head", {.in_channels = 64, .out_channels = kDigits, .kernel_size = 7}};
  cks::BatchNorm2d norm{this, "norm", {.num_features = 64, .negative_slope = 0.2}};
  Tensor is_real(const Tensor& images, const Tensor& digit) {  // logits [N,1,1,1]
    const Tensor features = norm(down2(cks::leaky_relu(down1(images), 0.2)));
    return cks::sum(head(features) * digit, {-1}, true);  // that of the digit it should be
  }
};

void initialize(cks::Module& net, const std::string& path, std::uint64_t seed, cks::Device device) {
  net.initialize(seed);
  for (auto& [name, weight] : net.named_parameters()) {
    if (weight.rank() == 4) {  // filters are drawn as in the paper
      cks::init::normal(weight, 0.0, 0.02, cks::init::parameter_key(seed, path, name));
    }
  }
  net.to(device);
}

// 2. Training.
void train(Generator& generator, example::Flags& flags, std::uint64_t seed, cks::Device device) {
  const auto epochs = flags.number("--epochs", 1), limit = flags.number("--limit-train", kBatch);
  const bool drawn = flags.choice("--dataset", {"mnist", "drawn"}) == "drawn";
  auto data = drawn ? cks::drawn_digits({.train_count = limit, .test_count = 1}).train
                    : cks::load_mnist(flags.text("--data-dir")).train.limit(limit);
  data.mean = data.std = {0.5F};
  const cks::DataLoader loader(
      data, {.batch_size = kBatch, .seed = seed, .drop_last = true, .device = device});
  Discriminator discriminator;
  initialize(discriminator, "discriminator", seed, device);
  cks::Adam step_g(generator.named_parameters(), {.learning_rate = 4e-4, .beta1 = 0.5});
  cks::Adam step_d(discriminator.named_parameters(), {.learning_rate = 4e-4, .beta1 = 0.5});
  cks::NamedTensors weights = generator.named_parameters();
  const cks::NamedTensors statistics = generator.named_buffers();
  weights.insert(weights.end(), statistics.begin(), statistics.end());
  cks::WeightAverage average(weights, {.decay = 0.998});

  // A step, on a GPU one CUDA graph, which draws its random numbers there, too.
  Tensor real = Tensor::empty({kBatch, 28, 28, 1}, cks::DType::float32, device);
  Tensor labels = Tensor::empty({kBatch}, cks::DType::int64, device);
  Tensor latent = Tensor::empty({kBatch, 1, 1, kLatent}, cks::DType::float32, device);
  Tensor position = loader.position(0), draws = Tensor::zeros({1}, cks::DType::int64, device);
  const Tensor yes = Tensor::ones({kBatch, 1, 1, 1}, cks::DType::float32, device), no = 0.0 * yes;
  const Tensor digits = Tensor::arange(kDigits, cks::DType::int64, device);
  const auto key = cks::make_random_key(seed, cks::RandomPurpose::data, "latent");
  Tensor loss_d, loss_g;
  cks::CapturedStep step(
      [&] {
        loader.fill_batch(real, labels, position);
        cks::fill_normal(latent, 0.0, 1.0, key, draws);
        cks::count_up_(draws);
        const Tensor digit = (labels.reshape({-1, 1, 1, 1}) == digits).to(cks::DType::float32);
        const Tensor fake = generator(cks::concat({latent, digit}, -1));
        step_d.zero_grad();
        loss_d = cks::bce_with_logits(discriminator.is_real(real, digit), yes) +
                 cks::bce_with_logits(discriminator.is_real(fake.detach(), digit), no);
        loss_d.backward();
        step_d.step();
        step_g.zero_grad();
        discriminator.set_requires_grad(false);  // so that it gets no gradient of this loss
        loss_g = cks::bce_with_logits(discriminator.is_real(fake, digit), yes);
        loss_g.backward();
        discriminator.set_requires_grad(true);
        step_g.step();
      },
      device);
  const auto begin = std::chrono::steady_clock::now();
  for (std::int64_t epoch = 1; epoch <= epochs; ++epoch) {
    for (std::int64_t i = 0; i < loader.batches_per_epoch(); ++i) {
      step.run();
      average.step();
    }
    const double d = loss_d.item(), g = loss_g.item();
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
    example::print("epoch %d/%d  loss of discriminator %.4f, of generator %.4f  %.1f s\n",
                   static_cast<int>(epoch), static_cast<int>(epochs), d, g, passed.count());
    example::require_finite(d + g);
    average.with_averages([&] {
      const Tensor images = example::generate(generator, 100, kLatent, kDigits, seed);
      cks::save_image("dcgan_digits.png", images, {.columns = 10, .low = -1.0});
      cks::save_safetensors("dcgan_digits.safetensors", generator.state_dict());
    });
  }
  average.keep_averages();
}

int run(example::Flags& flags) {
  const cks::Device device = cks::choose_device(flags.text("--device"));
  const auto seed = static_cast<std::uint64_t>(flags.number("--seed", 0));
  const example::DigitJudge judge(flags.text("--judge"), device);
  Generator generator;
  initialize(generator, "generator", seed, device);
  if (const std::string& file = flags.text("--generator"); !file.empty()) {
    cks::load_weights(file, generator);
  } else {
    train(generator, flags, seed, device);
  }
  return judge.approves(example::generate(generator, 2000, kLatent, kDigits, seed)) ? 0 : 3;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run(
      argc, argv,
      {{"--data-dir", "", "MNIST's folder; without: CKS_DATA_DIR, then ./data"},
       {"--dataset", "mnist", "mnist, or drawn: needs no file"},
       {"--device", "auto", "auto, cpu, cuda or cuda:N"},
       {"--epochs", "3", "passes over the images"},
       {"--generator", "", "weights of an earlier run, to judge instead of training"},
       {"--judge", "", "weights of train_mnist, to name 2,000 generated digits by"},
       {"--limit-train", "60000", "train on the first N images"},
       {"--seed", "1", "of weights, order and random numbers"}},
      run);
}
