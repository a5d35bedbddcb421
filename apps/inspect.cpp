// Shows a network layer by layer, with what C-K-S skips, or what a checkpoint holds.
//
//   inspect --model lenet5
//   inspect --model resnet20 --input 32x32x3 --batch 8
//   inspect runs/demo/best.safetensors
//   inspect --model resnet20 --savings savings.svg
//   inspect runs/demo/best.safetensors --filters filters.svg
#include <algorithm>
#include <cstdint>
#include <iostream>
#include <vector>

#include "apps/cli/flags.h"
#include "apps/cli/image_size.h"
#include "apps/cli/program.h"
#include "apps/report/figures.h"
#include "apps/report/model_table.h"
#include "apps/report/text_table.h"
#include "apps/run/run_folders.h"
#include "cks/core/io/file.h"
#include "cks/core/io/safetensors.h"
#include "cks/datasets/images/image_write.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/models/registry.h"
#include "cks/train/checkpoint.h"

namespace cks::apps {
namespace {

/// What is to be drawn; empty: nothing.
struct Drawings {
  std::string filters;     // file
  std::string filters_of;  // key; empty: those of the first convolution
  std::string savings;     // file
};

void draw_savings(const std::string& picture, const std::string& model, const ModelTable& table) {
  write_file_atomically(picture, svg_file({savings_figure(table, "What C-K-S skips in " + model)}));
  std::cout << "\nsavings drawn in " << picture << "\n";
}

void show_model(const std::string& name, const std::string& input, std::int64_t batch,
                const Drawings& drawings) {
  const ModelInfo& info = model_info(name);
  const Shape image = input.empty() ? Shape{info.image_size, info.image_size, info.in_channels}
                                    : parse_image_size(input);
  const auto model = make_model(name, {.in_channels = image[2], .image_size = image[0]});
  const Shape shape{batch, image[0], image[1], image[2]};
  std::cout << name << ": " << info.summary << "\ninput " << shape.to_string()
            << "; multiply-adds are those of the forward pass with every zero of padding and "
               "stride;\n'skips' is the share of each pass (forward, input gradient dX, filter "
               "gradient dW) that C-K-S leaves out\n\n"
            << to_string(trace_model(*model, shape));
  if (!drawings.savings.empty()) {
    draw_savings(drawings.savings, name, trace_model(*model, shape.with(0, 1)));
  }
}

void show_keys(const std::string& path, const SafetensorsFile& file) {
  TextTable table({"key", "shape", "dtype", "elements"}, {false, false, false, true});
  std::int64_t elements = 0;
  for (const SafetensorsEntry& entry : file.unread) {
    table.add({entry.name, entry.shape.to_string(), entry.dtype, with_commas(entry.shape.numel())});
    elements += entry.shape.numel();
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
}

/// The layers of a network, with the weights of a file.
ModelTable trace_checkpoint(const std::string& path, const CheckpointInfo& info) {
  const auto model = make_model(
      info.model,
      {.classes = std::max<std::int64_t>(static_cast<std::int64_t>(info.class_names.size()), 1),
       .in_channels = info.channels,
       .image_size = info.height});
  load_weights(path, *model);
  return trace_model(*model, Shape{1, info.height, info.width, info.channels});
}

void draw_filters(const std::string& path, const std::string& key, const std::string& picture) {
  const SafetensorsFile file =
      load_safetensors(path, [&](const std::string& name) { return name == key; });
  const auto found = file.tensors.begin();
  if (found == file.tensors.end() || found->second.rank() != 4) {
    throw Error("--filters: " + path +
                (found == file.tensors.end()
                     ? " has no key '" + key + "'"
                     : ": '" + key + "' is " + found->second.shape().to_string() +
                           ", expected filters [OC,IC,FH,FW]"));
  }
  if (picture.ends_with(".png")) {
    write_png(picture, filter_picture(found->second));
  } else {
    write_file_atomically(picture, svg_file({filter_figure(found->second, "Filters " + key)}));
  }
  std::cout << "\nfilters " << key << " " << found->second.shape().to_string() << " drawn in "
            << picture << "\n";
}

void show_checkpoint(const std::string& path, Drawings drawings) {
  show_keys(path, load_safetensors(path, [](const std::string&) { return false; }));
  const CheckpointInfo info = read_checkpoint_info(path);
  const auto is_named = [&](const ModelInfo& model) { return model.name == info.model; };
  if (info.height > 0 && any_of(model_list(), is_named)) {  // all that is needed to build it
    const ModelTable table = trace_checkpoint(path, info);
    std::cout << "\nThe weights fill " << info.model << ":\n\n" << to_string(table);
    if (!drawings.savings.empty()) {
      draw_savings(drawings.savings, info.model, table);
    }
    if (!drawings.filters.empty() && drawings.filters_of.empty()) {
      drawings.filters_of = first_filters(table);
      if (drawings.filters_of.empty()) {
        throw Error("--filters: " + info.model + " has no convolution");
      }
    }
  } else if (!drawings.savings.empty()) {
    throw Error("--savings: " + path + " does not name a model of CKS");
  }
  if (drawings.filters.empty()) {
    return;
  }
  if (drawings.filters_of.empty()) {
    throw Error("--filters: " + path +
                " does not name a model of CKS, so which convolution is its first is not "
                "known; name the key of the filters with --filters-of KEY");
  }
  draw_filters(path, drawings.filters_of, drawings.filters);
}

int run(int argc, char** argv) {
  std::string checkpoint;
  std::string model;
  std::string input;
  std::int64_t batch = 1;
  Drawings drawings;
  std::vector<std::string> names;
  std::string list = "Models:";
  for (const ModelInfo& info : model_list()) {
    names.push_back(info.name);
    list += "\n  " + info.name + ": " + info.summary;
  }
  Flags parser("inspect", "Shows a network layer by layer, or what a checkpoint holds.");
  parser.add_positional("checkpoint", checkpoint, "a .safetensors file", false);
  parser.add_choice("model", model, names, "a network by name");
  parser.add("input", input, "its images, WIDTHxHEIGHTxCHANNELS; default: what it was made for");
  parser.add("batch", batch, "images in a batch", 1, 1 << 20);
  parser.add_path("savings", drawings.savings,
                  "SVG file for the share of each convolution's multiply-adds that is skipped");
  parser.add_path(
      "filters", drawings.filters,
      "SVG or PNG file for the filters of the checkpoint's first convolution, each in its own "
      "scale: 0 is grey, the greatest magnitude black or white; in colour for 3 channels, a "
      "grey tile for each channel otherwise");
  parser.add("filters-of", drawings.filters_of,
             "key of other filters to draw, such as conv2.weight");
  bool latest = false;
  parser.add_switch("latest", latest, "the weights of the newest run in runs");
  parser.excludes("latest", "model");
  parser.excludes("latest", "checkpoint");
  parser.needs("input", "model");
  parser.needs("batch", "model");
  parser.needs("filters-of", "filters");
  parser.excludes("filters", "model");
  parser.footer(list);
  if (const auto code = parser.parse(argc, argv)) {
    return *code;
  }
  if (latest) {
    checkpoint = latest_weights();
  }
  if (checkpoint.empty() == model.empty()) {
    throw parser.usage_error("name either a checkpoint (or --latest) or --model");
  }
  const std::string& filters = drawings.filters;
  if (!filters.empty() && !filters.ends_with(".svg") && !filters.ends_with(".png")) {
    throw UsageError("--filters " + filters + " must end in .svg or .png");
  }
  if (!drawings.savings.empty() && !drawings.savings.ends_with(".svg")) {
    throw UsageError("--savings " + drawings.savings + " must end in .svg");
  }
  if (checkpoint.empty()) {
    show_model(model, input, batch, drawings);
  } else {
    show_checkpoint(checkpoint, drawings);
  }
  return kExitOk;
}

}  // namespace
}  // namespace cks::apps

int main(int argc, char** argv) { return cks::apps::run_program(cks::apps::run, argc, argv); }
