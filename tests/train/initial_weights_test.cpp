// Weights of other files and frozen parameters: load_weights' prefix, load_initial_weights, freeze.
#include <doctest/doctest.h>

#include <cstring>

#include "cks/core/io/file.h"
#include "cks/core/io/safetensors.h"
#include "cks/train/checkpoint.h"
#include "cks/train/freeze.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/tensors.h"
#include "tests/train/tiny.h"

namespace {

using cks::NamedTensors;
using cks::StateDictError;
using cks::Tensor;
using cks::testing::message_of;
using cks::testing::ScratchFolder;
using cks::testing::TinyNet;
using cks::testing::TinyRun;

/// TinyNet for so many classes.
struct Net : cks::Module {
  explicit Net(std::int64_t classes, std::int64_t width = 4)
      : conv(
            this, "conv",
            {.in_channels = 1, .out_channels = width, .kernel_size = 5, .stride = 3, .padding = 2}),
        norm(this, "norm", {.num_features = width}),
        head(this, "head", {.in_features = 100 * width, .out_features = classes}) {}
  cks::Conv2d conv;
  cks::BatchNorm2d norm;
  cks::Linear head;
};

NamedTensors behind(const std::string& prefix, const NamedTensors& tensors) {
  NamedTensors renamed;
  for (const auto& [name, tensor] : tensors) {
    renamed.emplace_back(prefix + name, tensor);
  }
  return renamed;
}

std::vector<float> values(const Tensor& tensor) { return tensor.to_vector<float>(); }

TEST_CASE("load_weights: of a file with a prefix, which an error proposes") {
  const ScratchFolder scratch;
  const std::string path = scratch / "module.safetensors";
  TinyNet source;
  source.initialize(3);
  cks::save_safetensors(path, behind("module.", source.state_dict()));
  TinyNet model;
  CHECK(message_of<StateDictError>([&] {
          cks::load_weights(path, model);
        }).ends_with("in the file the keys stand behind the prefix \"module.\""));
  cks::load_weights(path, model, "module.");
  CHECK(values(model.head.weight) == values(source.head.weight));
  // One that would not help is not proposed.
  CHECK(message_of<StateDictError>([&] {
          cks::load_weights(path, model, "modul.");
        }).ends_with("in the file the keys stand behind the prefix \"module.\""));
  cks::save_safetensors(path, {{"a", Tensor::ones({1})}});
  CHECK(message_of<StateDictError>([&] { cks::load_weights(path, model); }).find("prefix") ==
        std::string::npos);
}

/// An entry of four bytes behind `begin` bytes of data.
std::string extra_entry(std::size_t begin) {
  return R"("extra":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[)" + std::to_string(begin) +
         "," + std::to_string(begin + 4) + "]}";
}

/// A file of tensors, the first of them "extra" of a type that cannot be read.
void write_with_extra(const std::string& path, const NamedTensors& tensors) {
  cks::save_safetensors(path, tensors);
  std::string bytes = cks::read_file(path);
  std::uint64_t size = 0;
  std::memcpy(&size, bytes.data(), sizeof size);
  const std::string data = bytes.substr(8 + size);
  const std::string extra = extra_entry(data.size());
  const std::string header = "{" + extra + "," + bytes.substr(9, size - 1);
  size = header.size();
  std::string start(8, '\0');
  std::memcpy(start.data(), &size, sizeof size);
  cks::write_file_atomically(path, start + header + data + "abcd");
}

TEST_CASE("load_weights: tensors of types that cannot be read are keys too many, and no more") {
  const ScratchFolder scratch;
  const std::string path = scratch / "w.safetensors";
  TinyNet source;
  source.initialize(3);
  write_with_extra(path, behind("net.", source.state_dict()));
  TinyNet model;
  cks::load_weights(path, model, "net.");
  CHECK(values(model.head.weight) == values(source.head.weight));
  write_with_extra(path, source.state_dict());
  CHECK(message_of<StateDictError>([&] {
          cks::load_weights(path, model);
        }).find("unexpected: extra") != std::string::npos);
  const auto result = cks::load_initial_weights(path, model);
  CHECK(result.unused == std::vector<std::string>{"extra"});
}

TEST_CASE("load_initial_weights: everything but a head of other classes") {
  const ScratchFolder scratch;
  const std::string path = scratch / "w.safetensors";
  Net source(10);
  source.initialize(3);
  cks::save_weights(path, source, {});
  Net model(3);
  model.initialize(4);
  const std::vector<float> head = values(model.head.weight);
  const auto result = cks::load_initial_weights(path, model);
  CHECK(result.loaded == 7);
  CHECK(result.left_out ==
        std::vector<std::string>{"head.weight ([10,400] in the file, [3,400] in the model)",
                                 "head.bias ([10] in the file, [3] in the model)"});
  CHECK(result.unused.empty());
  CHECK(values(model.conv.weight) == values(source.conv.weight));
  CHECK(values(model.norm.weight) == values(source.norm.weight));
  CHECK(values(model.head.weight) == head);

  Net same(10);
  CHECK(cks::load_initial_weights(path, same).loaded == 9);
  CHECK(values(same.head.bias) == values(source.head.bias));
}

TEST_CASE(
    "load_initial_weights: prefixes, files without a head, tensors that are not the model's") {
  const ScratchFolder scratch;
  const std::string path = scratch / "w.safetensors";
  Net source(10);
  source.initialize(3);
  for (const char* prefix : {"module.", "_orig_mod.module.", "backbone."}) {
    NamedTensors tensors = behind(prefix, source.state_dict());
    std::erase_if(tensors,
                  [](const auto& item) { return item.first.find("head.") != std::string::npos; });
    tensors.emplace_back("projector.weight", Tensor::ones({2}));
    cks::save_safetensors(path, tensors);
    Net model(3);
    const auto result = cks::load_initial_weights(path, model);
    CHECK(result.prefix == prefix);
    CHECK(result.loaded == 7);
    CHECK(result.left_out ==
          std::vector<std::string>{"head.weight (not in the file)", "head.bias (not in the file)"});
    CHECK(result.unused == std::vector<std::string>{"projector.weight"});
    CHECK(values(model.conv.weight) == values(source.conv.weight));
  }
}

TEST_CASE("load_initial_weights: another network's weights are refused and change nothing") {
  const ScratchFolder scratch;
  const std::string path = scratch / "w.safetensors";
  Net model(10);
  model.initialize(4);
  const NamedTensors before = model.state_dict();
  const auto refused = [&](const char* what) {
    const std::string message =
        message_of<StateDictError>([&] { cks::load_initial_weights(path, model); });
    CHECK_MESSAGE(message.find(what) != std::string::npos, message);
    CHECK(message.find(path) != std::string::npos);
    CHECK(values(model.conv.weight) == values(before[0].second));
  };
  cks::save_weights(path, Net(10, 8), {});  // wider: not only its outputs are others
  refused("mis-shaped: head.weight ([10,800] in the file, [10,400] in the model)");
  NamedTensors tensors = before;
  std::erase_if(tensors, [](const auto& item) { return item.first == "norm.running_var"; });
  cks::save_safetensors(path, tensors);
  refused("missing: norm.running_var");
  cks::save_safetensors(path, {{"a", Tensor::ones({1})}});
  refused("missing: conv.weight");
  cks::save_safetensors(path, {});
  refused("missing: conv.weight");
}

TEST_CASE("freeze: patterns of parameters and of the modules they are in") {
  const auto frozen = [](const std::string& patterns) {
    TinyNet model;
    std::vector<std::string> paths = cks::freeze(model, patterns);
    std::vector<std::string> expected;
    for (const auto& [path, parameter] : model.named_parameters()) {
      if (!parameter.requires_grad()) {
        expected.push_back(path);
      }
    }
    CHECK(paths == expected);
    return paths;
  };
  using Paths = std::vector<std::string>;
  CHECK(frozen("conv") == Paths{"conv.weight", "conv.bias"});
  CHECK(frozen("conv,no*") == Paths{"conv.weight", "conv.bias", "norm.weight", "norm.bias"});
  CHECK(frozen("*.bias") == Paths{"conv.bias", "norm.bias", "head.bias"});
  CHECK(frozen("hea?.weight") == Paths{"head.weight"});
  TinyNet model;
  CHECK_THROWS_WITH_AS(cks::freeze(model, "conv,fc1"),
                       "freeze: no parameter matches \"fc1\"; TinyNet has conv, norm, head",
                       cks::Error);
  CHECK_THROWS_WITH_AS(cks::freeze(model, "conv,"), doctest::Contains("matches \"\""), cks::Error);
  CHECK_THROWS_WITH_AS(cks::freeze(model, "*"), "freeze: \"*\" leaves no parameter to train",
                       cks::Error);
  CHECK(model.conv.weight.requires_grad());
}

TEST_CASE("freeze: a run leaves frozen parameters as they are") {
  TinyRun run;
  cks::freeze(run.model, "conv,norm.weight");
  const auto conv = values(run.model.conv.weight);
  const auto scale = values(run.model.norm.weight);
  const auto head = values(run.model.head.weight);
  cks::fit(run.task(), {.epochs = 1});
  CHECK(values(run.model.conv.weight) == conv);
  CHECK(values(run.model.norm.weight) == scale);
  CHECK(values(run.model.head.weight) != head);
}

}  // namespace
