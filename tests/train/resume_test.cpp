#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>

#include "cks/core/io/safetensors.h"
#include "tests/support/devices.h"
#include "tests/support/scratch_folder.h"
#include "tests/train/tiny.h"

namespace {

using cks::RunFolder;
using cks::TrainOptions;
using cks::TrainSummary;
using cks::testing::ScratchFolder;
using cks::testing::slurp;
using cks::testing::TinyRun;

constexpr std::int64_t kEpochs = 3;
constexpr std::int64_t kStepsPerEpoch = 5;  // 220 images, batches of 50

cks::LrFactor schedule() { return cks::one_cycle_lr({.total_steps = kEpochs * kStepsPerEpoch}); }

/// Options with what every run here shares. Each step is looked at, so that a run can end at that
/// very step.
TrainOptions tiny_options(const RunFolder& folder, TrainOptions options = {}) {
  options.epochs = kEpochs;
  options.files.folder = &folder;
  options.clip_grad_norm = 1.0;
  options.label_smoothing = 0.1;
  options.files.info.model = "tiny";
  options.gpu.report_seconds = 0.0;
  return options;
}

/// The tiny network with a schedule that must go on where it was.
cks::TrainTask task_of(TinyRun& run) {
  cks::TrainTask task = run.task();
  task.lr_factor = schedule();
  return task;
}

/// Trains in a folder until `stop_at` steps are done (0: to the end), everything made anew.
TrainSummary train(const std::string& path, const TinyRun::Settings& settings, std::int64_t stop_at,
                   bool resume, TrainOptions options = {},
                   std::vector<std::string>* notes = nullptr) {
  TinyRun run(settings);
  const RunFolder folder = resume ? RunFolder::open(path) : RunFolder::create(path);
  options = tiny_options(folder, std::move(options));
  options.files.resume = resume;
  std::int64_t steps = 0;
  cks::TrainCallbacks& callbacks = options.callbacks;
  callbacks.on_step = [&](const cks::StepEvent& event) { steps = event.global_step; };
  if (notes != nullptr) {
    callbacks.on_note = [&](const std::string& note) { notes->push_back(note); };
  }
  callbacks.should_stop = [&] { return stop_at > 0 && steps >= stop_at; };
  return cks::fit(task_of(run), options);
}

/// Rows without what a clock or the system says.
std::vector<cks::EpochMetrics> timeless(const std::string& path) {
  auto rows = RunFolder::open(path).read_metrics();
  for (auto& row : rows) {
    row.seconds = row.images_per_second = row.peak_mib = 0.0;
  }
  return rows;
}

/// Tensors of a state file, as bytes of their values.
void check_same_state(const std::string& a, const std::string& b) {
  const auto left = cks::load_safetensors(a + "/last.state.safetensors").tensors;
  const auto right = cks::load_safetensors(b + "/last.state.safetensors").tensors;
  REQUIRE(left.size() == right.size());
  for (std::size_t i = 0; i < left.size(); ++i) {
    CAPTURE(left[i].first);
    CHECK(left[i].first == right[i].first);
    const auto bytes = [](const cks::Tensor& tensor) {
      return std::string(static_cast<const char*>(tensor.data()),
                         static_cast<std::size_t>(tensor.numel()) * cks::size_of(tensor.dtype()));
    };
    CHECK(bytes(left[i].second) == bytes(right[i].second));
  }
}

void check_resume_equals_whole(const std::string& optimizer, cks::Device device,
                               const TrainOptions& options) {
  const ScratchFolder scratch;
  const TinyRun::Settings settings{.optimizer = optimizer,
                                   .device = device,
                                   .augment = {.crop_padding = 2, .flip = optimizer == "sgd"}};
  const std::string whole = scratch / "whole";
  const TrainSummary expected = train(whole, settings, 0, false, options);
  CHECK(expected.epochs == kEpochs);
  CHECK(expected.device == device.to_string());
  // In the first epoch, at its end, in the middle of the second, after its last batch.
  for (const std::int64_t stop_at : {2, 5, 8, 10, 14}) {
    CAPTURE(stop_at);
    const std::string cut = scratch / ("cut-" + std::to_string(stop_at));
    const TrainSummary first = train(cut, settings, stop_at, false, options);
    CHECK(first.interrupted);
    CHECK(first.steps == stop_at);
    const TrainSummary second = train(cut, settings, 0, true, options);
    CHECK_FALSE(second.interrupted);
    CHECK(second.steps == expected.steps);
    CHECK(second.test_accuracy == expected.test_accuracy);
    CHECK(second.test_loss == expected.test_loss);
    CHECK(second.best_epoch == expected.best_epoch);
    CHECK(timeless(cut) == timeless(whole));
    check_same_state(cut, whole);
    CHECK(slurp(cut + "/last.safetensors") == slurp(whole + "/last.safetensors"));
    CHECK(slurp(cut + "/best.safetensors") == slurp(whole + "/best.safetensors"));
  }
}

TEST_CASE("a resumed run equals an uninterrupted one bit for bit") {
  for (const cks::Device device : cks::testing::test_devices()) {
    CAPTURE(device.to_string());
    check_resume_equals_whole("adam", device, {});
    check_resume_equals_whole("sgd", device,
                              {.weight_average = {{.decay = 0.5, .every = 3, .look_ahead = true}}});
    check_resume_equals_whole("muon", device, {.weight_average = {{.decay = 0.9, .every = 2}}});
  }
}

TEST_CASE("an evaluation is cut short, and a resumed run begins it anew") {
  for (const cks::Device device : cks::testing::test_devices()) {
    CAPTURE(device.to_string());
    const ScratchFolder scratch;
    const TinyRun::Settings settings{.device = device};
    const TrainSummary expected = train(scratch / "whole", settings, 0, false);
    for (const std::int64_t epoch : {std::int64_t{1}, kEpochs}) {
      const std::string cut = scratch / ("cut" + std::to_string(epoch));
      {
        TinyRun run(settings);
        const RunFolder folder = RunFolder::create(cut);
        std::int64_t steps = 0;
        std::int64_t questions = 0;  // after the epoch's last step
        TrainOptions options = tiny_options(folder);
        options.callbacks.on_step = [&](const cks::StepEvent& event) { steps = event.global_step; };
        options.callbacks.should_stop = [&] {
          questions += steps == epoch * kStepsPerEpoch ? 1 : 0;
          return questions == 3;  // after that step, before two of three batches
        };
        const TrainSummary summary = cks::fit(task_of(run), options);
        CHECK(summary.interrupted);
        CHECK(summary.epochs == epoch - 1);
        CHECK(summary.steps == epoch * kStepsPerEpoch);
        CHECK(static_cast<std::int64_t>(folder.read_metrics().size()) == epoch - 1);
        CHECK(run.model.training());
      }
      const TrainSummary resumed = train(cut, settings, 0, true);
      CHECK(resumed.test_loss == expected.test_loss);
      CHECK(timeless(cut) == timeless(scratch / "whole"));
      check_same_state(cut, scratch / "whole");
    }
  }
}

TEST_CASE(
    "a step as a graph gives the bits of one that is none, and when it is looked at is all one") {
  if (!cks::testing::has_gpu()) {
    return;
  }
  const ScratchFolder scratch;
  const TinyRun::Settings settings{.device = cks::Device::cuda()};
  train(scratch / "graph", settings, 0, false);
  train(scratch / "eager", settings, 0, false, {.gpu = {.capture = false}});
  train(scratch / "pieces", settings, 0, false, {.accumulation = 3});
  train(scratch / "eager-pieces", settings, 0, false,
        {.accumulation = 3, .gpu = {.capture = false}});
  train(scratch / "recorded", settings, 0, false, {.profile = {.convolutions = true}});
  check_same_state(scratch / "graph", scratch / "eager");
  check_same_state(scratch / "graph", scratch / "recorded");
  check_same_state(scratch / "pieces", scratch / "eager-pieces");
  CHECK(timeless(scratch / "graph") == timeless(scratch / "eager"));

  // Batches that the loader makes on the CPU, and those of a run that is seldom looked at.
  for (const bool on_cpu : {false, true}) {
    TinyRun run(settings);
    cks::DataLoader loader(run.data.train, {.batch_size = 50, .seed = settings.seed});
    const RunFolder folder = RunFolder::create(scratch / (on_cpu ? "host" : "seldom"));
    std::int64_t events = 0;
    std::int64_t last = 0;
    TrainOptions options = tiny_options(folder);
    options.gpu.report_seconds = 1e9;
    options.callbacks.on_step = [&](const cks::StepEvent& event) {
      ++events;
      last = event.global_step;
    };
    cks::fit({run.model, *run.optimizer, on_cpu ? loader : run.train_loader, run.test_loader,
              schedule()},
             options);
    check_same_state(folder.path(), scratch / "graph");
    CHECK(events == 1 + kEpochs);  // the first step, and the last of each epoch
    CHECK(last == kEpochs * kStepsPerEpoch);
  }
}

TEST_CASE("a run goes on behind a step limit, in the middle of an epoch or at its end") {
  for (const cks::Device device : cks::testing::test_devices()) {
    CAPTURE(device.to_string());
    const ScratchFolder scratch;
    const TinyRun::Settings settings{.device = device};
    const std::string whole = scratch / "whole";
    train(whole, settings, 0, false);
    for (const std::int64_t limit : {2, 5, 7, 14}) {
      CAPTURE(limit);
      const std::string cut = scratch / ("cut-" + std::to_string(limit));
      const TrainSummary first = train(cut, settings, 0, false, {.max_steps = limit});
      CHECK(first.steps == limit);
      CHECK(first.test_loss > 0.0);
      train(cut, settings, 0, true, {.max_steps = limit + 1});
      CHECK(train(cut, settings, 0, true).steps == kEpochs * kStepsPerEpoch);
      CHECK(timeless(cut) == timeless(whole));
      check_same_state(cut, whole);
      CHECK(slurp(cut + "/last.safetensors") == slurp(whole + "/last.safetensors"));
      CHECK(slurp(cut + "/best.safetensors") == slurp(whole + "/best.safetensors"));
    }
  }
}

TEST_CASE("a run continues on another device") {
  if (!cks::testing::has_gpu()) {
    return;
  }
  const ScratchFolder scratch;
  // Adam would make steps of the rounding errors that are all there is of conv.bias's gradient.
  const auto settings = [](cks::Device device) {
    return TinyRun::Settings{.optimizer = "sgd", .device = device};
  };
  const TrainSummary whole = train(scratch / "whole", settings({}), 0, false);
  constexpr auto kCpu = cks::Device::cpu();
  constexpr auto kGpu = cks::Device::cuda();
  for (const auto& [first, second] : {std::pair(kCpu, kGpu), std::pair(kGpu, kCpu)}) {
    CAPTURE(first.to_string());
    const std::string path = scratch / ("from-" + first.to_string());
    CHECK(train(path, settings(first), 8, false).device == first.to_string());
    const TrainSummary summary = train(path, settings(second), 0, true);
    CHECK(summary.device == second.to_string());
    CHECK(summary.steps == whole.steps);
    // 15 steps from the same numbers; sums are taken in another order.
    CHECK(summary.test_loss == doctest::Approx(whole.test_loss).epsilon(1e-3));
  }
}

TEST_CASE("a run that died after its checkpoint continues from it, without the later rows") {
  const ScratchFolder scratch;
  const std::string whole = scratch / "whole";
  train(whole, {}, 0, false);
  // What kill -9 leaves: the checkpoint of step 8, and files that were written after it.
  const std::string cut = scratch / "cut";
  train(cut, {}, 8, false);
  std::filesystem::copy_file(whole + "/metrics.csv", cut + "/metrics.csv",
                             std::filesystem::copy_options::overwrite_existing);
  train(cut, {}, 0, true);
  CHECK(timeless(cut) == timeless(whole));
  check_same_state(cut, whole);
}

TEST_CASE("a finished run resumes to its own result") {
  const ScratchFolder scratch;
  const TrainSummary first = train(scratch / "run", {}, 0, false);
  std::vector<std::string> notes;
  const TrainSummary again = train(scratch / "run", {}, 0, true, {}, &notes);
  CHECK(notes ==
        std::vector<std::string>{
            "resumed " + scratch / "run/last.state.safetensors" + " after 3 epochs",
            "nothing is left to do after 3 epochs; more epochs go on from there, unless the "
            "schedule ends with these"});
  CHECK(again.steps == first.steps);
  CHECK(again.test_accuracy == first.test_accuracy);
  CHECK(again.best_test_accuracy == first.best_test_accuracy);
  CHECK_FALSE(again.interrupted);
}

TEST_CASE("a resume says where it goes on, and whether there is anything to do") {
  const ScratchFolder scratch;
  const std::string path = scratch / "run";
  const std::string resumed = "resumed " + path + "/last.state.safetensors after ";
  train(path, {}, 7, false);
  std::vector<std::string> notes;
  train(path, {}, 0, true, {.max_steps = 7}, &notes);
  CHECK(notes == std::vector<std::string>{
                     resumed + "1 epoch and 2 of 5 steps",
                     "nothing is left to do after 7 steps; a greater max_steps goes on from "
                     "there"});
  notes.clear();
  train(path, {}, 0, true, {}, &notes);
  CHECK(notes.at(0) == resumed + "1 epoch and 2 of 5 steps");
  CHECK(notes.size() == 1);
}

TEST_CASE("a folder without a checkpoint resumes at the first step") {
  const ScratchFolder scratch;
  const RunFolder folder = RunFolder::create(scratch / "run");
  folder.write_config({{"flags", {}}});
  const TrainSummary summary = train(scratch / "run", {}, 0, true);
  CHECK(summary.epochs == kEpochs);
  train(scratch / "other", {}, 0, false);
  check_same_state(scratch / "run", scratch / "other");
}

TEST_CASE("another dataset, optimiser, schedule or seed is refused by name") {
  const ScratchFolder scratch;
  const std::string path = scratch / "run";
  train(path, {}, 3, false);
  const std::string state = slurp(path + "/last.state.safetensors");
  CHECK_THROWS_WITH_AS(train(path, {.images = 230}, 0, true), doctest::Contains("training images"),
                       cks::Error);
  // As many images, but others.
  CHECK_THROWS_WITH_AS(train(path, {.data_seed = 4}, 0, true),
                       doctest::Contains("mean and std of the channels: 0.09"), cks::Error);
  CHECK_THROWS_WITH_AS(
      train(path, {.batch_size = 20}, 0, true),
      (path + "/last.state.safetensors is the state of a run with other settings:\n"
              "  batch size: 50 in the checkpoint, 20 now\n"
              "  resume it with those it was saved with, or begin a new run")
          .c_str(),
      cks::Error);
  CHECK_THROWS_WITH_AS(train(path, {.optimizer = "sgd"}, 0, true),
                       doctest::Contains("momentum_buffer"), cks::Error);
  CHECK_THROWS_WITH_AS(train(path, {.seed = 6}, 0, true), doctest::Contains("seed"), cks::Error);
  CHECK(slurp(path + "/last.state.safetensors") == state);
}

TEST_CASE("fit: a run in bf16 resumes bit for bit, and in another precision with a note") {
  for (const cks::Device device : cks::testing::test_devices()) {
    CAPTURE(device.to_string());
    const ScratchFolder scratch;
    const TinyRun::Settings settings{.device = device};
    TrainOptions bf16;
    bf16.precision = cks::Precision::bf16;
    const TrainSummary whole = train(scratch / "whole", settings, 0, false, bf16);
    CHECK(std::isfinite(whole.test_loss));
    for (const char* name : {"cut", "changed"}) {
      train(scratch / name, settings, 7, false, bf16);
    }
    std::vector<std::string> notes;
    train(scratch / "cut", settings, 0, true, bf16, &notes);
    check_same_state(scratch / "whole", scratch / "cut");
    const auto is_said = [](const std::string& note) { return note.find("computed in") == 0; };
    CHECK(std::none_of(notes.begin(), notes.end(), is_said));
    notes.clear();
    train(scratch / "changed", settings, 0, true, {}, &notes);
    CHECK(std::find(notes.begin(), notes.end(), "computed in bf16 so far, from here on in fp32") !=
          notes.end());

    // Near fp32, but not the same; weights and what the optimiser keeps stay float32.
    const TrainSummary fp32 = train(scratch / "fp32", settings, 0, false);
    CHECK(whole.test_loss != fp32.test_loss);
    CHECK(whole.test_loss == doctest::Approx(fp32.test_loss).epsilon(0.1));
    for (const auto& [key, tensor] :
         cks::load_safetensors((scratch / "whole") + "/last.state.safetensors").tensors) {
      CAPTURE(key);
      CHECK(tensor.dtype() != cks::DType::bfloat16);
    }
  }
}

TEST_CASE("fit: a precision that the device lacks is refused before anything is written") {
  const ScratchFolder scratch;
  TrainOptions tf32;
  tf32.precision = cks::Precision::tf32;
  CHECK_THROWS_WITH_AS(train(scratch / "run", {}, 0, false, tf32),
                       "fit: cpu has no precision mode tf32; it has fp32, bf16", cks::DeviceError);
}

}  // namespace
