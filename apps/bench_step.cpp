// bench_step: time of one training step (forward, loss, backward, Adam) of a registered model on
// random data, queued kernel by kernel or as a CUDA graph, and of an epoch of such steps in fit().
//   bench_step --model resnet20 --batch-size 128 --device cuda --mode both --epoch
#include <algorithm>
#include <chrono>
#include <functional>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "apps/cli/device_flag.h"
#include "apps/cli/flags.h"
#include "apps/cli/program.h"
#include "cks/core/autograd/autograd.h"
#include "cks/core/capture/capture.h"
#include "cks/core/conv/conv_tuning.h"
#include "cks/core/device/cuda.h"
#include "cks/core/distributed/communicator.h"
#include "cks/core/memory/storage.h"
#include "cks/core/ops.h"
#include "cks/core/optim/adam.h"
#include "cks/core/tensor/random.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/parallel_for.h"
#include "cks/models/registry.h"
#include "cks/train/trainer.h"

namespace cks::apps {
namespace {

struct Settings {
  std::string model = "lenet5";
  std::int64_t batch = 128;
  std::int64_t threads = 0;  // all cores
  double seconds = 2.0;
  std::int64_t steps = 0;
  std::string device_text = "auto";
  std::string precision = "fp32";
  std::string mode = "eager";
  bool tune = false;
  bool epoch = false;
  std::int64_t epoch_images = 60000;
  std::int64_t gpus = 1;  // of the epoch
  std::int64_t bucket_mib = 8;
  bool registered = false;
  Device device{};
};

/// What each line begins with.
std::string heading(const Settings& settings, const std::string& mode) {
  return formatted(
      R"("model": "{}", "device": "{}", "precision": "{}", "mode": "{}", "batch": {}, "threads": {})",
      settings.model, settings.device, settings.precision, mode, settings.batch, settings.threads);
}

/// Milliseconds of each of many calls, sorted; at least 7, or exactly `steps` after as many others.
std::vector<double> time_calls(const Settings& settings, const std::function<void()>& call) {
  using Clock = std::chrono::steady_clock;
  for (std::int64_t i = 0; i < (settings.steps > 0 ? settings.steps : 3); ++i) {
    call();
  }
  std::vector<double> times;
  const auto begin = Clock::now();
  const auto goes_on = [&] {
    return settings.steps > 0
               ? static_cast<std::int64_t>(times.size()) < settings.steps
               : times.size() < 7 ||
                     std::chrono::duration<double>(Clock::now() - begin).count() < settings.seconds;
  };
  while (goes_on()) {
    const auto start = Clock::now();
    call();
    times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  }
  std::sort(times.begin(), times.end());
  return times;
}

/// Of ten classes in turn.
Tensor labels_of(std::int64_t images) {
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < images; ++i) {
    labels.push_back(i % 10);
  }
  return Tensor::from_vector(labels, {images});
}

/// Times the step alone and prints a line; returns the median in milliseconds.
double measure_step(const Settings& settings, const std::string& mode) {
  reset_peak_memory(settings.device);
  const ModelInfo& info = model_info(settings.model);
  const auto model = make_model(settings.model);
  model->to(settings.device);
  Tensor x = Tensor::empty({settings.batch, info.image_size, info.image_size, info.in_channels});
  fill_uniform(x, -1.0, 1.0, make_random_key(1, RandomPurpose::data));
  x = x.to(settings.device);
  const Tensor y = labels_of(settings.batch).to(settings.device);
  Adam optimizer(model->named_parameters(), {.learning_rate = 1e-3});
  const auto step = [&] {
    optimizer.zero_grad();
    cross_entropy((*model)(x), y).backward();
    optimizer.step();
  };
  CapturedStep captured(step, settings.device);
  const std::vector<double> times = time_calls(settings, [&] {
    if (mode == "graph") {
      captured.run();
    } else {
      step();
    }
    synchronize(settings.device);
  });
  const double median = times[times.size() / 2];
  std::cout << formatted(
      R"({{{}, "steps": {}, "median_ms": {:.4f}, "min_ms": {:.4f}, "max_ms": {:.4f}, )"
      R"("images_per_second": {:.0f}, "peak_mib": {:.1f}}})"
      "\n",
      heading(settings, mode), times.size(), median, times.front(), times.back(),
      1e3 * static_cast<double>(settings.batch) / median,
      static_cast<double>(memory_stats(settings.device).peak) / (1024.0 * 1024.0));
  return median;
}

ImageDataset random_images(const Settings& settings) {
  const ModelInfo& info = model_info(settings.model);
  const std::int64_t count = settings.epoch_images;
  Tensor numbers = Tensor::empty({count, info.image_size, info.image_size, info.in_channels});
  fill_uniform(numbers, 0.0, 256.0, make_random_key(1, RandomPurpose::data));
  const auto channels = static_cast<std::size_t>(info.in_channels);
  return {.name = "random",
          .images = numbers.to(DType::uint8),
          .labels = labels_of(count),
          .class_names = numbered_classes(10),
          .mean = std::vector<float>(channels, 0.5F),
          .std = std::vector<float>(channels, 0.25F),
          .source = {}};
}

/// Trains two epochs as one of the ranks, the first of which warms up and records; returns the
/// images per second of the second.
double train_epochs(const Settings& settings, const std::string& mode, Precision precision,
                    const ImageDataset& images, Communicator& ranks) {
  const auto model = make_model(settings.model);
  model->to(ranks.device());
  Adam optimizer(model->named_parameters(), {.learning_rate = 1e-3});
  DataLoader train(images, {.batch_size = settings.batch * settings.gpus,
                            .drop_last = settings.gpus > 1,
                            .device = ranks.device(),
                            .share = {ranks.rank(), ranks.size()}});
  DataLoader test(images.limit(settings.batch),
                  {.batch_size = settings.batch, .shuffle = false, .device = ranks.device()});
  double images_per_second = 0.0;
  const auto keep_rate = [&](const EpochEvent& event) {
    images_per_second = event.metrics.images_per_second;
  };
  fit({*model, optimizer, train, test}, {.epochs = 2,
                                         .precision = precision,
                                         .gpu = {.capture = mode == "graph"},
                                         .parallel = {.communicator = &ranks,
                                                      .bucket_bytes = settings.bucket_mib << 20,
                                                      .registered_buffer = settings.registered},
                                         .callbacks = {.on_epoch = keep_rate}});
  return images_per_second;
}

/// Trains on all GPUs and prints a line: how much longer an epoch takes than its steps on one.
void measure_epoch(const Settings& settings, const std::string& mode, double step_ms) {
  const ImageDataset images = random_images(settings);
  std::vector<Device> devices{settings.device};
  while (static_cast<std::int64_t>(devices.size()) < settings.gpus) {
    devices.push_back(Device::cuda(static_cast<int>(devices.size())));
  }
  double images_per_second = 0.0;
  const Precision precision = current_precision();  // of this thread, ranks have their own
  run_ranks(devices, [&](Communicator& ranks) {
    const double rate = train_epochs(settings, mode, precision, images, ranks);
    if (ranks.rank() == 0) {
      images_per_second = rate;
    }
  });
  const std::int64_t batch = settings.batch * settings.gpus;
  const double steps = static_cast<double>(settings.epoch_images) / static_cast<double>(batch);
  const double seconds = static_cast<double>(settings.epoch_images) / images_per_second;
  std::cout << formatted(R"({{{}, "gpus": {}, "epoch_images": {}, "epoch_seconds": {:.4f}, )"
                         R"("step_ms": {:.4f}, "epoch_over_steps": {:.3f}, )"
                         R"("images_per_second": {:.0f}}})"
                         "\n",
                         heading(settings, mode), settings.gpus, settings.epoch_images, seconds,
                         1e3 * seconds / steps, 1e3 * seconds / steps / step_ms, images_per_second);
}

int run(int argc, char** argv) {
  Settings settings;
  Flags flags("bench_step", "Times one training step of a model on random data.");
  flags.add_choice("model", settings.model, classifier_names(), "which model");
  flags.add("batch-size", settings.batch, "images in a batch", 1, 1 << 20);
  add_device_flags(flags, settings.device_text, settings.precision);
  flags.add("threads", settings.threads, "compute threads; 0: all cores", 0, 1024);
  flags.add("seconds", settings.seconds, "time spent on measuring", 0.0, 3600.0);
  flags.add("steps", settings.steps,
            "measure exactly N steps after N to warm up, for a profiler; 0: as --seconds says", 0,
            1 << 20);
  flags.add_choice("mode", settings.mode, {"eager", "graph", "both"},
                   "queue each kernel anew, or the whole step as a CUDA graph");
  add_tune_flag(flags, settings.tune);
  flags.add_switch("epoch", settings.epoch,
                   "also time an epoch of fit(), and how much longer it takes than its steps");
  flags.add("epoch-images", settings.epoch_images, "random images of that epoch", 1, 1 << 24);
  constexpr std::int64_t kMostGpus = 1024;
  flags.add("gpus", settings.gpus, "train that epoch on N GPUs, --batch-size images on each", 1,
            kMostGpus);
  flags.add("bucket-mib", settings.bucket_mib, "size of the groups in which gradients travel", 1,
            1 << 20);
  flags.add_switch("registered", settings.registered,
                   "gradients travel from one buffer that NCCL has registered");
  for (const char* name : {"epoch-images", "gpus", "bucket-mib", "registered"}) {
    flags.needs(name, "epoch");
  }
  flags.excludes("seconds", "steps");
  if (const auto code = flags.parse(argc, argv)) {
    return *code;
  }
  if (settings.threads == 0) {
    settings.threads = kernels::num_threads();
  }
  kernels::set_num_threads(static_cast<int>(settings.threads));
  const ChosenDevice chosen = take_device(settings.device_text);
  if (!chosen.why.empty()) {
    std::cerr << "device    " << chosen.why << std::endl;
  }
  settings.device = chosen.device;
  const PrecisionScope precision(take_precision(settings.precision, settings.device));
  std::optional<ConvTuning> tuning;
  if (settings.tune) {
    tuning.emplace(conv_plans_file());
  }
  for (const std::string mode : {"eager", "graph"}) {
    if (settings.mode == mode || settings.mode == "both") {
      const double step_ms = measure_step(settings, mode);
      if (settings.epoch) {
        measure_epoch(settings, mode, step_ms);
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace cks::apps

int main(int argc, char** argv) { return cks::apps::run_program(cks::apps::run, argc, argv); }
