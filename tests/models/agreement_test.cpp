#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/loss.h"
#include "cks/core/optim/adam.h"
#include "cks/core/optim/sgd.h"
#include "cks/core/tensor/random.h"
#include "cks/models/registry.h"
#include "tests/support/nudge.h"
#include "tests/support/state_gap.h"

// The CPU and the GPU agree: after each of 50 training steps the gap between them is at most ten
// times that between two runs on the CPU whose initial weights differ by one unit in the last
// place. Both gaps are printed.

namespace cks {
namespace {

constexpr int kSteps = 50;
constexpr std::int64_t kBatch = 32;
constexpr double kMostTimes = 10.0;

/// One run.
struct Run {
  std::unique_ptr<Module> model;
  std::unique_ptr<Optimizer> optimizer;
  Device device;

  Run(const std::string& name, Device where) : model(make_model(name)), device(where) {
    model->to(device);
    if (name == "lenet5") {
      optimizer =
          std::make_unique<Adam>(model->named_parameters(), Adam::Options{.learning_rate = 1e-3});
    } else {
      optimizer = std::make_unique<Sgd>(model->named_parameters(),
                                        Sgd::Options{.learning_rate = 0.01, .momentum = 0.9});
    }
  }
  void step(const Tensor& images, const Tensor& labels) {
    optimizer->zero_grad();
    cross_entropy((*model)(images.to(device)), labels.to(device)).backward();
    optimizer->step();
  }
  /// Parameters and running statistics, one after the other.
  std::vector<float> state() const { return testing::floats_of(model->state_dict()); }
};

/// Images of ten kinds with noise: a mean for each class, so that there is something to learn.
void make_batch(const ModelInfo& info, std::uint64_t step, Tensor& images, Tensor& labels) {
  const Shape shape{kBatch, info.image_size, info.image_size, info.in_channels};
  std::vector<std::int64_t> classes;
  std::vector<float> means;
  for (std::int64_t i = 0; i < kBatch; ++i) {
    classes.push_back((7 * i + static_cast<std::int64_t>(step)) % 10);
    means.push_back(0.2F * static_cast<float>(classes.back()) - 0.9F);
  }
  images = Tensor::empty(shape);
  fill_normal(images, 0.0, 1.0, make_random_key(3, RandomPurpose::data), step);
  images = images + Tensor::from_vector(means, {kBatch, 1, 1, 1});
  labels = Tensor::from_vector(classes, {kBatch});
}

void check_agreement(const std::string& name) {
  Run cpu(name, Device::cpu());
  Run nudged(name, Device::cpu());
  Run gpu(name, Device::cuda());
  testing::nudge(nudged.model->parameters());
  std::printf("%s, %d steps of %lld images\n%6s %16s %16s %8s\n", name.c_str(), kSteps,
              static_cast<long long>(kBatch), "step", "CPU and GPU", "one ulp apart", "times");
  for (int step = 1; step <= kSteps; ++step) {
    Tensor images;
    Tensor labels;
    make_batch(model_info(name), static_cast<std::uint64_t>(step), images, labels);
    for (Run* run : {&cpu, &nudged, &gpu}) {
      run->step(images, labels);
    }
    const double of_devices = testing::gap(cpu.state(), gpu.state());
    const double of_ulp = testing::gap(cpu.state(), nudged.state());
    if (step % 10 == 0) {
      std::printf("%6d %16.3e %16.3e %8.2f\n", step, of_devices, of_ulp, of_devices / of_ulp);
    }
    CAPTURE(step);
    REQUIRE(std::isfinite(of_devices));
    REQUIRE(of_ulp > 0.0);
    CHECK(of_devices <= kMostTimes * of_ulp);
  }
  std::fflush(stdout);
}

TEST_CASE("lenet5: the CPU and the GPU agree over 50 steps") { check_agreement("lenet5"); }
TEST_CASE("resnet20: the CPU and the GPU agree over 50 steps") { check_agreement("resnet20"); }

}  // namespace
}  // namespace cks
