#include <doctest/doctest.h>

#include <array>
#include <functional>
#include <utility>

#include "cks/core/autograd/autograd.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/rearrange.h"
#include "cks/core/ops/softmax.h"
#include "cks/layers/activation.h"
#include "cks/layers/batch_norm2d.h"
#include "cks/layers/concat.h"
#include "cks/layers/conv2d.h"
#include "cks/layers/dropout.h"
#include "cks/layers/flatten.h"
#include "cks/layers/linear.h"
#include "cks/layers/loss.h"
#include "cks/layers/pool2d.h"
#include "cks/models/basic_block.h"
#include "tests/golden/golden.h"

// Every layer and loss of layers.safetensors with all gradients, in float64 and float32.

namespace cks::golden {
namespace {

/// The bound for float32 twins of whole layers: chains of at most a few hundred terms of elements
/// below `scale`, each rounded to 2^-24.
double tolerance32(const Tensor& expected) {
  return 64.0 * 0x1p-24 * std::max(1.0, largest(expected));
}

class LayerGolden {
 public:
  /// Runs a module forward and backward in both dtypes and compares everything.
  void check(const std::string& name, Module& module, const Tensor& input) {
    CAPTURE(name);
    Tensor expected = golden_[name + ".y"];
    std::array<std::vector<std::pair<std::string, Tensor>>, 2> results;
    for (const DType dtype : {DType::float64, DType::float32}) {
      module.to(dtype);
      module.zero_grad();
      Tensor x = input.to(dtype).detach().clone();
      x.set_requires_grad();
      const Tensor y = module(x);
      y.backward(formula_tensor(y.shape(), 99, dtype));
      auto& found = results[dtype == DType::float64 ? 0 : 1];
      found.emplace_back("y", y.detach());
      found.emplace_back("dx", x.grad());
      for (auto& [path, gradient] : gradients_as_in_file(module)) {
        found.emplace_back("grad." + path, gradient);
      }
      if (dtype == DType::float64) {
        check_buffers(name, module);
      }
    }
    for (std::size_t i = 0; i < results[0].size(); ++i) {
      const std::string key = name + "." + results[0][i].first;
      CAPTURE(key);
      const Tensor& value = golden_[key];
      const auto exact = compare64(results[0][i].second, value, errors_);
      CHECK_MESSAGE(exact.ok, exact.message);
      const auto twin = compare32(results[1][i].second, value, tolerance32(value), errors_);
      CHECK_MESSAGE(twin.ok, twin.message);
    }
    ++count_;
  }

  void check_loss(const std::string& name, const Tensor& input,
                  const std::function<Tensor(const Tensor&)>& loss) {
    CAPTURE(name);
    for (const DType dtype : {DType::float64, DType::float32}) {
      Tensor x = input.to(dtype).detach().clone();
      x.set_requires_grad();
      const Tensor y = loss(x);
      y.backward();
      for (const auto& [which, got] : {std::pair(".y", y.detach()), std::pair(".dx", x.grad())}) {
        const Tensor& value = golden_[name + which];
        const auto result = dtype == DType::float64
                                ? compare64(got, value, errors_)
                                : compare32(got, value, tolerance32(value), errors_);
        CHECK_MESSAGE(result.ok, result.message);
      }
    }
    ++count_;
  }

  int count() const { return count_; }
  const Errors& errors() const { return errors_; }

 private:
  /// A parameter's gradient in the layout of files: state_dict() of a module whose parameters are
  /// the gradients.
  static NamedTensors gradients_as_in_file(Module& module) {
    NamedTensors values;
    for (auto& [path, parameter] : module.named_parameters()) {
      values.emplace_back(path, parameter.detach().clone());
      const Tensor gradient = parameter.grad();
      const NoGradGuard no_grad;
      parameter.copy_(gradient);
    }
    NamedTensors gradients;
    const NamedTensors state = module.state_dict();
    std::size_t i = 0;
    for (auto& [path, parameter] : module.named_parameters()) {
      for (const auto& [key, tensor] : state) {
        if (key == path) {
          gradients.emplace_back(key, tensor);
        }
      }
      const NoGradGuard no_grad;
      parameter.copy_(values[i++].second);
    }
    return gradients;
  }

  void check_buffers(const std::string& name, const Module& module) {
    for (const auto& [path, buffer] : module.named_buffers()) {
      if (golden_.has(name + "." + path)) {
        const auto result = compare64(buffer, golden_[name + "." + path], errors_);
        CHECK_MESSAGE(result.ok, path << ": " << result.message);
      }
    }
  }

  Golden golden_{"layers"};
  Errors errors_;
  int count_ = 0;
};

/// A function of tensors as a module.
struct Operation : Module {
  std::function<Tensor(const Tensor&)> function;

  explicit Operation(std::function<Tensor(const Tensor&)> f) : function(std::move(f)) {}
  Tensor forward(const Tensor& x) override { return function(x); }
};

/// A module of float64 with the state that the script gives its twin.
template <class M>
std::unique_ptr<M> with_state(std::uint64_t seed, const typename M::Options& options) {
  auto module = std::make_unique<M>(options);
  module->to(DType::float64);
  load_formula_state(*module, seed);
  return module;
}

TEST_CASE("golden: every layer and loss with all gradients") {
  LayerGolden golden;
  const Tensor image = formula_tensor({3, 6, 7, 4}, 11);
  const Tensor rows = formula_tensor({6, 7}, 12);

  golden.check("conv2d",
               *with_state<Conv2d>(100, {.in_channels = 4,
                                         .out_channels = 6,
                                         .kernel_size = {3, 2},
                                         .stride = {2, 1},
                                         .padding = {1, 0},
                                         .groups = 2}),
               image);
  golden.check("conv_transpose2d",
               *with_state<ConvTranspose2d>(110, {.in_channels = 4,
                                                  .out_channels = 6,
                                                  .kernel_size = {3, 4},
                                                  .stride = {2, 3},
                                                  .padding = 1,
                                                  .output_padding = {1, 2},
                                                  .groups = 2}),
               image);
  golden.check("linear", *with_state<Linear>(120, {.in_features = 7, .out_features = 5}), rows);
  golden.check("linear_no_bias",
               *with_state<Linear>(130, {.in_features = 7, .out_features = 5, .bias = false}),
               rows);

  // The second of two training passes, then evaluation with the statistics of both.
  const auto norm = with_state<BatchNorm2d>(140, {.num_features = 4});
  (*norm)(formula_tensor({2, 5, 3, 4}, 13));
  const auto narrow = norm->clone();
  golden.check("batch_norm2d", *norm, image);
  narrow->to(DType::float64);
  (*narrow)(image);
  narrow->eval();
  golden.check("batch_norm2d_eval", *narrow, image);

  const auto simple = [&](const char* name, Module&& module, const Tensor& input) {
    golden.check(name, module, input);
  };
  simple("max_pool2d", MaxPool2d({.kernel_size = 2}), image);
  simple("max_pool2d_overlap", MaxPool2d({.kernel_size = {3, 2}, .stride = {2, 1}, .padding = 1}),
         image);
  simple("max_pool2d_dilated", MaxPool2d({.kernel_size = 2, .stride = 1, .dilation = {2, 3}}),
         image);
  simple("avg_pool2d", AvgPool2d({.kernel_size = {2, 3}}), image);
  simple("avg_pool2d_padded", AvgPool2d({.kernel_size = 3, .stride = 2, .padding = 1}), image);
  simple("avg_pool2d_inside",
         AvgPool2d({.kernel_size = 3, .stride = 2, .padding = 1, .count_include_pad = false}),
         image);
  simple("max_pool2d_ceil",
         MaxPool2d({.kernel_size = {3, 2}, .stride = {2, 3}, .padding = {1, 0}, .ceil_mode = true}),
         image);
  const AvgPool2dOptions padded{.kernel_size = 3, .stride = 2, .padding = 1, .ceil_mode = true};
  simple("avg_pool2d_ceil", AvgPool2d(padded), image);
  simple("avg_pool2d_ceil_bare", AvgPool2d({.kernel_size = 2, .stride = 3, .ceil_mode = true}),
         image);
  AvgPool2dOptions inside = padded;
  inside.count_include_pad = false;
  simple("avg_pool2d_ceil_inside", AvgPool2d(inside), image);
  golden.check("linear_of_images", *with_state<Linear>(120, {.in_features = 4, .out_features = 5}),
               image);
  const auto operation = [&](const char* name, auto&& function) {
    Operation module(function);
    golden.check(name, module, image);
  };
  operation("softmax_over_columns", [](const Tensor& x) { return softmax(x, 2); });
  operation("log_softmax_over_rows", [](const Tensor& x) { return log_softmax(x, 1); });
  for (const bool corners : {false, true}) {
    const std::string name = corners ? "bilinear_corners" : "bilinear";
    operation(name.c_str(), [&](const Tensor& x) {
      return upsample_bilinear(x, {12, 10}, corners);
    });
    operation((name + "_less").c_str(), [&](const Tensor& x) {
      return upsample_bilinear(x, {4, 9}, corners);
    });
  }
  simple("global_avg_pool2d", GlobalAvgPool2d(), image);
  simple("relu", ReLU(), image);
  simple("leaky_relu", LeakyReLU({.negative_slope = 0.1}), image);
  simple("sigmoid", Sigmoid(), image * 4.0);
  simple("tanh", Tanh(), image * 2.0);
  simple("gelu", GELU(), image * 4.0);
  simple("flatten", Flatten(), image);
  Dropout dropout({.p = 0.4});
  dropout.eval();
  golden.check("dropout_eval", dropout, image);

  golden.check("basic_block",
               *with_state<BasicBlock>(150, {.in_channels = 4, .out_channels = 8, .stride = 2}),
               image);
  golden.check("basic_block_project",
               *with_state<BasicBlock>(190, {.in_channels = 4,
                                             .out_channels = 8,
                                             .stride = 2,
                                             .shortcut = BasicBlock::Shortcut::project,
                                             .negative_slope = 0.01}),
               image);
  Concat concat;
  Sequential& first = concat.add_branch();
  first.add<Conv2d>({.in_channels = 4, .out_channels = 3, .kernel_size = 1});
  first.add<ReLU>();
  Sequential& pool = concat.add_branch("pool");
  pool.add<MaxPool2d>({.kernel_size = 3, .stride = 1, .padding = 1});
  pool.add<Conv2d>({.in_channels = 4, .out_channels = 2, .kernel_size = 1});
  concat.to(DType::float64);
  load_formula_state(concat, 170);
  golden.check("concat", concat, image);
  struct Residual : Module {
    Sequential main{this, "main"};
    Sequential shortcut{this, "shortcut"};
    Tensor forward(const Tensor& x) override { return main(x) + shortcut(x); }
  };
  Residual residual;
  residual.main.add<Conv2d>({.in_channels = 4, .out_channels = 5, .kernel_size = 3, .padding = 1});
  residual.main.add<Tanh>();
  residual.shortcut.add<Conv2d>(
      {.in_channels = 4, .out_channels = 5, .kernel_size = 1, .bias = false});
  residual.to(DType::float64);
  load_formula_state(residual, 180);
  golden.check("residual", residual, image);

  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < 8; ++i) {
    values.push_back((3 * i + 1) % 5);
  }
  const Tensor labels = Tensor::from_vector(values, {8});
  const Tensor logits = formula_tensor({8, 5}, 14) * 5.0;
  golden.check_loss("cross_entropy", logits,
                    [&](const Tensor& x) { return CrossEntropyLoss()(x, labels); });
  golden.check_loss("cross_entropy_smooth", logits, [&](const Tensor& x) {
    return CrossEntropyLoss({.label_smoothing = 0.1})(x, labels);
  });
  values.clear();
  for (std::int64_t i = 0; i < 2 * 3 * 4; ++i) {
    values.push_back((5 * (i / 4 % 3) + 3 * (i % 4) + i / 12) % 5);
  }
  const Tensor pixel_labels = Tensor::from_vector(values, {2, 3, 4});
  const Tensor pixels = formula_tensor({2, 3, 4, 5}, 17) * 5.0;
  for (const auto& [name, options] :
       {std::pair("pixel_cross_entropy", CrossEntropyOptions{}),
        std::pair("pixel_cross_entropy_ignore", CrossEntropyOptions{.ignore_index = 2}),
        std::pair("pixel_cross_entropy_smooth",
                  CrossEntropyOptions{.label_smoothing = 0.1, .ignore_index = 2})}) {
    golden.check_loss(name, pixels, [&, &with = options](const Tensor& x) {
      return CrossEntropyLoss(with)(x, pixel_labels);
    });
  }
  const Tensor probabilities = formula_tensor({4, 6}, 19) * 0.5 + 0.5;
  golden.check_loss("bce_with_logits", formula_tensor({4, 6}, 18) * 8.0, [&](const Tensor& x) {
    return BCEWithLogitsLoss()(x, probabilities.to(x.dtype()));
  });
  const Tensor target = formula_tensor({4, 6}, 16);
  golden.check_loss("mse", formula_tensor({4, 6}, 15),
                    [&](const Tensor& x) { return MSELoss()(x, target.to(x.dtype())); });
  golden.check_loss("l1", formula_tensor({4, 6}, 15),
                    [&](const Tensor& x) { return L1Loss()(x, target.to(x.dtype())); });
  golden.check_loss("huber", formula_tensor({4, 6}, 15), [&](const Tensor& x) {
    return HuberLoss({.delta = 0.4})(x, target.to(x.dtype()));
  });

  CHECK(golden.count() == 44);
  MESSAGE(golden.count() << " layers and losses; greatest relative error in float64 "
                         << golden.errors().float64 << ", in float32 " << golden.errors().float32
                         << " of the tolerance");
}

}  // namespace
}  // namespace cks::golden
