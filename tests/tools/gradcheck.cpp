// Compares the gradients of every operation and layer with finite differences, in float64.
//
//   gradcheck                     every operation of the table that the tests use, every layer
//   gradcheck --only conv         those whose name holds "conv", in capitals or not
//   gradcheck --model resnet20    a whole network on a small batch
//
// Exit code 1 if one of them is wrong.
#include <algorithm>
#include <cctype>
#include <functional>
#include <iostream>
#include <memory>
#include <vector>

#include "apps/cli/flags.h"
#include "apps/cli/program.h"
#include "apps/report/text_table.h"
#include "cks/core/autograd/autograd.h"
#include "cks/core/autograd/grad_check.h"
#include "cks/core/ops.h"
#include "cks/core/tensor/random.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/layers/activation.h"
#include "cks/layers/batch_norm2d.h"
#include "cks/layers/concat.h"
#include "cks/layers/conv2d.h"
#include "cks/layers/dropout.h"
#include "cks/layers/flatten.h"
#include "cks/layers/linear.h"
#include "cks/layers/pool2d.h"
#include "cks/layers/sequential.h"
#include "cks/models/registry.h"
#include "tests/core/ops/op_table.h"

namespace {

using cks::GradCheckReport;
using cks::Module;
using cks::Shape;
using cks::Tensor;

constexpr double kTolerance = 1e-6;
// Of a whole network: small enough that hardly one of its many ReLUs crosses its kink on the way.
constexpr double kModelStep = 3e-8;

Tensor random_tensor(const Shape& shape, std::uint64_t seed) {
  Tensor tensor = Tensor::empty(shape, cks::DType::float64);
  cks::fill_uniform(tensor, -1.0, 1.0, cks::make_random_key(seed, cks::RandomPurpose::data));
  return tensor;
}

/// A module as a function of its input and its parameters: the tape of the module's own parameters
/// lies inside this node.
struct ModuleBackward : cks::Node {
  Tensor output;
  std::vector<Tensor> leaves;
  const char* name() const override { return "module"; }
  std::vector<Tensor> backward(const Tensor& grad_output, const std::vector<bool>&) override {
    return cks::gradients(output, leaves, grad_output);
  }
};

GradCheckReport check_module(Module& module, const Tensor& input) {
  module.to(cks::DType::float64);
  std::vector<Tensor> inputs{input};
  for (const Tensor& parameter : module.parameters()) {
    inputs.push_back(parameter);
  }
  const std::vector<Tensor> buffers = [&] {
    std::vector<Tensor> copies;
    for (const auto& [name, buffer] : module.named_buffers()) {
      copies.push_back(buffer.clone());
    }
    return copies;
  }();
  const cks::NamedTensors training_state = module.training_state();
  return cks::grad_check(
      [&](const std::vector<Tensor>& values) {
        module.load_training_state(training_state);  // dropout counts its passes
        std::vector<Tensor> leaves{values[0].detach().clone().set_requires_grad()};
        const std::vector<Tensor> parameters = module.parameters();
        for (std::size_t i = 0; i < parameters.size(); ++i) {
          Tensor parameter = parameters[i];
          // Fresh memory: the tape of an earlier call still reads the old one.
          parameter.set_data(values[i + 1].detach().clone());
          leaves.push_back(parameter);
        }
        cks::NamedTensors now = module.named_buffers();
        for (std::size_t i = 0; i < buffers.size(); ++i) {
          now[i].second.copy_(buffers[i]);  // running statistics move with each call
        }
        const cks::GradMode grad(true);
        const Tensor output = module(leaves[0]);
        auto node = std::make_shared<ModuleBackward>();
        node->output = output;
        node->leaves = std::move(leaves);
        return cks::needs_recording(values)
                   ? cks::record_node(output.detach().clone(), std::move(node), values)
                   : output.detach().clone();
      },
      inputs, {.tolerance = kTolerance});
}

struct LayerCase {
  std::string name;
  Shape input;
  std::function<std::unique_ptr<Module>()> make;
};

template <class Layer>
LayerCase layer_case(const std::string& name, const Shape& input,
                     const typename Layer::Options& options = {}) {
  return {name, input, [options] { return std::make_unique<Layer>(nullptr, "", options); }};
}

std::unique_ptr<Module> make_concat() {
  auto fork = std::make_unique<cks::Concat>();
  fork->add_branch().add<cks::Conv2d>({.in_channels = 3, .out_channels = 2, .kernel_size = 1});
  fork->add_branch().add<cks::AvgPool2d>({.kernel_size = 3, .stride = 1, .padding = 1});
  return fork;
}

std::vector<LayerCase> layer_cases() {
  const Shape image{2, 5, 6, 3};
  return {
      layer_case<cks::Conv2d>("Conv2d", image,
                              {.in_channels = 3, .out_channels = 4, .kernel_size = 3}),
      layer_case<cks::Conv2d>("Conv2d, stride 2, padding 1, no bias", image,
                              {.in_channels = 3,
                               .out_channels = 4,
                               .kernel_size = 3,
                               .stride = 2,
                               .padding = 1,
                               .bias = false}),
      layer_case<cks::Conv2d>("Conv2d, groups 3, dilation 2", image,
                              {.in_channels = 3,
                               .out_channels = 6,
                               .kernel_size = 2,
                               .padding = 2,
                               .dilation = 2,
                               .groups = 3}),
      layer_case<cks::ConvTranspose2d>(
          "ConvTranspose2d, stride 2, padding 1", image,
          {.in_channels = 3, .out_channels = 2, .kernel_size = 4, .stride = 2, .padding = 1}),
      layer_case<cks::Linear>("Linear", {3, 5}, {.in_features = 5, .out_features = 4}),
      layer_case<cks::BatchNorm2d>("BatchNorm2d", image, {.num_features = 3}),
      layer_case<cks::MaxPool2d>("MaxPool2d", {2, 4, 4, 2}),
      layer_case<cks::AvgPool2d>("AvgPool2d", {2, 4, 4, 2}),
      layer_case<cks::GlobalAvgPool2d>("GlobalAvgPool2d", image),
      layer_case<cks::ReLU>("ReLU", image),
      layer_case<cks::LeakyReLU>("LeakyReLU", image),
      layer_case<cks::Sigmoid>("Sigmoid", image),
      layer_case<cks::Tanh>("Tanh", image),
      layer_case<cks::GELU>("GELU", image),
      layer_case<cks::Flatten>("Flatten", image),
      layer_case<cks::Dropout>("Dropout", image, {.p = 0.4}),
      {"Concat", image, make_concat},
  };
}

/// Rows of the table, and whether all of them passed.
class Results {
 public:
  void add(const std::string& kind, const std::string& name, const GradCheckReport& report) {
    table_.add({kind, name, cks::formatted("{:.2e}", report.max_relative_error),
                report.ok ? "ok" : "FAILED"});
    ++count_;
    if (!report.ok) {
      ++failed_;
      messages_ += cks::formatted("{} {}: {}\n", kind, name, report.message);
    }
  }
  bool empty() const { return count_ == 0; }
  int print() const {
    std::cout << table_.to_string() << messages_ << count_ << " checked, " << failed_
              << " failed; relative error of gradients against central differences in float64, "
                 "allowed "
              << kTolerance << "\n";
    return failed_ == 0 && count_ > 0 ? cks::apps::kExitOk : cks::apps::kExitFailed;
  }

 private:
  cks::apps::TextTable table_{{"kind", "name", "error", ""}, {false, false, true, false}};
  std::string messages_;
  std::int64_t count_ = 0;
  std::int64_t failed_ = 0;
};

/// True if the name has the part in it, capitals aside.
bool holds(const std::string& name, const std::string& part) {
  const auto same = [](unsigned char a, unsigned char b) {
    return std::tolower(a) == std::tolower(b);
  };
  return std::search(name.begin(), name.end(), part.begin(), part.end(), same) != name.end();
}

void check_operations(const std::string& only, Results& results) {
  for (const cks::testing::OpRow& row : cks::testing::op_table()) {
    if (!holds(row.name, only)) {
      continue;
    }
    // Integers (labels, conditions) are kept; real inputs are varied.
    std::vector<Tensor> all;
    std::vector<Tensor> varied;
    for (const cks::testing::OpInput& input : row.inputs) {
      Tensor tensor = Tensor::empty(input.shape, cks::DType::float64);
      for (std::int64_t i = 0; i < tensor.numel(); ++i) {
        tensor.data_as<double>()[i] = input.value(i);
      }
      all.push_back(input.is_real ? tensor : tensor.to(input.dtype));
      if (input.is_real) {
        varied.push_back(tensor);
      }
    }
    results.add("operation", row.name,
                cks::grad_check(
                    [&](const std::vector<Tensor>& values) {
                      std::vector<Tensor> arguments = all;
                      std::size_t next = 0;
                      for (std::size_t i = 0; i < arguments.size(); ++i) {
                        if (row.inputs[i].is_real) {
                          arguments[i] = values[next++];
                        }
                      }
                      return row.call(arguments);
                    },
                    varied, {.tolerance = kTolerance}));
  }
}

void check_layers(const std::string& only, Results& results) {
  std::uint64_t seed = 1;
  for (const LayerCase& layer : layer_cases()) {
    if (!holds(layer.name, only)) {
      continue;
    }
    const auto module = layer.make();
    module->initialize(seed);
    results.add("layer", layer.name, check_module(*module, random_tensor(layer.input, seed)));
    ++seed;
  }
}

/// A whole network: the directional derivative along a random direction for each parameter, since
/// one difference for each of its many elements would take hours.
GradCheckReport check_direction(Module& model, const Tensor& images,
                                const std::function<Tensor(const Tensor&)>& loss_of) {
  std::vector<Tensor> parameters = model.parameters();
  std::vector<Tensor> origins;
  std::vector<Tensor> directions;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    origins.push_back(parameters[i].clone().detach());
    directions.push_back(random_tensor(parameters[i].shape(), 100 + i));
  }
  const auto at = [&](const Tensor& distances) {  // one distance for each parameter
    const cks::NoGradGuard no_grad;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const double distance = distances.data_as<double>()[i];
      parameters[i].copy_(origins[i] + directions[i] * distance);
    }
  };
  struct DirectionBackward : cks::Node {
    Tensor slopes;
    const char* name() const override { return "direction"; }
    std::vector<Tensor> backward(const Tensor& grad_output, const std::vector<bool>&) override {
      return {slopes * grad_output};
    }
  };
  return cks::grad_check(
      [&](const std::vector<Tensor>& values) {
        at(values[0]);
        const cks::GradMode grad(true);
        model.zero_grad();
        const Tensor loss = loss_of(model(images));
        loss.backward();
        std::vector<double> slopes;
        for (std::size_t i = 0; i < parameters.size(); ++i) {
          slopes.push_back(cks::sum(parameters[i].grad() * directions[i]).item());
        }
        return cks::record<DirectionBackward>(
            loss.detach().clone(), {values[0]}, [&](DirectionBackward& node) {
              node.slopes = Tensor::from_vector(slopes, values[0].shape());
            });
      },
      {Tensor::zeros({static_cast<std::int64_t>(parameters.size())}, cks::DType::float64)},
      {.step = kModelStep, .tolerance = kTolerance});
}

void check_model(const std::string& name, Results& results) {
  const cks::ModelInfo& info = cks::model_info(name);
  const auto model = cks::make_model(name);
  model->initialize(1);
  model->to(cks::DType::float64);
  model->eval();  // batch statistics of two images are no smooth function
  const Tensor images = random_tensor({2, info.image_size, info.image_size, info.in_channels}, 7);
  const Tensor labels = Tensor::from_vector<std::int64_t>({3, 8}, {2});
  results.add("model", name, check_direction(*model, images, [&](const Tensor& output) {
                return info.task == cks::ModelTask::reconstruct
                           ? cks::mse_loss(output, images)
                           : cks::cross_entropy(output, labels);
              }));
}

int run(int argc, char** argv) {
  std::string only;
  std::string model;
  std::vector<std::string> models;
  for (const cks::ModelInfo& info : cks::model_list()) {
    models.push_back(info.name);
  }
  cks::apps::Flags parser("gradcheck",
                          "Compares gradients with finite differences in float64; exit code 1 if "
                          "one of them is wrong.");
  parser.add("only", only, "only what has this in its name");
  parser.add_choice("model", model, models,
                    "a whole network instead, one direction for each of its parameters");
  if (const auto code = parser.parse(argc, argv)) {
    return *code;
  }
  Results results;
  if (!model.empty()) {
    check_model(model, results);
  } else {
    check_operations(only, results);
    check_layers(only, results);
    if (results.empty()) {
      throw cks::Error("--only " + only + ": no operation and no layer has this in its name");
    }
  }
  return results.print();
}

}  // namespace

int main(int argc, char** argv) { return cks::apps::run_program(run, argc, argv); }
