#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <mutex>
#include <optional>

#include "cks/core/distributed/communicator.h"
#include "cks/core/io/safetensors.h"
#include "tests/support/devices.h"
#include "tests/support/nudge.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/state_gap.h"
#include "tests/train/tiny.h"

// Ranks that are threads on the CPU, or GPUs where there are several: the same fit() and the same
// reductions as of processes.

namespace {

using cks::Communicator;
using cks::RunFolder;
using cks::TrainOptions;
using cks::testing::floats_of;
using cks::testing::gap;
using cks::testing::ScratchFolder;
using cks::testing::TinyRun;

constexpr std::int64_t kImages =
    300;  // batches of 126, 126 and 48: shares of other sizes at the end
constexpr std::int64_t kBatch = 126;
constexpr std::int64_t kEpochs = 3;

/// What a run came to.
struct Result {
  std::vector<std::vector<float>> states;  // of rank 0, after each step
  std::vector<std::vector<float>> ends;    // of each rank, at the end
  cks::TrainSummary summary;               // of rank 0
  std::vector<double> losses;              // of each step
};

struct Setup {
  TinyRun::Settings settings{
      .images = kImages, .batch_size = kBatch, .optimizer = "sgd", .normalizes = false};
  TrainOptions options{.epochs = kEpochs};
  bool nudged = false;
  std::int64_t stop_at = 0;
  std::string folder{};
  /// Called before fit() on each rank.
  std::function<void(Communicator&, TinyRun&, TrainOptions&)> change{};
};

Result train(int count, const Setup& setup = {}) {
  Result result;
  result.ends.resize(static_cast<std::size_t>(count));
  const std::vector<cks::Device> devices(static_cast<std::size_t>(count));
  cks::run_ranks(devices, [&](Communicator& ranks) {
    TinyRun::Settings settings = setup.settings;
    settings.share = {ranks.rank(), ranks.size()};
    settings.augment = {.crop_padding = 2, .flip = true};
    TinyRun run(settings);
    if (setup.nudged) {
      cks::testing::nudge(run.model.parameters());
    }
    TrainOptions options = setup.options;
    options.parallel.communicator = &ranks;
    std::optional<RunFolder> folder;
    if (!setup.folder.empty() && ranks.rank() == 0) {
      folder =
          options.files.resume ? RunFolder::open(setup.folder) : RunFolder::create(setup.folder);
      options.files.folder = &*folder;
    }
    std::int64_t step = 0;
    options.callbacks.on_step = [&](const cks::StepEvent& event) {
      step = event.global_step;
      if (ranks.rank() == 0) {
        result.states.push_back(floats_of(run.model.state_dict()));
        result.losses.push_back(event.batch_loss);
      }
    };
    // One rank's wish ends the run of all.
    options.callbacks.should_stop = [&] {
      return setup.stop_at > 0 && step >= setup.stop_at && ranks.rank() == ranks.size() - 1;
    };
    if (setup.change) {
      setup.change(ranks, run, options);
    }
    const cks::TrainSummary summary = cks::fit(run.task(), options);
    result.ends[static_cast<std::size_t>(ranks.rank())] = floats_of(run.model.state_dict());
    if (ranks.rank() == 0) {
      result.summary = summary;
    }
  });
  return result;
}

/// After each step they are no farther apart than ten times what a unit in the last place of the
/// first weights makes.
void check_agreement(const Result& one, const Result& nudged, const Result& many) {
  REQUIRE(one.states.size() == many.states.size());
  for (std::size_t step = 0; step < one.states.size(); ++step) {
    CAPTURE(step);
    const double of_ranks = gap(one.states[step], many.states[step]);
    const double of_ulp = gap(one.states[step], nudged.states[step]);
    REQUIRE(of_ulp > 0.0);
    CHECK(of_ranks <= 10.0 * of_ulp);
  }
  std::printf("%zu ranks, %zu steps: gap %.3e, one ulp apart %.3e\n", many.ends.size(),
              one.states.size(), gap(one.states.back(), many.states.back()),
              gap(one.states.back(), nudged.states.back()));
  std::fflush(stdout);
}

TEST_CASE(
    "data parallel: 1, 2 and 3 ranks train the same network, dropout and augmentation included") {
  Setup setup;
  SUBCASE("in one group") {}
  SUBCASE("with batch normalisation over all ranks") {
    setup.settings.normalizes = true;
    setup.options.parallel.sync_batch_norm = true;
  }
  SUBCASE("a gradient at a time") { setup.options.parallel.bucket_bytes = 1; }
  SUBCASE("in a registered buffer") {
    setup.options.parallel.registered_buffer = true;
    SUBCASE("at once") {}
    SUBCASE("a gradient at a time") { setup.options.parallel.bucket_bytes = 1; }
  }
  SUBCASE("with clipped gradients and Adam") {
    setup.options.clip_grad_norm = 0.5;
    setup.settings.optimizer = "adam";
  }
  Setup nudged = setup;
  nudged.nudged = true;
  const Result one = train(1, setup);
  const Result one_nudged = train(1, nudged);
  CHECK(one.states.size() == 3 * kEpochs);
  for (const int count : {2, 3}) {
    const Result many = train(count, setup);
    check_agreement(one, one_nudged, many);
    for (const auto& end : many.ends) {
      CHECK(end == many.ends[0]);  // no rank drifts
    }
    CHECK(many.summary.test_loss == doctest::Approx(one.summary.test_loss).epsilon(1e-4));
    CHECK(many.summary.steps == one.summary.steps);
    for (std::size_t step = 0; step < one.losses.size(); ++step) {
      CHECK(many.losses[step] == doctest::Approx(one.losses[step]).epsilon(1e-4));
    }
    CHECK(train(count, setup).ends == many.ends);  // the same bits
  }
}

TEST_CASE("data parallel: batches in pieces give the same step") {
  Setup setup;
  SUBCASE("in place") {}
  SUBCASE("in a registered buffer") { setup.options.parallel.registered_buffer = true; }
  setup.options.accumulation = 3;
  const Result two = train(2, setup);
  CHECK(two.ends[0] == two.ends[1]);
  CHECK(train(2, setup).ends == two.ends);
  CHECK(two.losses.back() < two.losses.front());
}

TEST_CASE(
    "data parallel: batch normalisation of each rank's own, with the mean of the statistics") {
  Setup setup;
  setup.settings.normalizes = true;
  const Result two = train(2, setup);
  CHECK(two.ends[0] == two.ends[1]);  // running statistics as well
  CHECK(train(2, setup).ends == two.ends);
  CHECK(two.losses.back() < two.losses.front());
}

TEST_CASE("data parallel: a run goes on with another number of ranks") {
  const ScratchFolder scratch;
  Setup setup;
  const auto interrupted = [&](const std::string& name, int first, int then) {
    Setup part = setup;
    part.folder = scratch / name;
    part.stop_at = 4;
    CHECK(train(first, part).summary.interrupted);
    part.stop_at = 0;
    part.options.files.resume = true;
    Result rest = train(then, part);
    CHECK_FALSE(rest.summary.interrupted);
    CHECK(rest.summary.steps == 3 * kEpochs);
    CHECK(rest.states.size() == 3 * kEpochs - 4);
    CHECK(RunFolder::open(part.folder).read_metrics().size() == kEpochs);
    return rest;
  };
  const Result whole = train(2, setup);
  CHECK(interrupted("same", 2, 2).ends == whole.ends);
  Setup nudged = setup;
  nudged.nudged = true;
  const double of_ulp = gap(train(1, nudged).ends[0], train(1, setup).ends[0]);
  for (const auto& [first, then] : {std::pair(2, 3), std::pair(3, 1), std::pair(1, 2)}) {
    CAPTURE(first);
    const std::string name = std::to_string(first) + std::to_string(then);
    CHECK(gap(interrupted(name, first, then).ends[0], whole.ends[0]) <= 10.0 * of_ulp);
  }
}

TEST_CASE("data parallel: the best epoch is chosen on a validation half by all alike") {
  Setup setup;
  std::vector<double> accuracies;
  for (const int count : {1, 2}) {
    std::mutex mutex;
    std::vector<cks::TrainSummary> summaries;
    cks::run_ranks(
        std::vector<cks::Device>(static_cast<std::size_t>(count)), [&](Communicator& ranks) {
          TinyRun::Settings settings = setup.settings;
          settings.share = {ranks.rank(), ranks.size()};
          TinyRun run(settings);
          cks::DataLoader val(run.data.test.limit(70), {.batch_size = 30, .shuffle = false});
          cks::TrainTask task = run.task();
          task.val_loader = &val;
          TrainOptions options = setup.options;
          options.parallel.communicator = &ranks;
          const cks::TrainSummary summary = cks::fit(task, options);
          const std::lock_guard lock(mutex);
          summaries.push_back(summary);
        });
    for (const cks::TrainSummary& summary : summaries) {
      CHECK(summary.is_tested());
      CHECK(summary.test_loss == summaries[0].test_loss);
      CHECK(summary.validation->best_accuracy == summaries[0].validation->best_accuracy);
    }
    accuracies.push_back(summaries[0].test_accuracy);
  }
  CHECK(accuracies[0] == doctest::Approx(accuracies[1]).epsilon(0.02));
}

/// The message of a run that must fail.
std::string error_of(int count, const Setup& setup) {
  try {
    train(count, setup);
  } catch (const cks::Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST_CASE("data parallel: what does not go together is refused by name") {
  Setup setup;
  setup.settings.batch_size = 128;
  CHECK(error_of(3, setup) ==
        "data loader of 'drawn digits': a batch of 128 images does not divide among 3 ranks; 126 "
        "or 129 would");
  setup.settings.images = 299;
  setup.settings.batch_size = 298;  // leaves one image
  CHECK(error_of(2, setup) ==
        "data loader of 'drawn digits': a batch has 1 images, fewer than the 2 ranks; drop_last "
        "leaves out an epoch's last, smaller batch");
  setup.settings.batch_size = kBatch;
  setup.settings.images = kImages;
  const auto other = [&](auto change) {
    Setup changed = setup;
    changed.change = [change](Communicator& ranks, TinyRun& run, TrainOptions& options) {
      if (ranks.rank() == 1) {
        change(run, options);
      }
    };
    return error_of(3, changed);
  };
  const std::string begin = "fit: rank 1 does not train the same as rank 0; it has another ";
  CHECK(other([](TinyRun& run, TrainOptions&) { run.model.initialize(77); }) == begin + "model");
  CHECK(other([](TinyRun&, TrainOptions& options) { options.label_smoothing = 0.2; }) ==
        begin + "options");
  CHECK(other([](TinyRun& run, TrainOptions&) {
          cks::Tensor images = run.train_loader.dataset().images;
          images.data_as<std::uint8_t>()[5] ^= 1U;
        }) == begin + "data");
}

TEST_CASE(
    "data parallel: a loss that is not finite on one rank ends all, and the step is not taken") {
  const ScratchFolder scratch;
  Setup setup;
  setup.folder = scratch / "run";
  setup.options.files.save_every_steps = 1;
  setup.options.max_steps = 2;
  train(2, setup);
  setup.options.max_steps = 0;
  setup.options.files.resume = true;
  setup.change = [](Communicator& ranks, TinyRun& run, TrainOptions&) {
    const bool is_second = ranks.rank() == 1;
    run.model.set_forward_hook(
        [is_second, calls = std::make_shared<int>(0)](
            cks::Module& module, const std::vector<cks::Tensor>&, const cks::Tensor& output) {
          if (is_second && module.name() == "head" && ++*calls == 2) {
            cks::Tensor writable = output.detach();
            writable.fill_(std::numeric_limits<double>::quiet_NaN());
          }
        });
  };
  CHECK_THROWS_AS(train(2, setup), cks::NonFiniteError);
  // What was saved before is there, finite.
  for (const auto& [name, tensor] :
       cks::load_safetensors(setup.folder + "/last.state.safetensors").tensors) {
    if (tensor.dtype() == cks::DType::float32) {
      for (const float value : tensor.to_vector<float>()) {
        REQUIRE(std::isfinite(value));
      }
    }
  }
}

}  // namespace
