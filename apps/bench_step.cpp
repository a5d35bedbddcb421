// bench_step: time of one training step (forward, loss, backward, Adam) of a registered model on
// random data.   bench_step --model resnet20 --batch-size 128 --device cuda
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "apps/device_choice.h"
#include "apps/flags.h"
#include "cks/core/cuda.h"
#include "cks/core/ops.h"
#include "cks/core/optim/adam.h"
#include "cks/core/random.h"
#include "cks/kernels/common/parallel_for.h"
#include "cks/models/registry.h"

namespace {

int run(int argc, char** argv) {
  std::string name = "lenet5";
  std::int64_t batch = 128;
  std::int64_t threads = cks::kernels::num_threads();
  double seconds = 2.0;
  std::string device_text = "auto";
  cks::apps::Flags flags("bench_step", "Times one training step of a model on random data.");
  flags.add_choice("model", name, cks::classifier_names(), "which model");
  flags.add("batch-size", batch, "images in a batch", 1, 1 << 20);
  cks::apps::add_device_flag(flags, device_text);
  flags.add("threads", threads, "threads", 1, 1024);
  flags.add("seconds", seconds, "time spent on measuring", 0.0, 3600.0);
  if (const auto code = flags.parse(argc, argv)) {
    return *code;
  }
  cks::kernels::set_num_threads(static_cast<int>(threads));

  const cks::apps::ChosenDevice chosen = cks::apps::take_device(device_text);
  if (!chosen.why.empty()) {
    std::fprintf(stderr, "device    %s\n", chosen.why.c_str());
  }

  const cks::ModelInfo& info = cks::model_info(name);
  const auto model = cks::make_model(name);
  model->to(chosen.device);
  cks::Tensor x = cks::Tensor::empty({batch, info.image_size, info.image_size, info.in_channels});
  cks::fill_uniform(x, -1.0, 1.0, cks::make_random_key(1, cks::RandomPurpose::data));
  x = x.to(chosen.device);
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < batch; ++i) {
    labels.push_back(i % 10);
  }
  const cks::Tensor y = cks::Tensor::from_vector(labels, {batch}, chosen.device);
  cks::Adam optimizer(model->named_parameters(), {.learning_rate = 1e-3});
  const auto step = [&] {
    optimizer.zero_grad();
    cks::cross_entropy((*model)(x), y).backward();
    optimizer.step();
    cks::synchronize(chosen.device);
  };

  using Clock = std::chrono::steady_clock;
  for (int i = 0; i < 3; ++i) {
    step();
  }
  std::vector<double> times;
  const auto begin = Clock::now();
  while (times.size() < 7 ||
         std::chrono::duration<double>(Clock::now() - begin).count() < seconds) {
    const auto start = Clock::now();
    step();
    times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  }
  std::sort(times.begin(), times.end());
  std::printf(
      "{\"model\": \"%s\", \"device\": \"%s\", \"batch\": %lld, \"threads\": %lld, \"steps\": %zu, "
      "\"median_ms\": "
      "%.4f, "
      "\"min_ms\": %.4f, \"max_ms\": %.4f, \"images_per_second\": %.0f}\n",
      name.c_str(), chosen.device.to_string().c_str(), static_cast<long long>(batch),
      static_cast<long long>(threads), times.size(), times[times.size() / 2], times.front(),
      times.back(), 1e3 * static_cast<double>(batch) / times[times.size() / 2]);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
