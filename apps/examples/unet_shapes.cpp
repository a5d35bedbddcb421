// A small U-Net that finds drawn shapes: for each pixel of an image whether it belongs to a disc, a
// square, a triangle or to none. Uses installed headers and example.h.
// Writes unet_shapes.png, what it finds in 50 images. Expected: a mean intersection over union
// above 0.95 on images it has not seen, in a minute or two on two cores.
#include <cmath>

#include "cks/cks.h"
#include "example.h"

namespace {

using cks::Tensor;
constexpr std::int64_t kSide = 48, kClasses = 4, kBatch = 16;

// 1. The data: images [N,48,48,1] and masks [N,48,48]. Of folders with images and masks of your own
// it is cks::load_image_masks("images", "masks", {.class_names = {...}}).
/// Whether a point (x, y) from the middle of a shape of radius r lies in it.
bool covers(std::int64_t shape, double x, double y, double r) {
  if (shape == 1) {
    return x * x + y * y < r * r;
  }
  return shape == 2 ? std::max(std::abs(x), std::abs(y)) < 0.85 * r
                    : y < 0.6 * r && y > 2.0 * std::abs(x) - r;
}

/// A shape in each half of an image, of random places, sizes and greys on a noisy page.
cks::ImageDataset draw(std::int64_t count, std::uint64_t seed) {
  cks::ImageDataset data;
  data.name = "drawn shapes";
  data.class_names = {"page", "disc", "square", "triangle"};
  data.images = Tensor::empty({count, kSide, kSide, 1}, cks::DType::uint8);
  data.labels = Tensor::zeros({count, kSide, kSide}, cks::DType::int64);
  for (std::int64_t i = 0; i < count; ++i) {
    cks::RandomStream random({seed}, static_cast<std::uint64_t>(i));
    auto* pixels = data.images.data_as<std::uint8_t>() + i * kSide * kSide;
    auto* labels = data.labels.data_as<std::int64_t>() + i * kSide * kSide;
    const double page = random.uniform(0.0, 100.0);
    for (std::int64_t p = 0; p < kSide * kSide; ++p) {
      pixels[p] = static_cast<std::uint8_t>(page + random.uniform(0.0, 30.0));
    }
    for (const double left : {0.0, 0.5 * kSide}) {
      const std::int64_t shape = 1 + random.below(kClasses - 1);
      const double r = random.uniform(6.0, 11.5), ink = random.uniform(150.0, 225.0);
      const double row = random.uniform(r, kSide - r),
                   column = left + random.uniform(r, 0.5 * kSide - r);
      for (std::int64_t p = 0; p < kSide * kSide; ++p) {
        const std::int64_t y = p / kSide, x = p % kSide;
        if (covers(shape, static_cast<double>(x) - column, static_cast<double>(y) - row, r)) {
          pixels[p] = static_cast<std::uint8_t>(ink + random.uniform(0.0, 30.0));
          labels[p] = shape;
        }
      }
    }
  }
  data.mean = data.std = {0.4F};
  return data;
}

// 2. The network. Images shrink on the way down and grow on the way up, where each level sees what
// the one across has found: where things are beside what they are.
struct Block : cks::Module {
  cks::Conv2d conv1, conv2;
  cks::BatchNorm2d norm1, norm2;

  Block(cks::Module* parent, std::string name, std::int64_t in, std::int64_t out)
      : Module(parent, std::move(name)),
        conv1(this, "conv1",
              {.in_channels = in, .out_channels = out, .kernel_size = 3, .padding = 1}),
        conv2(this, "conv2",
              {.in_channels = out, .out_channels = out, .kernel_size = 3, .padding = 1}),
        norm1(this, "norm1", {.num_features = out}),
        norm2(this, "norm2", {.num_features = out}) {}
  Tensor forward(const Tensor& x) override {
    return cks::relu(norm2(conv2(cks::relu(norm1(conv1(x))))));
  }
};

struct UNet : cks::Module {
  Block down1{this, "down1", 1, 12}, down2{this, "down2", 12, 24}, bottom{this, "bottom", 24, 48};
  Block up2{this, "up2", 72, 24}, up1{this, "up1", 36, 12};
  cks::Conv2d head{this, "head", {.in_channels = 12, .out_channels = kClasses, .kernel_size = 1}};

  static Tensor join(const Tensor& below, const Tensor& across) {
    const cks::Size2 size(across.size(1), across.size(2));
    return cks::concat({cks::upsample_bilinear(below, size), across}, -1);
  }
  Tensor forward(const Tensor& images) override {  // [N,H,W,1] -> [N,H,W,classes]
    const Tensor fine = down1(images);
    const Tensor coarse = down2(cks::max_pool2d(fine));
    return head(up1(join(up2(join(bottom(cks::max_pool2d(coarse)), coarse)), fine)));
  }
};

int run(example::Flags& flags) {
  const auto images = flags.number("--images", kBatch), epochs = flags.number("--epochs", 1);
  const auto target = flags.number<double>("--target-iou", 0.0);
  const cks::Device device = cks::choose_device(flags.text("--device"));
  const cks::DataLoader loader(
      draw(images, 1),
      {.batch_size = kBatch, .drop_last = true, .device = device, .augment = {.flip = true}});
  UNet net;
  net.initialize(1);
  net.to(device);
  cks::Adam optimizer(net.named_parameters(), {.learning_rate = 4e-3});
  cks::LrSchedule schedule(optimizer, cks::cosine_lr(epochs * loader.batches_per_epoch()));

  // 3. A step, on a GPU one CUDA graph: it fills its own tensors with the next batch.
  Tensor batch = Tensor::empty({kBatch, kSide, kSide, 1}, cks::DType::float32, device);
  Tensor masks = Tensor::empty({kBatch, kSide, kSide}, cks::DType::int64, device);
  Tensor position = loader.position(0), loss;
  cks::CapturedStep step(
      [&] {
        loader.fill_batch(batch, masks, position);
        optimizer.zero_grad();
        loss = cks::cross_entropy(net(batch), masks);
        loss.backward();
        optimizer.step();
      },
      device);
  for (std::int64_t s = 1; s <= epochs * loader.batches_per_epoch(); ++s) {
    step.run();
    schedule.step();
    if (s % loader.batches_per_epoch() == 0) {
      example::print("step %d, loss %.4f\n", static_cast<int>(s), loss.item());
      example::require_finite(loss.item());
    }
  }
  // 4. How well it does on other images, pixel by pixel.
  const cks::NoGradGuard no_grad;
  net.eval();
  cks::ConfusionMatrix pixels(kClasses);
  cks::DataLoader test(draw(300, 2), {.batch_size = 50, .shuffle = false, .device = device});
  for (const cks::Batch& part : test.epoch(0)) {
    pixels.add(net(part.images).reshape({-1, kClasses}), part.labels.reshape({-1}));
  }
  const Tensor found = cks::argmax(net(test.make_batch(0, 0).images), -1, true);
  cks::save_image("unet_shapes.png", found.to(cks::DType::float32), {.columns = 10, .high = 3.0});
  example::print("mean IoU %.4f\n", pixels.mean_iou());
  return pixels.mean_iou() >= target ? 0 : 3;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run(argc, argv,
                      {{"--device", "auto", "auto, cpu, cuda or cuda:N"},
                       {"--epochs", "6", "passes over the training images"},
                       {"--images", "1600", "to train on"},
                       {"--target-iou", "0.95", "exit with 3 below it"}},
                      run);
}
