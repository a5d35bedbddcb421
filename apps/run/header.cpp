#include "apps/run/header.h"

#include "apps/cli/program.h"
#include "apps/report/model_table.h"
#include "apps/report/text_table.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/parallel_for.h"

namespace cks::apps {
namespace {

/// "3 classes (circle, square, triangle)", the first of them where there are many; digits need no
/// names.
std::string describe_classes(const std::vector<std::string>& names) {
  std::string count = std::to_string(names.size()) + " classes";
  if (names == numbered_classes(static_cast<std::int64_t>(names.size()))) {
    return count;
  }
  constexpr std::size_t kMostCharacters = 80;
  std::string shown;
  for (const std::string& name : names) {
    if (!shown.empty() && shown.size() + name.size() > kMostCharacters) {
      shown += ", ...";
      break;
    }
    shown.append(shown.empty() ? "" : ", ").append(name);
  }
  return count + " (" + shown + ")";
}

std::string describe_data(const RunParts& parts) {
  const ImageDataset& train = parts.data.train;
  const std::string on_gpu = parts.device_bytes == 0
                                 ? ""
                                 : formatted(", {:.1f} MiB on the GPU",
                                             static_cast<double>(parts.device_bytes) / 1048576.0);
  const std::string val =
      parts.data.val ? formatted("{} validation, ", with_commas(parts.data.val->size())) : "";
  return formatted("{}: {} train, {}{} test, {}x{}x{}, {}{}", describe(train.name, train.source),
                   with_commas(train.size()), val, with_commas(parts.data.test.size()),
                   train.width(), train.height(), train.channels(),
                   describe_classes(train.class_names), on_gpu);
}

/// Everything that the numbers of the run depend on, and the defaults of nothing.
std::string describe_training(const TrainFlags& flags, std::int64_t steps_per_epoch) {
  std::string line;
  if (!flags.preset.empty() && flags.preset != kNoPreset) {
    line = "preset " + flags.preset + ": ";
  }
  line += formatted("{}, {}, batch {}", describe_optimizer(flags),
                    describe_schedule(flags, steps_per_epoch), flags.batch_size);
  if (flags.precision != "fp32") {
    line += " in " + flags.precision;
  }
  if (flags.options.accumulation > 1) {
    line += formatted(" in {} pieces", flags.options.accumulation);
  }
  if (flags.drop_last) {
    line += " (the last, smaller one dropped)";
  }
  if (flags.augment.crop_padding > 0) {
    line += formatted(", random crop {}", flags.augment.crop_padding);
  }
  if (flags.augment.flip) {
    line += flags.augment.alternate_flip ? ", alternating flip" : ", random flip";
  }
  for (const auto& [name, value] : named_changes(flags.augment)) {
    line += formatted(", random {} {:g}", name, value);
  }
  if (flags.options.label_smoothing > 0.0) {
    line += formatted(", label smoothing {:g}", flags.options.label_smoothing);
  }
  if (flags.weight_average > 0.0) {
    line += formatted(", {} {:g}", flags.look_ahead ? "look-ahead" : "average of weights",
                      flags.weight_average);
    line += flags.average_every > 1 ? formatted(" every {} steps", flags.average_every) : "";
  }
  if (flags.class_weights != "none") {
    line += ", class weights " + flags.class_weights;
  }
  if (flags.options.clip_grad_norm > 0.0) {
    line += formatted(", gradient norm at most {:g}", flags.options.clip_grad_norm);
  }
  return line +
         formatted(", {} epoch{}, seed {}", flags.epochs, flags.epochs == 1 ? "" : "s", flags.seed);
}

}  // namespace

std::vector<std::string> describe_build(const ChosenDevice& chosen) {
  std::vector<std::string> lines{formatted("cks {}   {} build, {}, {} threads, device {}",
                                           version(), build_type(), instruction_set(),
                                           kernels::num_threads(), chosen.device)};
  if (!chosen.why.empty()) {
    lines.push_back("device    " + chosen.why);
  }
  if (build_type() == "Debug") {
    lines.push_back("          this Debug build computes many times slower than Release");
  }
  return lines;
}

ConfigSections describe_program(const std::string& program, const Flags& parser,
                                const ChosenDevice& chosen, const TrainTest& data) {
  ConfigSections config{{"flags", parser.values()},
                        {"build",
                         {{"program", program},
                          {"version", version()},
                          {"build_type", build_type()},
                          {"instruction_set", instruction_set()}}},
                        {"machine", chosen.fields},
                        {"data",
                         {{"source", describe(data.train.name, data.train.source)},
                          {"train_images", std::to_string(data.train.size())},
                          {"test_images", std::to_string(data.test.size())}}}};
  if (data.val) {
    config["data"]["validation_images"] = std::to_string(data.val->size());
  }
  config["machine"]["threads"] = std::to_string(kernels::num_threads());
  return config;
}

RunHeader describe_run(const RunParts& parts) {
  RunHeader header;
  const ImageDataset& train = parts.data.train;
  const ModelTable table =
      trace_model(parts.model, Shape{1, train.height(), train.width(), train.channels()});
  header.lines.push_back("data      " + describe_data(parts));
  header.lines.push_back(
      formatted("model     {}: {} parameters; multiply-adds of one image: forward {}, whole step "
                "{}, of which "
                "C-K-S skips {}",
                parts.flags.model, with_commas(table.parameters), with_commas(table.forward.plain),
                with_commas(table.all_passes().plain), percent(table.all_passes().skipped())));
  header.lines.push_back("training  " + describe_training(parts.flags, parts.steps_per_epoch));
  header.lines.push_back("run       " + (parts.folder == nullptr ? "nothing is written (--dry-run)"
                                                                 : parts.folder->path()));
  header.config = describe_program(parts.program, parts.parser, parts.chosen, parts.data);
  header.config["model"] = {{"name", parts.flags.model},
                            {"parameters", std::to_string(table.parameters)}};
  return header;
}

}  // namespace cks::apps
