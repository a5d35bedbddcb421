#include "apps/web/lenet_lesson.h"

#include <doctest/doctest.h>

#include <cstddef>
#include <filesystem>
#include <span>

#include "cks/core/error.h"
#include "cks/core/ops/softmax.h"
#include "cks/datasets/drawn/drawn_digits.h"
#include "cks/kernels/common/cpu_level.h"
#include "cks/train/checkpoint.h"

namespace {

using cks::Tensor;
using cks::web::LenetLesson;

cks::TrainTest digits() { return cks::drawn_digits({.train_count = 2000, .test_count = 300}); }

std::vector<std::uint8_t> first_test_image(const LenetLesson& lesson) {
  const Tensor image = lesson.test().images[0];
  return {image.data_as<std::uint8_t>(), image.data_as<std::uint8_t>() + image.numel()};
}

TEST_CASE("a lesson trains LeNet-5 step by step, over the ends of epochs, the same each time") {
  LenetLesson lesson(digits(), {.seed = 3, .batch_size = 100, .epochs = 4});
  LenetLesson again(digits(), {.seed = 3, .batch_size = 100, .epochs = 4});
  CHECK(lesson.steps_per_epoch() == 20);
  CHECK(lesson.steps_per_cycle() == 80);
  LenetLesson::Step step;
  for (int i = 1; i <= 80; ++i) {
    step = lesson.step();
    CHECK(step.steps == i);
    CHECK(step.images == 100 * i);
    CHECK(again.step().loss == step.loss);
  }
  const cks::Evaluation test = lesson.evaluate();
  CHECK(test.images == 300);
  CHECK(test.accuracy > 0.9);
}

TEST_CASE("the learning rate of a lesson rises and falls once in its epochs, then anew") {
  LenetLesson lesson(digits(), {.batch_size = 100, .learning_rate = 0.002, .epochs = 1});
  std::vector<double> rates;
  for (int i = 0; i < 21; ++i) {
    rates.push_back(lesson.step().learning_rate);
  }
  CHECK(rates[0] == doctest::Approx(0.002 / 25));
  CHECK(rates[5] == doctest::Approx(0.002));  // the end of the first 30 %
  CHECK(rates[12] == doctest::Approx(0.001).epsilon(0.1));
  CHECK(rates[19] < 1e-8);
  CHECK(rates[20] == rates[0]);
  lesson.set_learning_rate(0.004);
  CHECK(lesson.step().learning_rate == doctest::Approx(2 * rates[1]));
  CHECK_THROWS_WITH_AS(lesson.set_learning_rate(-1.0), doctest::Contains("learning_rate"),
                       cks::Error);
  CHECK_THROWS_WITH_AS(LenetLesson(digits(), {.epochs = 0}), doctest::Contains("total_steps"),
                       cks::Error);
}

TEST_CASE("a learning rate of 0 keeps the weights") {
  LenetLesson lesson(digits(), {});
  const std::vector<float> before = lesson.values("conv1.weight");
  lesson.set_learning_rate(0.0);
  lesson.step();
  CHECK(lesson.values("conv1.weight") == before);
  lesson.set_learning_rate(1e-3);
  lesson.step();
  CHECK(lesson.values("conv1.weight") != before);
}

TEST_CASE("a lesson shows parameters, gradients and feature maps once they exist") {
  LenetLesson lesson(digits(), {});
  CHECK_THROWS_WITH_AS(lesson.values("conv1.weight.grad"), doctest::Contains("conv1.weight.grad"),
                       cks::Error);
  lesson.step();
  CHECK(lesson.values("conv1.weight.grad").size() == 150);
  CHECK_THROWS_AS(lesson.values("conv1"), cks::Error);
  const std::vector<float> probabilities = lesson.predict(first_test_image(lesson));
  CHECK(probabilities.size() == 10);
  CHECK(lesson.values("conv1").size() == 28 * 28 * 6);
  CHECK(lesson.values("conv2").size() == 10 * 10 * 16);
}

TEST_CASE(
    "a browser's convolutions have the bits of vectors as long, without fused multiply-adds") {
  if (cks::kernels::cpu_level() != cks::kernels::CpuLevel::v2) {
    return;  // ctest runs it at this level, too (web_v2)
  }
  LenetLesson lesson(cks::drawn_digits({.train_count = 10, .test_count = 1}), {.batch_size = 10});
  lesson.predict(first_test_image(lesson));
  std::uint32_t hash = 0x811c9dc5;  // FNV-1a
  for (const char* map : {"conv1", "conv2"}) {
    const std::vector<float> values = lesson.values(map);
    for (const auto byte : std::as_bytes(std::span(values))) {
      hash = (hash ^ std::to_integer<std::uint32_t>(byte)) * 0x01000193;
    }
  }
  CHECK(hash == 0x78763ef2);  // as in bindings_test.js
}

TEST_CASE("saved weights give another model the same logits") {
  LenetLesson lesson(digits(), {});
  for (int i = 0; i < 5; ++i) {
    lesson.step();
  }
  const std::string path =
      (std::filesystem::temp_directory_path() / "cks_lesson_test.safetensors").string();
  lesson.save(path);
  const cks::CheckpointInfo info = cks::read_checkpoint_info(path);
  CHECK(info.model == "lenet5");
  CHECK(info.height == 28);
  CHECK(info.class_names.size() == 10);
  cks::LeNet5 model;
  cks::load_weights(path, model);
  std::filesystem::remove(path);
  const cks::DataLoader loader(lesson.test(), {.batch_size = 1, .shuffle = false, .prefetch = 0});
  const Tensor logits = model(loader.make_batch(0, 0).images);
  CHECK(cks::softmax(logits.detach()).to_vector<float>() ==
        lesson.predict(first_test_image(lesson)));
}

TEST_CASE("a lesson takes square images alone") {
  cks::TrainTest data = digits();
  for (cks::ImageDataset* half : {&data.train, &data.test}) {
    half->images = half->images.reshape({-1, 14, 56, 1});
  }
  CHECK_THROWS_WITH_AS(LenetLesson(data, {}), doctest::Contains("expected square images"),
                       cks::ShapeError);
}

}  // namespace
