#include "cks/train/trainer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "cks/core/io/file.h"
#include "tests/support/devices.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/tensors.h"
#include "tests/train/tiny.h"

namespace {

using cks::Device;
using cks::RunFolder;
using cks::Tensor;
using cks::TrainCallbacks;
using cks::TrainOptions;
using cks::TrainSummary;
using cks::testing::ScratchFolder;
using cks::testing::test_devices;
using cks::testing::TinyRun;

TrainSummary run_fit(TinyRun& run, TrainOptions options, const TrainCallbacks& callbacks = {}) {
  options.callbacks = callbacks;
  return cks::fit(run.task(), options);
}

void check_learns(Device device) {
  CAPTURE(device.to_string());
  TinyRun run({.images = 3000, .batch_size = 64, .device = device});
  std::vector<double> losses;
  std::int64_t steps = 0;
  TrainCallbacks callbacks;
  callbacks.on_epoch = [&](const cks::EpochEvent& event) {
    losses.push_back(event.metrics.train_loss);
  };
  callbacks.on_step = [&](const cks::StepEvent& event) {
    ++steps;
    CHECK(event.global_step == steps);
    CHECK(event.gradient_norm > 0.0);
  };
  const TrainSummary summary =
      run_fit(run, {.epochs = 4, .gpu = {.report_seconds = 0.0}}, callbacks);
  CHECK(summary.epochs == 4);
  CHECK(summary.steps == 4 * 47);
  CHECK(steps == summary.steps);
  REQUIRE(losses.size() == 4);
  CHECK(losses[3] < 0.5 * losses[0]);
  CHECK(summary.test_accuracy > 0.8);
  CHECK(summary.best_test_accuracy >= summary.test_accuracy);
  CHECK(summary.best_epoch >= 1);
  CHECK(summary.images_per_second > 0.0);
  CHECK(summary.device == device.to_string());
  CHECK(summary.peak_tensor_bytes > 0);
  CHECK(summary.peak_resident_bytes > 0);
  CHECK_FALSE(summary.interrupted);
  CHECK(summary.recorded_steps == 1);
  CHECK(summary.convolutions.size() == 2);  // no input gradient in the first layer
}

TEST_CASE("fit learns drawn digits and reports what it did") {
  for (const Device device : test_devices()) {
    check_learns(device);
  }
}

TEST_CASE("fit overfits one batch") {
  TinyRun run({.images = 200, .batch_size = 20});
  double accuracy = 0.0;
  double loss = 0.0;
  TrainCallbacks callbacks;
  callbacks.on_epoch = [&](const cks::EpochEvent& event) {
    accuracy = event.metrics.train_accuracy;
    loss = event.metrics.train_loss;
  };
  run_fit(run, {.epochs = 20, .overfit_batch = true}, callbacks);
  CHECK(accuracy > 0.99);
  CHECK(loss < 0.1);
}

void check_evaluation(Device device) {
  CAPTURE(device.to_string());
  TinyRun run({.device = device});
  cks::DataLoader whole(run.data.test, {.batch_size = 130, .shuffle = false});
  cks::DataLoader cut(run.data.test, {.batch_size = 60, .shuffle = false});  // 60 + 60 + 10
  run.model.train();
  const cks::Evaluation expected = cks::evaluate(run.model, whole);
  const cks::Evaluation got = cks::evaluate(run.model, cut);
  CHECK(got.images == 130);
  CHECK(got.accuracy == expected.accuracy);
  CHECK(got.loss == doctest::Approx(expected.loss).epsilon(1e-6));
  CHECK(run.model.training());
}

TEST_CASE("evaluation weights the last, smaller batch by its images") {
  for (const Device device : test_devices()) {
    check_evaluation(device);
  }
}

/// Without batch normalisation and dropout, which depend on how a batch is cut.
struct LinearNet : cks::Module {
  cks::Linear head{this, "head", {.in_features = 784, .out_features = 10}};
  Tensor forward(const Tensor& images) override {
    return head(images.reshape({images.size(0), -1}));
  }
};

std::vector<float> train_linear(const TrainOptions& options, Device device) {
  const cks::TrainTest data = cks::drawn_digits({.seed = 3, .train_count = 110, .test_count = 10});
  cks::DataLoader train(data.train, {.batch_size = 50});
  cks::DataLoader test(data.test, {.batch_size = 10, .shuffle = false});
  LinearNet net;
  net.initialize(1);
  net.to(device);
  cks::Sgd optimizer(net.named_parameters(), {.learning_rate = 0.1});
  cks::fit({net, optimizer, train, test}, options);
  return net.head.weight.to_vector<float>();
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double largest = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  }
  return largest;
}

TEST_CASE("accumulation in unequal pieces is the same step") {
  const auto on_cpu = train_linear({.epochs = 2}, Device::cpu());
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const auto whole = train_linear({.epochs = 2}, device);
    const auto cut = train_linear({.epochs = 2, .accumulation = 3}, device);
    CHECK(largest_difference(whole, on_cpu) < 1e-5);
    CHECK(largest_difference(whole, cut) < 1e-5);
    CHECK(largest_difference(whole, train_linear({.epochs = 1}, device)) > 1e-3);
  }
}

TEST_CASE("class weights count each image as its class says, in pieces as well") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const auto plain = train_linear({.epochs = 2}, device);
    const std::vector<double> alike(10, 1.0);
    CHECK(train_linear({.epochs = 2, .class_weights = alike}, device) == plain);
    std::vector<double> weights = alike;
    weights[3] = 5.0;
    weights[4] = 0.0;
    const auto weighted = train_linear({.epochs = 2, .class_weights = weights}, device);
    CHECK(largest_difference(plain, weighted) > 1e-3);
    CHECK(largest_difference(
              weighted, train_linear({.epochs = 2, .class_weights = weights, .accumulation = 3},
                                     device)) < 1e-5);
  }
  TinyRun run;
  CHECK_THROWS_WITH_AS(run_fit(run, {.class_weights = {1.0, -1.0}}),
                       doctest::Contains("one of class_weights is -1"), cks::Error);
  CHECK_THROWS_WITH_AS(run_fit(run, {.class_weights = {1.0, 1.0}}),
                       doctest::Contains("class_weights has shape [2], expected [10]"),
                       cks::ShapeError);
}

TEST_CASE("clipping and label smoothing reach the step") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const auto plain = train_linear({.epochs = 1}, device);
    const auto difference = [&](const TrainOptions& options) {
      return largest_difference(plain, train_linear(options, device));
    };
    CHECK(difference({.epochs = 1, .clip_grad_norm = 0.01}) > 1e-4);
    CHECK(difference({.epochs = 1, .clip_grad_norm = 1e9}) == 0.0);
    CHECK(difference({.epochs = 1, .label_smoothing = 0.2}) > 1e-4);
  }
}

TEST_CASE("a loss of one's own is trained, and its lowest value is best") {
  TinyRun run;
  cks::TrainTask task = run.task();
  task.loss = [](const Tensor& output, const cks::Batch& batch) {
    return cks::cross_entropy(output, batch.labels) * 2.0;
  };
  const TrainSummary summary = cks::fit(task, {.epochs = 2});
  CHECK(summary.best_epoch >= 1);
  CHECK(summary.test_accuracy == 0.0);
  CHECK(summary.test_loss > 0.0);
}

TEST_CASE("of equally accurate epochs the one with the lowest test loss is best") {
  TinyRun run({.images = 1000});
  const auto few = cks::drawn_digits({.seed = 4, .train_count = 10, .test_count = 12});
  cks::DataLoader test_loader(few.test, {.batch_size = 12, .shuffle = false});
  std::vector<std::pair<double, double>> results;  // accuracy, then minus loss
  TrainCallbacks callbacks;
  callbacks.on_epoch = [&](const cks::EpochEvent& event) {
    results.emplace_back(event.metrics.test_accuracy, -event.metrics.test_loss);
  };
  const TrainSummary summary = cks::fit({run.model, *run.optimizer, run.train_loader, test_loader},
                                        {.epochs = 8, .callbacks = callbacks});
  REQUIRE(results.size() == 8);
  const auto best = std::max_element(results.begin(), results.end());
  CHECK(summary.best_epoch == best - results.begin() + 1);
  const auto first = std::find_if(results.begin(), results.end(),
                                  [&](const auto& one) { return one.first == best->first; });
  REQUIRE_MESSAGE(first != best, "no tie: the case says nothing");
}

TEST_CASE("with a validation half the test half is read once, with the best epoch's weights") {
  const cks::testing::ScratchFolder scratch;
  for (const bool in_folder : {false, true}) {
    CAPTURE(in_folder);
    TinyRun run;
    const auto few = cks::drawn_digits({.seed = 4, .train_count = 10, .test_count = 60});
    cks::DataLoader val_loader(few.test, {.batch_size = 60, .shuffle = false});
    std::int64_t tests = 0;
    cks::DataLoader test_loader(run.data.test, {.batch_size = 130,
                                                .shuffle = false,
                                                .prefetch = 0,
                                                .transform = [&](cks::Batch&) { ++tests; }});
    cks::TrainTask task = run.task();
    cks::TrainTask with{.model = task.model,
                        .optimizer = task.optimizer,
                        .train_loader = task.train_loader,
                        .test_loader = test_loader,
                        // It learns in the first epoch, and ruins that in the later ones.
                        .lr_factor = [](std::int64_t step) { return step < 5 ? 1.0 : 30.0; },
                        .val_loader = &val_loader};
    std::vector<cks::EpochMetrics> rows;
    cks::NamedTensors best;
    TrainCallbacks callbacks;
    callbacks.on_epoch = [&](const cks::EpochEvent& event) {
      CHECK(tests == 0);
      rows.push_back(event.metrics);
      if (event.is_best) {
        best = run.model.state_dict();
      }
    };
    std::optional<cks::RunFolder> folder;
    cks::TrainOptions options;
    options.epochs = 6;
    options.callbacks = callbacks;
    if (in_folder) {
      folder = cks::RunFolder::create(scratch / "run");
      options.files.folder = &*folder;
    }
    const TrainSummary summary = cks::fit(with, options);
    CHECK(tests == 1);
    REQUIRE(summary.validation);
    REQUIRE(rows.size() == 6);
    CHECK(summary.validation->accuracy == rows.back().test_accuracy);
    CHECK(summary.validation->best_accuracy ==
          rows[static_cast<std::size_t>(summary.best_epoch - 1)].test_accuracy);
    REQUIRE_MESSAGE(summary.best_epoch < 6, "the last epoch is the best: the case says nothing");
    const cks::Evaluation of_last = cks::evaluate(run.model, run.test_loader);
    CHECK(cks::evaluate(run.model, val_loader).accuracy == rows.back().test_accuracy);
    run.model.load_state_dict(best);
    const cks::Evaluation of_best = cks::evaluate(run.model, run.test_loader);
    CHECK(summary.test_accuracy == of_best.accuracy);
    CHECK(summary.test_loss == doctest::Approx(of_best.loss));
    CHECK(summary.test_loss != doctest::Approx(of_last.loss));
    if (in_folder) {
      CHECK(cks::testing::slurp(folder->metrics_file())
                .starts_with("epoch,step,seconds,train_loss,train_acc,val_loss,val_acc,"));
      CHECK(folder->read_metrics() == rows);
      folder->truncate_metrics(2);
      CHECK(folder->read_metrics() == std::vector(rows.begin(), rows.begin() + 2));
      cks::write_summary(folder->summary_file(), summary);
      const TrainSummary again = cks::read_summary(folder->summary_file());
      REQUIRE(again.validation);
      CHECK(again.validation->best_accuracy == summary.validation->best_accuracy);
      CHECK(again.test_accuracy == summary.test_accuracy);
    }
  }
}

TEST_CASE("a run out of patience ends early, and so does its resumed self") {
  const cks::testing::ScratchFolder scratch;
  const cks::RunFolder folder = cks::RunFolder::create(scratch / "run");
  for (const bool resume : {false, true}) {
    CAPTURE(resume);
    TinyRun run;
    cks::TrainTask task = run.task();
    task.lr_factor = [](std::int64_t step) {
      return step < 10 ? 1.0 : 0.0;
    };  // no better from then on
    cks::TrainOptions options;
    options.epochs = 50;
    options.patience = 3;
    options.files.folder = &folder;
    options.files.resume = resume;
    const TrainSummary summary = cks::fit(task, options);
    CHECK(summary.stopped_early);
    CHECK_FALSE(summary.interrupted);
    CHECK(summary.epochs == summary.best_epoch + 3);
    CHECK(summary.epochs < 20);
    cks::write_summary(folder.summary_file(), summary);
    CHECK(cks::read_summary(folder.summary_file()).stopped_early);
  }
}

TEST_CASE("a step that cannot be a graph says how to do without one") {
  if (!cks::testing::has_gpu()) {
    return;
  }
  TinyRun run({.device = Device::cuda()});
  cks::TrainTask task = run.task();
  task.loss = [](const Tensor& output, const cks::Batch& batch) {
    const Tensor loss = cks::cross_entropy(output, batch.labels);
    const double value = loss.item();
    return value >= 0.0 ? loss : Tensor();
  };
  CHECK_THROWS_WITH_AS(cks::fit(task, {.epochs = 1}), doctest::Contains("capture = false"),
                       cks::CaptureError);
  CHECK(cks::fit(task, {.epochs = 1, .gpu = {.capture = false}}).steps == 5);
}

void check_out_of_memory(Device device) {
  CAPTURE(device.to_string());
  // Batches that wait in the loader would take memory as well.
  TinyRun run({.images = 2000, .batch_size = 2000, .device = device, .prefetch = 0});
  std::vector<std::vector<double>> before;
  for (const auto& [name, tensor] : run.model.state_dict()) {
    before.push_back(cks::testing::doubles(tensor));
  }
  const std::int64_t room = std::int64_t{12} << 20;
  cks::set_memory_limit(cks::memory_stats(device).in_use + room, device);
  std::string message;
  try {
    run_fit(run, {.epochs = 1});
  } catch (const cks::OutOfMemoryError& error) {
    message = error.what();
  }
  cks::set_memory_limit(0, device);
  CAPTURE(message);
  CHECK(message.ends_with(
      "\n  a batch of 2000 images does not fit: make it smaller, or cut it into more pieces "
      "(TrainOptions::accumulation)"));
  std::vector<std::vector<double>> after;
  for (const auto& [name, tensor] : run.model.state_dict()) {
    after.push_back(cks::testing::doubles(tensor));
  }
  CHECK(after.front() == before.front());
  CHECK(run.optimizer->step_count() == 0);
  CHECK_FALSE(run.model.conv.weight.grad().defined());

  TinyRun smaller({.images = 2000, .batch_size = 100, .device = device, .prefetch = 0});
  cks::set_memory_limit(cks::memory_stats(device).in_use + room, device);
  CHECK_NOTHROW(run_fit(smaller, {.epochs = 1, .max_steps = 2}));
  cks::set_memory_limit(0, device);
}

TEST_CASE("where memory runs out fit names the batch, and a smaller one fits") {
  for (const Device device : test_devices()) {
    check_out_of_memory(device);
  }
}

TEST_CASE("fit keeps the weights of the last epochs, and no other file goes") {
  const ScratchFolder scratch;
  const RunFolder folder = RunFolder::create(scratch / "run");
  cks::write_file_atomically(folder.file("epoch-notes.safetensors"), "of somebody else");
  TinyRun run;
  run_fit(run, {.epochs = 5, .files = {.folder = &folder, .keep_epochs = 2}});
  for (std::int64_t epoch = 1; epoch <= 5; ++epoch) {
    CAPTURE(epoch);
    CHECK(std::filesystem::exists(folder.epoch_file(epoch)) == (epoch >= 4));
  }
  CHECK(folder.epoch_file(12) == folder.file("epoch-0012.safetensors"));
  CHECK(folder.epoch_file(12345) == folder.file("epoch-12345.safetensors"));
  CHECK(std::filesystem::exists(folder.file("epoch-notes.safetensors")));
  TinyRun other;
  cks::load_weights(folder.epoch_file(5), other.model);
  CHECK(other.model.head.weight.to_vector<float>() == run.model.head.weight.to_vector<float>());
}

TEST_CASE("fit tests, keeps and leaves the average of the weights") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const ScratchFolder scratch;
    const RunFolder folder = RunFolder::create(scratch / "run");
    TinyRun plain({.device = device});
    TinyRun run({.device = device});
    // What an average kept by hand comes to: the run itself is the same with an EMA beside it.
    TinyRun by_hand({.device = device});
    cks::NamedTensors weights = by_hand.model.named_parameters();
    const cks::NamedTensors buffers = by_hand.model.named_buffers();
    weights.insert(weights.end(), buffers.begin(), buffers.end());
    cks::WeightAverage average(weights, {.decay = 0.5});
    run_fit(by_hand, {.epochs = 2, .gpu = {.report_seconds = 0.0}},
            {.on_step = [&](const cks::StepEvent&) { average.step(); }});
    const TrainSummary without = run_fit(plain, {.epochs = 2});
    const TrainSummary summary = run_fit(
        run, {.epochs = 2, .weight_average = {{.decay = 0.5}}, .files = {.folder = &folder}});
    CHECK(summary.test_loss != without.test_loss);
    CHECK(cks::evaluate(run.model, run.test_loader).loss == summary.test_loss);
    average.keep_averages();
    CHECK(cks::evaluate(by_hand.model, by_hand.test_loader).loss == summary.test_loss);
    TinyRun loaded({.device = device});
    cks::load_weights(folder.last_file(), loaded.model);
    CHECK(cks::evaluate(loaded.model, loaded.test_loader).loss == summary.test_loss);
  }
}

TEST_CASE("fit moves the momentum of each step, in graphs as well") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const auto weights = [&](const cks::MomentumCurve& momentum) {
      TinyRun run({.optimizer = "sgd", .device = device});
      cks::TrainTask task = run.task();
      task.momentum = momentum;
      cks::fit(task, {.epochs = 2});
      return run.model.conv.weight.detach().to(Device::cpu()).to_vector<float>();
    };
    const std::vector<float> own = weights({});
    CHECK(weights([](std::int64_t) { return 0.9; }) == own);  // what the optimiser has
    CHECK(weights([](std::int64_t step) { return step == 6 ? 0.8 : 0.9; }) != own);
  }
}

TEST_CASE("fit leaves a frozen part of a model as it is") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    TinyRun run({.device = device});
    run.model.conv.set_requires_grad(false);
    const auto conv = run.model.conv.weight.to_vector<float>();
    const auto head = run.model.head.weight.to_vector<float>();
    run_fit(run, {.epochs = 1});
    CHECK(run.model.conv.weight.to_vector<float>() == conv);
    CHECK(run.model.head.weight.to_vector<float>() != head);
  }
}

TEST_CASE("fit times modules where it is asked to, and changes nothing by it") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    TinyRun run({.device = device});
    const TrainSummary summary = run_fit(run, {.epochs = 2, .profile = {.modules = true}});
    CHECK(summary.timed_steps == 10);
    bool found = false;
    for (const cks::ModuleTime& time : summary.module_times) {
      found = found || time.module_path == "conv";
      CHECK((time.module_path.empty() || time.forward > 0.0));
      CHECK((time.module_path.empty() || time.backward > 0.0));
    }
    CHECK(found);
    TinyRun other({.device = device});
    const TrainSummary untimed = run_fit(other, {.epochs = 2});
    CHECK(untimed.timed_steps == 0);
    CHECK(untimed.module_times.empty());
    CHECK(untimed.test_loss == summary.test_loss);
  }
}

TEST_CASE("fit refuses options that make no sense") {
  TinyRun run;
  CHECK_THROWS_WITH_AS(run_fit(run, {.epochs = 0}), doctest::Contains("epochs is 0"), cks::Error);
  CHECK_THROWS_AS(run_fit(run, {.label_smoothing = 1.0}), cks::Error);
  CHECK_THROWS_AS(run_fit(run, {.clip_grad_norm = -1.0}), cks::Error);
  CHECK_THROWS_AS(run_fit(run, {.accumulation = 0}), cks::Error);
  CHECK_THROWS_WITH_AS(run_fit(run, {.files = {.save_every_steps = -2}}),
                       "fit: save_every_steps is -2, must be at least 0", cks::Error);
  CHECK_THROWS_AS(run_fit(run, {.gpu = {.report_seconds = -1.0}}), cks::Error);
}

TEST_CASE("a summary comes back from its file") {
  const ScratchFolder scratch;
  const std::string path = scratch / "summary.json";
  TrainSummary summary;
  summary.test_accuracy = 1.0 / 3.0;
  summary.test_loss = 0.7;
  summary.best_test_accuracy = 0.35;
  summary.best_epoch = 2;
  summary.epochs = 4;
  summary.steps = 12;
  summary.seconds = 0.1 + 0.2;
  summary.images_per_second = 99.5;
  summary.device = "cpu";
  summary.peak_resident_bytes = 1 << 20;
  summary.peak_tensor_bytes = 77;
  summary.interrupted = true;
  cks::write_summary(path, summary, {{"model", "tiny"}});
  const TrainSummary got = cks::read_summary(path);
  CHECK(got.test_accuracy == summary.test_accuracy);
  CHECK(got.test_loss == 0.7);
  CHECK(got.best_test_accuracy == 0.35);
  CHECK(got.best_epoch == 2);
  CHECK(got.epochs == 4);
  CHECK(got.steps == 12);
  CHECK(got.seconds == summary.seconds);
  CHECK(got.images_per_second == 99.5);
  CHECK(got.device == "cpu");
  CHECK(got.peak_resident_bytes == 1 << 20);
  CHECK(got.peak_tensor_bytes == 77);
  CHECK(got.interrupted);

  summary.epochs = 0;  // before the first evaluation
  cks::write_summary(path, summary);
  CHECK(cks::read_summary(path).epochs == 0);
  const std::string whole = cks::read_file(path);
  for (const char* number : {"2e54", "1.5", "18446744073709551615", "null"}) {  // no epoch is that
    std::string text = whole;
    const std::string field = "\"best_epoch\": ";
    text.insert(text.find(field) + field.size(), std::string(number) + ", \"other\": ");
    cks::write_file_atomically(path, text);
    CHECK_THROWS_WITH_AS(cks::read_summary(path), doctest::Contains("expected an integer"),
                         cks::IoError);
  }
  cks::write_file_atomically(path, "{\"epochs\": 1}");
  CHECK(cks::testing::message_of<cks::IoError>([&] { cks::read_summary(path); }).find(path) == 0);
}

TEST_CASE("a step limit ends the run with an evaluation") {
  TinyRun run;
  const TrainSummary summary = run_fit(run, {.epochs = 5, .max_steps = 2});
  CHECK(summary.steps == 2);
  CHECK(summary.epochs == 1);
  CHECK(summary.test_loss > 0.0);
}

void check_memory(Device device) {
  CAPTURE(device.to_string());
  TinyRun run({.images = 200, .batch_size = 10, .device = device});
  std::int64_t resident_early = 0;
  std::int64_t tensors_early = 0;
  TrainCallbacks callbacks;
  callbacks.on_epoch = [&](const cks::EpochEvent& event) {
    if (event.metrics.epoch == 10) {
      resident_early = cks::peak_resident_bytes();
      tensors_early = cks::memory_stats(device).peak;
    }
  };
  const TrainSummary summary = run_fit(run, {.epochs = 100}, callbacks);
  REQUIRE(summary.steps == 2000);
  CHECK(cks::memory_stats(device).peak == tensors_early);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  constexpr std::int64_t kSlack = 2 << 20;  // a leak of 1.2 KB a step would show
  CHECK(summary.peak_resident_bytes <= resident_early + kSlack);
#else
  CHECK(resident_early > 0);  // sanitizers keep freed memory
#endif
}

TEST_CASE("memory does not grow over 2,000 steps") {
  for (const Device device : test_devices()) {
    check_memory(device);
  }
}

}  // namespace
