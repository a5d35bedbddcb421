// One side of tests/scripts/onnx_test.py: exports every registered model, trees of layers and every
// operation of the contract's table as ONNX, each beside a safetensors file with inputs and what
// CKS makes of them, images as [N,C,H,W].
//
//   onnx_exchange FOLDER
//
// Keys "rows.input" and "rows.output" hold examples that do not know of each other, "batch1.*" and
// "batch7.*" whole batches. Prints "refused NAME: why" for what ONNX cannot say.
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>

#include "cks/core/autograd/autograd.h"
#include "cks/core/io/safetensors.h"
#include "cks/core/ops.h"
#include "cks/layers/activation.h"
#include "cks/layers/batch_norm2d.h"
#include "cks/layers/concat.h"
#include "cks/layers/conv2d.h"
#include "cks/layers/dropout.h"
#include "cks/layers/flatten.h"
#include "cks/layers/linear.h"
#include "cks/layers/onnx/export_onnx.h"
#include "cks/layers/pool2d.h"
#include "cks/layers/sequential.h"
#include "cks/models/registry.h"
#include "tests/core/ops/op_table.h"
#include "tests/golden/golden.h"

namespace cks {
namespace {

constexpr std::int64_t kImages = 100;

Shape batch_shape(std::int64_t batch, const Shape& one) {
  std::vector<std::int64_t> extents = one.to_vector();
  extents.insert(extents.begin(), batch);
  return Shape(extents);
}

/// As ONNX has it.
Tensor outside(const Tensor& tensor) {
  return tensor.rank() == 4 ? permute(tensor, {0, 3, 1, 2}) : tensor;
}

class Exchange {
 public:
  explicit Exchange(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// A model with running statistics that are not the first ones, on 100 examples.
  void rows(const std::string& name, Module& model, const Shape& one) {
    golden::load_formula_state(model, 11);  // of a variance at which no signal fades
    const NoGradGuard no_grad;
    for (std::uint64_t seed = 2; seed < 6; ++seed) {
      model(golden::formula_tensor(batch_shape(8, one), seed, DType::float32));
    }
    model.eval();
    const Tensor input = golden::formula_tensor(batch_shape(kImages, one), 1, DType::float32);
    write(name, model, one, {{"rows.input", input}, {"rows.output", model(input)}});
  }

  void write(const std::string& name, Module& model, const Shape& one, NamedTensors tensors) {
    std::string file = name;
    std::replace(file.begin(), file.end(), '/', '_');
    try {
      export_onnx(model, one, (folder_ / (file + ".onnx")).string());
    } catch (const Error& error) {
      std::cout << "refused " << name << ": " << error.what() << '\n';
      return;
    }
    for (auto& [key, tensor] : tensors) {
      tensor = outside(tensor);
    }
    save_safetensors((folder_ / (file + ".safetensors")).string(), tensors);
  }

 private:
  std::filesystem::path folder_;
};

/// An operation of the table as a model. Its inputs are columns of the model's, one after the
/// other, or, of one input that is a batch of images, that itself; others are constants.
class Operation : public Module {
 public:
  Operation(const testing::OpRow& row, bool takes_images)
      : row_(row), takes_images_(takes_images) {}

  static bool varies(const testing::OpInput& input) {
    return input.batched && input.is_real && input.shape.rank() > 0;
  }

  std::int64_t columns() const {
    std::int64_t sum = 0;
    for (const testing::OpInput& input : row_.inputs) {
      sum += varies(input) ? input.shape.with(0, 1).numel() : 0;
    }
    return sum;
  }
  Shape one() const {
    const Shape& first = row_.inputs[0].shape;
    return takes_images_ ? Shape{first[1], first[2], first[3]} : Shape{columns()};
  }
  /// The table's numbers.
  Tensor input(std::int64_t batch) const {
    std::vector<Tensor> parts;
    for (const testing::OpInput& input : row_.inputs) {
      if (varies(input)) {
        const Tensor values = tensor_of(input, input.shape.with(0, batch));
        parts.push_back(takes_images_ ? values : values.reshape({batch, -1}));
      }
    }
    return concat(parts, 1);
  }
  Tensor forward(const Tensor& x) override {
    std::vector<Tensor> inputs;
    std::int64_t begin = 0;
    for (const testing::OpInput& input : row_.inputs) {
      if (!varies(input)) {
        const bool is_batch = input.batched && input.shape.rank() > 0;
        inputs.push_back(tensor_of(input, is_batch ? input.shape.with(0, x.size(0)) : input.shape));
        continue;
      }
      const std::int64_t end = begin + input.shape.with(0, 1).numel();
      inputs.push_back(
          takes_images_ ? x : slice(x, 1, begin, end).reshape(input.shape.with(0, x.size(0))));
      begin = end;
    }
    return row_.call(inputs);
  }

 private:
  static Tensor tensor_of(const testing::OpInput& input, const Shape& shape) {
    std::vector<double> values(static_cast<std::size_t>(shape.numel()));
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = input.value(static_cast<std::int64_t>(i));
    }
    return Tensor::from_vector(values, shape).to(input.is_real ? DType::float32 : input.dtype);
  }

  const testing::OpRow& row_;
  bool takes_images_;
};

void write_operation(Exchange& exchange, const testing::OpRow& row, bool takes_images) {
  Operation model(row, takes_images);
  if (model.columns() == 0) {
    return;
  }
  const std::string name = "operation " + row.name + (takes_images ? " of images" : "");
  NamedTensors tensors;
  const NoGradGuard no_grad;
  for (const std::int64_t batch : {1, 7}) {
    try {
      const Tensor input = model.input(batch);
      const Tensor output = model(input);
      const std::string key = "batch" + std::to_string(batch);
      tensors.emplace_back(key + ".input", input);
      tensors.emplace_back(key + ".output", output);
    } catch (const Error&) {  // a batch of one is too small for some
    }
  }
  exchange.write(name, model, model.one(), tensors);
}

/// Trees of layers and functions in which images meet what is none.
void write_trees(Exchange& exchange) {
  const Shape image{6, 8, 3};
  const auto chain = [&](const std::string& name, const auto& fill, const Shape& one) {
    Sequential net;
    fill(net);
    exchange.rows("tree " + name, net, one);
  };
  chain(
      "empty", [](Sequential&) {}, image);
  chain(
      "every layer",
      [](Sequential& net) {
        net.add<Conv2d>({.in_channels = 3,
                         .out_channels = 8,
                         .kernel_size = {3, 2},
                         .stride = {1, 2},
                         .padding = {1, 0, 0, 2},
                         .bias = false,
                         .negative_slope = 0.3});
        net.add<BatchNorm2d>({.num_features = 8});
        net.add<ReLU>();
        net.add<Conv2d>({.in_channels = 8,
                         .out_channels = 4,
                         .kernel_size = 3,
                         .padding = 2,
                         .dilation = 2,
                         .groups = 2});
        net.add<BatchNorm2d>({.num_features = 4, .eps = 0.01, .affine = false});
        net.add<LeakyReLU>({.negative_slope = 0.2});
        net.add<ConvTranspose2d>({.in_channels = 4,
                                  .out_channels = 6,
                                  .kernel_size = 3,
                                  .stride = 2,
                                  .padding = {1, 0, 0, 1},
                                  .output_padding = 1,
                                  .groups = 2,
                                  .negative_slope = 0.0});
        net.add<Tanh>();
        net.add<MaxPool2d>(
            {.kernel_size = {3, 2}, .stride = {2, 1}, .padding = {1, 0, 0, 1}, .dilation = {1, 2}});
        net.add<AvgPool2d>({.kernel_size = 2, .stride = 1, .padding = {1, 0, 0, 1}});
        net.add<AvgPool2d>(
            {.kernel_size = 3, .stride = 1, .padding = 1, .count_include_pad = false});
        net.add<Sigmoid>();
        net.add<GELU>();
        Concat& concat = net.add<Concat>();
        concat.add_branch("one").add<Conv2d>(
            {.in_channels = 6, .out_channels = 5, .kernel_size = 1});
        concat.add_branch("same");
        net.add<Dropout>({.p = 0.5});
        net.add<GlobalAvgPool2d>();
        net.add<Flatten>();
        net.add<Linear>({.in_features = 11, .out_features = 7});
        net.add<BatchNorm2d>({.num_features = 7});
        net.add<Linear>({.in_features = 7, .out_features = 4, .bias = false});
        net.add([](const Tensor& x) { return softmax(x); });
      },
      image);
  chain(
      "flatten as it lies",
      [](Sequential& net) {
        net.add<Conv2d>({.in_channels = 3, .out_channels = 4, .kernel_size = 3});
        net.add([](const Tensor& x) { return x.reshape({x.size(0), -1}); });  // H,W,C
        net.add<Linear>({.in_features = 4 * 6 * 4, .out_features = 5});
      },
      image);
  chain("images from features",
        [](Sequential& net) {
          net.add<Linear>({.in_features = 10, .out_features = 2 * 3 * 4});
          net.add([](const Tensor& x) { return x.reshape({x.size(0), 2, 3, 4}); });
          net.add<BatchNorm2d>({.num_features = 4});
          net.add<ConvTranspose2d>(
              {.in_channels = 4, .out_channels = 3, .kernel_size = 4, .stride = 2, .padding = 1});
          net.add([](const Tensor& x) { return upsample_nearest(x, 2); });
        },
        {10});
  chain(
      "broadcasts",
      [](Sequential& net) {
        net.add([](const Tensor& x) {
          const auto numbers = [](const Shape& shape, std::uint64_t seed) {
            return golden::formula_tensor(shape, seed, DType::float32);
          };
          Tensor y = x * numbers({3}, 21) + numbers({8, 1}, 22) - numbers({6, 8, 3}, 23);
          y = maximum(y, numbers({1, 6, 1, 3}, 24)) / (square(numbers({}, 25)) + 1.0);
          y += mean(x, {1, 2}, true);  // [N,1,1,C]
          return y;
        });
      },
      image);
  chain(
      "axes of images",
      [](Sequential& net) {
        net.add([](const Tensor& x) {
          const Tensor rows = mean(x, {1}) + max(x, {1});  // [N,W,C]
          const Tensor plane = sum(x, {3}, true);          // [N,H,W,1]
          const Tensor cut =
              slice(slice(pad(x, {{}, {1, 0}, {0, 2}, {1, 1}}, 0.5), 2, 1, 10, 3), 3, 0, 4);
          return concat(
              {flatten_chw(concat({log_softmax(cut), -abs(cut)}, 3)), rows.reshape({x.size(0), -1}),
               flatten_chw(plane), sum(x, {3}).reshape({x.size(0), -1}), sum(x, {1, 2})},
              1);
        });
      },
      image);
  chain(
      "residual",
      [](Sequential& net) {
        net.add<Conv2d>({.in_channels = 3, .out_channels = 3, .kernel_size = 3, .padding = 1});
        net.add([](const Tensor& x) { return relu(x + tanh(x)) * 2.0 - 1.0 / (square(x) + 1.0); });
        net.add([](const Tensor& x) {
          return clamp(exp(x), 0.5, 2.0) + pow(abs(x), 1.5) + sqrt(abs(x)) + (3.0 - x);
        });
      },
      image);
}

int run(const std::string& folder) {
  Exchange exchange(folder);
  for (const ModelInfo& info : model_list()) {
    const auto model = make_model(info.name);
    exchange.rows("model " + info.name, *model,
                  {info.image_size, info.image_size, info.in_channels});
  }
  write_trees(exchange);
  for (const testing::OpRow& row : testing::op_table()) {
    write_operation(exchange, row, false);
    if (row.inputs[0].shape.rank() == 4 && Operation::varies(row.inputs[0]) &&
        std::none_of(row.inputs.begin() + 1, row.inputs.end(), Operation::varies)) {
      write_operation(exchange, row, true);
    }
  }
  return 0;
}

}  // namespace
}  // namespace cks

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: onnx_exchange FOLDER\n";
    return 2;
  }
  try {
    return cks::run(argv[1]);
  } catch (const cks::Error& error) {
    std::cerr << "onnx_exchange: " << error.what() << '\n';
    return 1;
  }
}
