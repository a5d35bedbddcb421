#include <doctest/doctest.h>

#include <cmath>
#include <memory>

#include "cks/core/ops/loss.h"
#include "cks/core/optim/adam.h"
#include "cks/core/optim/sgd.h"
#include "cks/models/registry.h"
#include "tests/golden/golden.h"
#include "tests/support/nudge.h"

// The training steps of training.safetensors: losses, and after each step a weighted sum and the
// first element of every parameter and running statistic.

namespace cks::golden {
namespace {

constexpr std::int64_t kBatch = 4;

/// OPTIMIZERS of make_golden.py.
std::unique_ptr<Optimizer> make_optimizer(const std::string& name, NamedTensors parameters) {
  if (name == "sgd") {
    return std::make_unique<Sgd>(parameters, Sgd::Options{.learning_rate = 0.05});
  }
  if (name == "momentum" || name == "nesterov") {
    return std::make_unique<Sgd>(parameters, Sgd::Options{.learning_rate = 0.02,
                                                          .momentum = 0.9,
                                                          .weight_decay = 5e-4,
                                                          .nesterov = name == "nesterov"});
  }
  if (name == "adam") {
    return std::make_unique<Adam>(parameters, Adam::Options{.learning_rate = 1e-3});
  }
  if (name == "adam_decay") {
    return std::make_unique<Adam>(parameters,
                                  Adam::Options{.learning_rate = 1e-3, .weight_decay = 1e-3});
  }
  REQUIRE(name == "adamw");
  return std::make_unique<AdamW>(parameters,
                                 AdamW::Options{.learning_rate = 1e-3, .weight_decay = 1e-2});
}

/// What a run leaves, step by step.
struct Run {
  std::vector<double> losses, sums, firsts;
};

enum class Start { formula, one_ulp_off };

/// Dropout draws other numbers here than in PyTorch.
void switch_dropout_off(Module& model) {
  for (Module* module : model.modules()) {
    if (module->type_name() == "Dropout") {
      module->eval();
    }
  }
}

Run train(const std::string& model_name, const std::string& optimizer_name, std::int64_t steps,
          DType dtype, Start start = Start::formula) {
  const ModelInfo& info = model_info(model_name);
  const auto model = make_model(model_name);
  switch_dropout_off(*model);
  model->to(DType::float64);
  load_formula_state(*model, 5000);
  model->to(dtype);
  if (start == Start::one_ulp_off) {
    testing::nudge(model->parameters());
  }
  const auto optimizer = make_optimizer(optimizer_name, model->named_parameters());
  Run run;
  for (std::int64_t step = 0; step < steps; ++step) {
    const Tensor images =
        formula_tensor({kBatch, info.image_size, info.image_size, info.in_channels},
                       7000 + static_cast<std::uint64_t>(step), dtype);
    std::vector<std::int64_t> labels;
    for (std::int64_t i = 0; i < kBatch; ++i) {
      labels.push_back((7 * (kBatch * step + i) + 3) % 10);
    }
    optimizer->zero_grad();
    const Tensor output = (*model)(images);
    const Tensor loss = info.task == ModelTask::reconstruct
                            ? mse_loss(output, images)
                            : cross_entropy(output, Tensor::from_vector(labels, Shape{kBatch}));
    loss.backward();
    optimizer->step();
    run.losses.push_back(loss.item());
    for (const auto& [name, tensor] : model->state_dict()) {
      if (!is_floating(tensor.dtype())) {
        continue;
      }
      const std::vector<double> values = testing::doubles(tensor);
      double sum = 0.0;
      for (std::size_t i = 0; i < values.size(); ++i) {
        sum += values[i] * formula_real(8000, i);
      }
      run.sums.push_back(sum);
      run.firsts.push_back(values.front());
    }
  }
  return run;
}

double largest_gap(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double gap = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    gap = std::max(gap, std::abs(a[i] - b[i]));
  }
  return gap;
}

void check(const std::string& model, const std::string& optimizer) {
  CAPTURE(model);
  CAPTURE(optimizer);
  const Golden golden("training");
  const std::string key = model + "." + optimizer + ".";
  const std::int64_t steps = golden[key + "losses"].size(0);
  const Run wide = train(model, optimizer, steps, DType::float64);
  const Run narrow = train(model, optimizer, steps, DType::float32);
  const Run shifted = train(model, optimizer, steps, DType::float32, Start::one_ulp_off);
  Errors errors;
  double worst_ratio = 0.0;
  for (const auto& [which, member] :
       {std::pair(std::string("losses"), &Run::losses), std::pair(std::string("sums"), &Run::sums),
        std::pair(std::string("firsts"), &Run::firsts)}) {
    CAPTURE(which);
    const Tensor& expected = golden[key + which];
    const auto exact =
        compare64(Tensor::from_vector(wide.*member, expected.shape()), expected, errors);
    CHECK_MESSAGE(exact.ok, exact.message);
    // Float32 may be as far off as ten runs whose weights start one ulp apart.
    const double gap = largest_gap(narrow.*member, testing::doubles(expected));
    const double allowed = 10.0 * largest_gap(shifted.*member, narrow.*member);
    CHECK(gap <= allowed);
    worst_ratio = std::max(worst_ratio, gap / allowed);
  }
  MESSAGE(model << " " << optimizer << ": greatest relative error in float64 " << errors.float64
                << "; float32 at " << worst_ratio << " of what is allowed");
}

TEST_CASE("golden: ten training steps of LeNet-5") {
  for (const char* optimizer : {"sgd", "momentum", "nesterov", "adam", "adam_decay", "adamw"}) {
    check("lenet5", optimizer);
  }
}

TEST_CASE("golden: ten training steps of ResNet-20") {
  for (const char* optimizer : {"nesterov", "adam", "adamw"}) {
    check("resnet20", optimizer);
  }
}

TEST_CASE("golden: three training steps of one network of each other family") {
  for (const char* model : {"resnet18", "alexnet", "googlenet", "autoencoder"}) {
    check(model, "nesterov");
  }
  check("vgg16", "adam");
  check("autoencoder", "adam");
}

}  // namespace
}  // namespace cks::golden
