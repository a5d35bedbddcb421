#include "apps/run/header.h"

#include "apps/cli/program.h"
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

std::string describe_data(const TrainTest& data, std::int64_t device_bytes) {
  const ImageDataset& train = data.train;
  const std::string on_gpu =
      device_bytes == 0
          ? ""
          : formatted(", {:.1f} MiB on the GPU", static_cast<double>(device_bytes) / 1048576.0);
  const std::string val =
      data.val ? formatted("{} validation, ", with_commas(data.val->size())) : "";
  return formatted("{}: {} train, {}{} test, {}x{}x{}, {}{}", describe(train.name, train.source),
                   with_commas(train.size()), val, with_commas(data.test.size()), train.width(),
                   train.height(), train.channels(), describe_classes(train.class_names), on_gpu);
}

/// Everything that the numbers of the run depend on, and the defaults of nothing.
std::string describe_training(const TrainFlags& flags, std::int64_t steps_per_epoch) {
  std::string line;
  const auto add = [&](bool is_said, const std::string& text) { line += is_said ? text : ""; };
  add(!flags.preset.empty() && flags.preset != kNoPreset, "preset " + flags.preset + ": ");
  line += formatted("{}, {}, batch {}", describe_optimizer(flags),
                    describe_schedule(flags, steps_per_epoch), flags.batch_size);
  const TrainOptions& options = flags.options;
  add(flags.precision != "fp32", " in " + flags.precision);
  add(options.accumulation > 1, formatted(" in {} pieces", options.accumulation));
  add(flags.drop_last, " (the last, smaller one dropped)");
  add(flags.augment.crop_padding > 0, formatted(", random crop {}", flags.augment.crop_padding));
  add(flags.augment.flip, flags.augment.alternate_flip ? ", alternating flip" : ", random flip");
  for (const auto& [name, value] : named_changes(flags.augment)) {
    line += formatted(", random {} {:g}", name, value);
  }
  add(options.label_smoothing > 0.0, formatted(", label smoothing {:g}", options.label_smoothing));
  if (flags.average.decay > 0.0) {
    line += formatted(", {} {:g}", flags.average.look_ahead ? "look-ahead" : "average of weights",
                      flags.average.decay);
    add(flags.average.every > 1, formatted(" every {} steps", flags.average.every));
  }
  add(flags.class_weights != "none", ", class weights " + flags.class_weights);
  add(options.clip_grad_norm > 0.0,
      formatted(", gradient norm at most {:g}", options.clip_grad_norm));
  return line +
         formatted(", {} epoch{}, seed {}", flags.epochs, flags.epochs == 1 ? "" : "s", flags.seed);
}

}  // namespace

std::vector<std::string> describe_build(const ChosenDevice& chosen) {
  const int threads = kernels::num_threads();
  std::vector<std::string> lines{formatted("cks {}   {} build, {}, {} thread{}, device {}",
                                           version(), build_type(), instruction_set(), threads,
                                           threads == 1 ? "" : "s", chosen.device)};
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

std::vector<std::string> describe_run(const TrainFlags& flags, const TrainTest& data,
                                      const ModelTable& table, std::int64_t steps_per_epoch,
                                      std::int64_t device_bytes, const RunFolder* folder) {
  const PassCount all = table.all_passes();
  return {
      "data      " + describe_data(data, device_bytes),
      formatted("model     {}: {} parameters; multiply-adds of one image: forward {}, whole step "
                "{}, of which C-K-S skips {}",
                flags.model, with_commas(table.parameters), with_commas(table.forward.plain),
                with_commas(all.plain), percent(all.skipped())),
      "training  " + describe_training(flags, steps_per_epoch),
      "run       " + (folder == nullptr ? "nothing is written (--dry-run)" : folder->path())};
}

}  // namespace cks::apps
