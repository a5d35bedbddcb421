// What export_onnx() refuses, and what it leaves as it was; that its files are right is for
// tests/scripts/onnx_test.py.
#include <doctest/doctest.h>

#include <filesystem>

#include "cks/core/autograd/autograd.h"
#include "cks/core/io/file.h"
#include "cks/core/io/protobuf_impl.h"
#include "cks/core/ops.h"
#include "cks/layers/activation.h"
#include "cks/layers/batch_norm2d.h"
#include "cks/layers/conv2d.h"
#include "cks/layers/linear.h"
#include "cks/layers/onnx/export_onnx.h"
#include "cks/layers/sequential.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/tensors.h"

namespace cks {
namespace {

using testing::message_of;
using testing::ScratchFolder;

Tensor squareplus(const Tensor& x) {
  return record(
      "squareplus", (x * x).detach(), {x}, {x},
      [](const Tensor& grad, const SavedTensors& saved) { return grad * saved[0] * 2.0; });
}

/// An operation of somebody else's that has the name of one of ours.
Tensor other_relu(const Tensor& x) {
  return record("relu", (x * 3.0).detach(), {x}, [](const Tensor& grad) { return grad * 3.0; });
}

struct Squared : Layer<Squared> {
  using Layer::Layer;
  Tensor forward(const Tensor& x) override { return squareplus(x); }
};

struct Block : Layer<Block> {
  Block(Module* parent, std::string name, const NoOptions& options = {})
      : Layer(parent, std::move(name), options) {}
  Tensor forward(const Tensor& x) override { return act(conv(x)); }
  Conv2d conv{this, "conv", {.in_channels = 2, .out_channels = 2, .kernel_size = 1}};
  Squared act{this, "act"};
};

std::string refusal(Module& net, const Shape& one = {3, 3, 2}) {
  const ScratchFolder scratch;
  const std::string message =
      message_of<Error>([&] { export_onnx(net, one, scratch / "net.onnx"); });
  CHECK_FALSE(std::filesystem::exists(scratch / "net.onnx"));
  return message;
}

std::string refusal(TensorFunction function) {
  Sequential net;
  net.add("step", std::move(function));
  return refusal(net);
}

TEST_CASE("export_onnx: an operation that ONNX lacks is named with its module's path and type") {
  Sequential net;
  net.add<ReLU>();
  net.add<Block>("block");
  CHECK(refusal(net) ==
        "export_onnx: module block.act (Squared): squareplus has no counterpart in ONNX");
  Squared alone;
  CHECK(refusal(alone) ==
        "export_onnx: the model (Squared): squareplus has no counterpart in ONNX");
  CHECK(refusal(other_relu) ==
        "export_onnx: module step (Function): relu has no counterpart in ONNX");
  CHECK(refusal([](const Tensor& x) {
          return dropout(x, 0.5, {}, Tensor::zeros({}, DType::int64));
        }) == "export_onnx: module step (Function): dropout has no counterpart in ONNX");
  CHECK(refusal([](const Tensor& x) {
          Tensor none;
          return batch_norm2d(x, {}, {}, none, none, /*training=*/true);
        }) ==
        "export_onnx: module step (Function): batch_norm2d normalises with the batch's statistics "
        "even in "
        "evaluation mode, which ONNX cannot say");
}

TEST_CASE("export_onnx: what would be frozen at this batch is refused") {
  const std::string off_tape =
      "reads a tensor that was computed from the input off the tape (a comparison, detach(), "
      "NoGradGuard, item()) or "
      "from the size of the batch: ONNX would keep this batch's";
  const std::string begin = "export_onnx: module step (Function): ";
  CHECK(refusal([](const Tensor& x) { return where(greater(x, 0.0), x, x * 2.0); }) ==
        begin + "where " + off_tape);
  CHECK(refusal([](const Tensor& x) { return x + x.detach(); }) == begin + "add " + off_tape);
  CHECK(refusal([](const Tensor& x) { return x * max(x.detach()).item(); }) ==
        begin + "mul depends on the size of the batch or on values of the input");
  CHECK(refusal([](const Tensor& x) {
          return x + Tensor::ones({x.size(0), 1, 1, 1});
        }) == begin + "add " + off_tape);
  CHECK(refusal([](const Tensor& x) { return x.slice(0, x.size(0) - 1); }) ==
        begin + "slice depends on the size of the batch or on values of the input");
  CHECK(refusal([](const Tensor& x) { return x.size(0) == 2 ? relu(x) : tanh(x); }) ==
        "export_onnx: the forward pass runs other operations for another batch: ONNX keeps one "
        "graph for all");
  CHECK(refusal([](const Tensor& x) { return x.detach(); }) ==
        "export_onnx: the result does not depend on the input, or was taken off the tape "
        "(detach(), NoGradGuard)");
  const Tensor counter = Tensor::zeros({2});
  CHECK(refusal([&](const Tensor& x) {
          Tensor written = counter;
          const Tensor result = x + written;
          written.fill_(1.0);
          return result;
        }) == begin + "add reads a tensor that was written to later in the forward pass");
}

TEST_CASE("export_onnx: one extent may follow the batch, wherever it stands") {
  const ScratchFolder scratch;
  Sequential net;
  net.add([](const Tensor& x) { return x.reshape({3, x.size(0), 6}).reshape({x.size(0), -1}); });
  export_onnx(net, {3, 3, 2}, scratch / "net.onnx");
  CHECK(read_file(scratch / "net.onnx").find("Reshape") != std::string::npos);
  CHECK(refusal([](const Tensor& x) {
          return x.reshape({x.size(0), 18, 1}) * Tensor::ones({18, x.size(0)}).detach();
        }).find("export_onnx: module step (Function): mul ") == 0);
}

TEST_CASE("export_onnx: a dead branch needs no counterpart") {
  const ScratchFolder scratch;
  Sequential net;
  net.add([](const Tensor& x) {
    squareplus(x);
    return relu(x);
  });
  export_onnx(net, {3, 3, 2}, scratch / "net.onnx");
  CHECK(read_file(scratch / "net.onnx").find("Relu") != std::string::npos);
}

TEST_CASE("export_onnx: GELU is written in the operators of opset 18") {
  const ScratchFolder scratch;
  Sequential net;
  net.add<GELU>();
  export_onnx(net, {3, 3, 2}, scratch / "net.onnx");
  const std::string file = read_file(scratch / "net.onnx");
  for (const char* type : {"Div", "Erf", "Add", "Mul"}) {
    CHECK(file.find(type) != std::string::npos);
  }
  CHECK(file.find("Gelu") == std::string::npos);
}

TEST_CASE("export_onnx: the activation in a layer's pass is an operator of its own") {
  const ScratchFolder scratch;
  for (const double slope : {0.0, 0.1, 1.0}) {
    CAPTURE(slope);
    Sequential net;
    net.add<Conv2d>(
        {.in_channels = 2, .out_channels = 2, .kernel_size = 1, .negative_slope = slope});
    export_onnx(net, {3, 3, 2}, scratch / "net.onnx");
    const std::string file = read_file(scratch / "net.onnx");
    CHECK(file.find("Conv") != std::string::npos);
    CHECK((file.find("LeakyRelu") != std::string::npos) == (slope == 0.1));
    CHECK((file.find("Relu") != std::string::npos) == (slope != 1.0));
    Sequential dense;
    dense.add<Linear>({.in_features = 2, .out_features = 2, .negative_slope = slope});
    export_onnx(dense, {2}, scratch / "dense.onnx");
    const std::string other = read_file(scratch / "dense.onnx");
    CHECK(other.find("Gemm") != std::string::npos);
    CHECK((other.find("LeakyRelu") != std::string::npos) == (slope == 0.1));
    CHECK((other.find("Relu") != std::string::npos) == (slope != 1.0));
  }
}

TEST_CASE("export_onnx: the model stays as it was, whether or not it succeeds") {
  const ScratchFolder scratch;
  Sequential net;
  auto& norm = net.add<BatchNorm2d>({.num_features = 2});
  auto& block = net.add<Block>("block");
  block.train(false);
  norm.weight.set_requires_grad(false);
  const auto check = [&] {
    CHECK(net.training());
    CHECK(norm.training());
    CHECK_FALSE(block.training());
    CHECK_FALSE(block.conv.training());
    CHECK_FALSE(norm.weight.requires_grad());
    CHECK(norm.bias.requires_grad());
    CHECK(block.conv.weight.requires_grad());
    CHECK(norm.num_batches_tracked.item() == 0.0);
    CHECK_FALSE(norm.bias.grad().defined());
  };
  CHECK_THROWS_AS(export_onnx(net, {3, 3, 2}, scratch / "net.onnx"), Error);
  check();
  Sequential sound;
  auto& only = sound.add<BatchNorm2d>({.num_features = 2});
  export_onnx(sound, {3, 3, 2}, scratch / "sound.onnx");
  CHECK(sound.training());
  CHECK(only.weight.requires_grad());
  CHECK_THROWS_AS(export_onnx(sound, {3, 3, 2}, scratch / "missing/net.onnx"), IoError);
  CHECK_THROWS_AS(export_onnx(sound, {3, 3, 5}, scratch / "net.onnx"), ShapeError);
  CHECK(only.weight.requires_grad());
}

TEST_CASE("ProtoMessage: bytes of the encoding's own examples") {
  const auto hex = [](const ProtoMessage& message) {
    std::string text;
    for (const char byte : message.bytes()) {
      constexpr const char* kDigits = "0123456789abcdef";
      text += kDigits[(static_cast<unsigned char>(byte)) >> 4U];
      text += kDigits[static_cast<unsigned char>(byte) & 0xfU];
    }
    return text;
  };
  ProtoMessage number;
  number.integer(1, 150);
  CHECK(hex(number) == "089601");
  ProtoMessage text;
  text.text(2, "testing");
  CHECK(hex(text) == "120774657374696e67");
  ProtoMessage nested;
  nested.message(3, number);
  CHECK(hex(nested) == "1a03089601");
  ProtoMessage reals;
  reals.integer(1, -1);
  reals.real32(2, 1.0F);
  reals.real64(16, -2.0);
  CHECK(hex(reals) ==
        "08ffffffffffffffffff01"
        "150000803f"
        "8101"
        "00000000000000c0");
}

}  // namespace
}  // namespace cks
