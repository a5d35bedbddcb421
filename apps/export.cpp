// Writes trained weights as a file for other programs, with what these need to know beside them.
//
//   export runs/demo/best.safetensors --onnx digits.onnx
//   export --latest --onnx digits.onnx
//
// The file's metadata_props say how pictures become the network's input, and what its outputs are
// called: see checkpoint_metadata() in apps/train/checkpoint.h.
#include <filesystem>
#include <iostream>

#include "apps/classify/classifier.h"
#include "apps/cli/flags.h"
#include "apps/cli/program.h"
#include "apps/run/run_folders.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/layers/onnx/export_onnx.h"

namespace cks::apps {
namespace {

/// "0.4902, 0.4821".
std::string list(const std::vector<float>& numbers) {
  return list_text(mapped(numbers, [](float number) { return formatted("{:.4g}", number); }));
}

int run(int argc, char** argv) {
  std::string weights;
  bool latest = false;
  std::string onnx;
  WeightsFlags missing;
  Flags parser("export", "Writes trained weights for other programs.");
  parser.add_positional("weights", weights,
                        "a .safetensors file, such as best.safetensors of a run", false);
  parser.add_switch("latest", latest, "those of the newest run in runs");
  parser.excludes("latest", "weights");
  parser.add_path("onnx", onnx,
                  "file to write for ONNX Runtime and others: input [N,C,H,W], any batch");
  add_weights_flags(parser, missing);
  if (const auto code = parser.parse(argc, argv)) {
    return *code;
  }
  if (weights.empty() && !latest) {
    throw parser.usage_error(
        "name a file of weights, such as best.safetensors of a run, or --latest");
  }
  if (onnx.empty()) {
    throw parser.usage_error("--onnx FILE is needed");
  }
  if (latest) {
    weights = latest_weights();
    std::cerr << "weights   " << weights << std::endl;
  }
  const Classifier network = load_network(weights, missing, Device::cpu());
  const CheckpointInfo& info = network.info;
  export_onnx(*network.model, {info.height, info.width, info.channels}, onnx,
              {.metadata = checkpoint_metadata(info)});
  std::cout << formatted(
      "{}: {}, {} bytes\ninput     float32 [N,{},{},{}], (x / 255 - mean) / std with mean {}, std "
      "{}\n",
      onnx, info.model, with_commas(static_cast<long long>(std::filesystem::file_size(onnx))),
      info.channels, info.height, info.width, list(info.mean), list(info.std));
  if (!info.class_names.empty()) {
    std::cout << "output    [N," << info.class_names.size()
              << "], logits of the classes in metadata_props cks.class_names\n";
  }
  return kExitOk;
}

}  // namespace
}  // namespace cks::apps

int main(int argc, char** argv) { return cks::apps::run_program(cks::apps::run, argc, argv); }
