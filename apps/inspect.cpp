// Shows a network layer by layer, with what C-K-S skips, or what a checkpoint holds.
//
//   inspect --model lenet5
//   inspect --model resnet20 --input 32x32x3 --batch 8
//   inspect runs/demo/best.safetensors
#include <algorithm>
#include <cstdint>
#include <iostream>
#include <vector>

#include "apps/app.h"
#include "apps/flags.h"
#include "apps/model_table.h"
#include "apps/text_table.h"
#include "cks/core/serialize.h"
#include "cks/models/registry.h"
#include "cks/train/checkpoint.h"

namespace {

using cks::apps::with_commas;

/// "28x28x1" -> {28, 28, 1}.
std::vector<std::int64_t> parse_input(const std::string& text) {
  std::vector<std::int64_t> extents;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find('x', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    const bool is_number =
        !part.empty() && part.size() < 7 &&
        std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    extents.push_back(is_number ? std::stoll(part) : 0);
    begin = end + 1;
  }
  if (extents.size() != 3 || *std::min_element(extents.begin(), extents.end()) < 1) {
    throw cks::Error("--input is '" + text + "', expected HEIGHTxWIDTHxCHANNELS such as 28x28x1");
  }
  if (extents[0] != extents[1]) {
    throw cks::Error("--input is '" + text + "': the registered models take square images");
  }
  return extents;
}

void show_model(const std::string& name, const std::string& input, std::int64_t batch) {
  const cks::ModelInfo& info = cks::model_info(name);
  std::vector<std::int64_t> image{info.image_size, info.image_size, info.in_channels};
  if (!input.empty()) {
    image = parse_input(input);
  }
  const auto model = cks::make_model(name, {.in_channels = image[2], .image_size = image[0]});
  std::cout << name << ": " << info.summary << "\ninput [" << batch << "," << image[0] << ","
            << image[1] << "," << image[2]
            << "]; multiply-adds are those of the forward pass with every zero of padding and "
               "stride;\n'skips' is the share of each pass (forward, input gradient dX, filter "
               "gradient dW) that C-K-S leaves out\n\n"
            << cks::apps::to_string(
                   cks::apps::trace_model(*model, cks::Shape{batch, image[0], image[1], image[2]}));
}

void show_checkpoint(const std::string& path) {
  const cks::SafetensorsFile file = cks::load_safetensors(path);
  cks::apps::TextTable table({"key", "shape", "dtype", "elements"}, {false, false, false, true});
  std::int64_t elements = 0;
  for (const auto& [name, tensor] : file.tensors) {
    table.add({name, tensor.shape().to_string(), cks::name_of(tensor.dtype()),
               with_commas(tensor.numel())});
    elements += tensor.numel();
  }
  table.rule();
  table.add({"total", "", "", with_commas(elements)});
  std::cout << path << "\n\n" << table.to_string();
  if (!file.metadata.empty()) {
    std::cout << "\nmetadata\n";
  }
  constexpr std::size_t kLongest = 2000;
  for (const auto& [name, value] : file.metadata) {
    std::cout << "  " << name << ": "
              << (value.size() <= kLongest ? value : value.substr(0, kLongest) + " ...") << "\n";
  }
  // The layers that these weights fill, where the file says which model it is of.
  const cks::CheckpointInfo info = cks::read_checkpoint_info(path);
  if (!info.model.empty() && info.height > 0) {
    const auto model = cks::make_model(
        info.model,
        {.classes = std::max<std::int64_t>(static_cast<std::int64_t>(info.class_names.size()), 1),
         .in_channels = info.channels,
         .image_size = info.height});
    cks::load_weights(path, *model);
    std::cout << "\nThe weights fill " << info.model << ":\n\n"
              << cks::apps::to_string(cks::apps::trace_model(
                     *model, cks::Shape{1, info.height, info.width, info.channels}));
  }
}

int run(int argc, char** argv) {
  std::string checkpoint;
  std::string model;
  std::string input;
  std::int64_t batch = 1;
  std::vector<std::string> names;
  std::string list = "Models:";
  for (const cks::ModelInfo& info : cks::model_list()) {
    names.push_back(info.name);
    list += "\n  " + info.name + ": " + info.summary;
  }
  cks::apps::Flags parser("inspect", "Shows a network layer by layer, or what a checkpoint holds.");
  parser.add_positional("checkpoint", checkpoint, "a .safetensors file", false);
  parser.add_choice("model", model, names, "a network by name");
  parser.add("input", input, "its images, HEIGHTxWIDTHxCHANNELS; default: what it was made for");
  parser.add("batch", batch, "images in a batch", 1, 1 << 20);
  parser.footer(list);
  if (const auto code = parser.parse(argc, argv)) {
    return *code;
  }
  if (checkpoint.empty() == model.empty()) {
    std::cerr << "error: name either a checkpoint or --model\n  see inspect --help\n";
    return cks::apps::kExitUsage;
  }
  if (checkpoint.empty()) {
    show_model(model, input, batch);
  } else {
    show_checkpoint(checkpoint);
  }
  return cks::apps::kExitOk;
}

}  // namespace

int main(int argc, char** argv) {
  return cks::apps::run_app([&] { return run(argc, argv); });
}
