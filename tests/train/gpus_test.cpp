#include <doctest/doctest.h>

#include <chrono>
#include <cstdio>
#include <stdexcept>

#include "cks/core/device/cuda.h"
#include "cks/core/distributed/communicator.h"
#include "cks/core/optim/adam.h"
#include "cks/core/optim/sgd.h"
#include "cks/datasets/drawn/drawn_digits.h"
#include "cks/datasets/drawn/drawn_pictures.h"
#include "cks/models/registry.h"
#include "cks/train/trainer.h"
#include "tests/support/nudge.h"
#include "tests/support/state_gap.h"

// Several GPUs of this machine: the same weights as of one, the same bits twice, and what a rank
// that fails does to the others. Does nothing on a machine with one.

namespace {

using cks::Communicator;

constexpr std::int64_t kSteps = 50;
constexpr std::int64_t kBatch = 128;

struct Setup {
  std::string model;
  bool sync = false;
  bool capture = true;
  bool nudged = false;
  bool registered = false;
  cks::Precision precision = cks::Precision::fp32;
  std::int64_t bucket_bytes = 1 << 18;  // several groups even of a small network
  std::function<void(Communicator&, std::int64_t step)> on_step{};
};

std::vector<cks::Device> gpus(int count) {
  std::vector<cks::Device> devices;
  for (int index = 0; index < count; ++index) {
    devices.push_back(cks::Device::cuda(index));
  }
  return devices;
}

/// Weights and running statistics after 50 steps with the whole batch fixed, which every rank has
/// alike.
std::vector<float> train(int count, const Setup& setup) {
  const bool is_lenet = setup.model == "lenet5";
  const cks::TrainTest data =
      is_lenet ? cks::drawn_digits({.seed = 3, .train_count = 25 * kBatch, .test_count = 100})
               : cks::drawn_pictures({.seed = 3, .train_count = 25 * kBatch, .test_count = 100});
  std::vector<std::vector<float>> ends(static_cast<std::size_t>(count));
  cks::run_ranks(gpus(count), [&](Communicator& ranks) {
    const auto model = cks::make_model(setup.model);
    if (setup.nudged) {
      cks::testing::nudge(model->parameters());
    }
    model->to(ranks.device());
    std::unique_ptr<cks::Optimizer> optimizer;
    if (is_lenet) {
      optimizer = std::make_unique<cks::Adam>(model->named_parameters(),
                                              cks::Adam::Options{.learning_rate = 1e-3});
    } else {
      optimizer = std::make_unique<cks::Sgd>(
          model->named_parameters(), cks::Sgd::Options{.learning_rate = 0.01, .momentum = 0.9});
    }
    cks::DataLoader loader(data.train, {.batch_size = kBatch,
                                        .seed = 5,
                                        .device = ranks.device(),
                                        .augment = {.crop_padding = 2, .flip = true},
                                        .share = {ranks.rank(), ranks.size()}});
    cks::DataLoader test(data.test, {.batch_size = 50, .shuffle = false, .device = ranks.device()});
    cks::TrainOptions options{.epochs = 2, .max_steps = kSteps};
    options.precision = setup.precision;
    options.gpu = {.capture = setup.capture, .report_seconds = 0.005};
    options.parallel = {.communicator = &ranks,
                        .sync_batch_norm = setup.sync,
                        .bucket_bytes = setup.bucket_bytes,
                        .registered_buffer = setup.registered};
    if (setup.on_step) {
      options.callbacks.on_step = [&](const cks::StepEvent& event) {
        setup.on_step(ranks, event.global_step);
      };
    }
    cks::fit({*model, *optimizer, loader, test}, options);
    ends[static_cast<std::size_t>(ranks.rank())] = cks::testing::floats_of(model->state_dict());
  });
  for (const auto& end : ends) {
    CHECK(end == ends[0]);
  }
  return ends[0];
}

void check_agreement(Setup setup) {
  const int count = std::min(cks::cuda_device_count(), 2);
  if (count < 2 || !cks::has_nccl()) {
    return;
  }
  const std::vector<float> one = train(1, setup);
  const std::vector<float> two = train(count, setup);
  Setup nudged = setup;
  nudged.nudged = true;
  const double of_ranks = cks::testing::gap(one, two);
  const double of_ulp = cks::testing::gap(one, train(1, nudged));
  std::printf("%s in %s%s: 1 and 2 GPUs %.3e, one ulp apart %.3e\n", setup.model.c_str(),
              name_of(setup.precision), setup.capture ? "" : " without a graph", of_ranks, of_ulp);
  std::fflush(stdout);
  CHECK(of_ranks <= 10.0 * of_ulp);
  CHECK(train(count, setup) == two);
  setup.bucket_bytes = 1 << 30;  // in one group
  CHECK(cks::testing::gap(train(count, setup), two) <= 10.0 * of_ulp);
}

TEST_CASE("GPUs: lenet5 trains as on one") { check_agreement({.model = "lenet5"}); }
TEST_CASE("GPUs: lenet5 trains as on one without a graph") {
  check_agreement({.model = "lenet5", .capture = false});
}
TEST_CASE("GPUs: lenet5 trains as on one from a registered buffer") {
  check_agreement({.model = "lenet5", .registered = true});
}
TEST_CASE("GPUs: resnet20 trains as on one with batch normalisation over both") {
  check_agreement({.model = "resnet20", .sync = true});
}

TEST_CASE("GPUs: both train as on one in bf16 and tf32") {
  for (const cks::Precision precision : {cks::Precision::bf16, cks::Precision::tf32}) {
    check_agreement({.model = "lenet5", .precision = precision});
    check_agreement({.model = "resnet20", .sync = true, .precision = precision});
  }
}

TEST_CASE("GPUs: with batch normalisation of each rank's own, twice the same bits") {
  if (cks::cuda_device_count() < 2 || !cks::has_nccl()) {
    return;
  }
  CHECK(train(2, {.model = "resnet20"}) == train(2, {.model = "resnet20"}));
}

TEST_CASE("GPUs: where a rank fails within a run the others end at once") {
  if (cks::cuda_device_count() < 2 || !cks::has_nccl()) {
    return;
  }
  const auto begin = std::chrono::steady_clock::now();
  CHECK_THROWS_WITH_AS(train(2, {.model = "resnet20",
                                 .on_step =
                                     [](Communicator& ranks, std::int64_t step) {
                                       if (ranks.rank() == 1 && step > 10) {
                                         throw std::runtime_error("no more film");
                                       }
                                     }}),
                       "no more film", std::runtime_error);
  CHECK(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() < 30.0);
  CHECK(train(2, {.model = "lenet5"}) == train(2, {.model = "lenet5"}));  // and a new group works
}

}  // namespace
