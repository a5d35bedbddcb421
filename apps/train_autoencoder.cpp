// Trains the autoencoder of models/autoencoder.h on digits, without their labels: its loss is the
// mean squared error to its own input. The folder of the run gets, beside what every run writes,
// reconstructions.png: test digits, below each what it drew. report.html shows it, too.
//
//   train_autoencoder --dataset drawn       needs no file
//   train_autoencoder --data-dir DIR        MNIST
//   train_autoencoder --resume DIR          goes on where a run stopped
//
// Expected on drawn digits with the defaults: a test loss of about 0.022 (an output of zeros gives
// 1).
#include <algorithm>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "apps/cli/console.h"
#include "apps/cli/device_flag.h"
#include "apps/cli/flags.h"
#include "apps/cli/program.h"
#include "apps/run/data.h"
#include "apps/run/header.h"
#include "apps/run/results.h"
#include "apps/run/run_folders.h"
#include "apps/run/tensorboard.h"
#include "cks/core/autograd/autograd.h"
#include "cks/core/distributed/communicator.h"
#include "cks/core/io/file.h"
#include "cks/core/ops.h"
#include "cks/core/optim/adam.h"
#include "cks/core/optim/lr_schedule.h"
#include "cks/datasets/data_loader.h"
#include "cks/datasets/images/image_write.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/models/registry.h"
#include "cks/train/trainer.h"

namespace cks::apps {
namespace {

constexpr const char* kProgram = "train_autoencoder";
constexpr const char* kModel = "autoencoder";

struct AutoencoderFlags {
  DigitData data;
  std::int64_t epochs = 3;
  std::int64_t batch_size = 128;
  double lr = 1e-3;
  std::int64_t seed = 1;
  std::string device = "auto";
  std::string precision = "fp32";
  std::string output_dir;
  std::optional<std::string> resume;
  std::int64_t columns = 16;
  std::int64_t rows = 4;
  double target_loss = 0.0;
  OutputFlags output;
};

void add_flags(Flags& parser, AutoencoderFlags& flags) {
  parser.group("Data");
  parser.add_choice("dataset", flags.data.dataset, {"auto", "mnist", "drawn"},
                    "mnist: the files in --data-dir; drawn: digits drawn from a seed, needs no "
                    "file; auto: mnist, with a hint when it is not there");
  parser.add_path("data-dir", flags.data.data_dir,
                  "folder with MNIST's files; default: CKS_DATA_DIR, then ./data");
  parser.not_with("data-dir", "dataset", "drawn");
  parser.add("limit-train", flags.data.limit_train, "train on the first N images; 0: all");
  parser.add("limit-test", flags.data.limit_test, "test on the first N images; 0: all");
  parser.group("Training");
  parser.add("epochs", flags.epochs, "passes over the training images", 1);
  parser.add("batch-size", flags.batch_size, "images of one step", 1);
  parser.add("lr", flags.lr, "learning rate of Adam");
  parser.add("seed", flags.seed, "of the parameters and the shuffle");
  add_device_flags(parser, flags.device, flags.precision);
  parser.group("Run");
  parser.add_path("output-dir", flags.output_dir,
                  "folder for everything that is written; default: runs/train_autoencoder-<time>");
  parser.add_optional("resume", flags.resume,
                      "go on with the run in this folder; alone: the newest run");
  parser.add("columns", flags.columns, "images in a row of reconstructions.png", 1, 100);
  parser.add("rows", flags.rows, "pairs of rows in it", 1, 100);
  parser.add("target-loss", flags.target_loss,
             "exit code 3 unless the last test loss is at most this; 0: any will do");
  add_output_flags(parser, flags.output);
}

/// Rows of test images and, below each, the row of their reconstructions.
Tensor reconstructions(Module& model, const ImageDataset& test, const AutoencoderFlags& flags) {
  const std::int64_t columns = std::min(flags.columns, test.size());
  const std::int64_t rows = std::min(flags.rows, test.size() / columns);
  const ImageDataset shown = test.limit(rows * columns);
  const DataLoader loader(shown, {.batch_size = shown.size(), .shuffle = false, .prefetch = 0});
  const NoGradGuard no_grad;
  model.eval();
  const Tensor images = loader.make_batch(0, 0).images;
  const Tensor drawn =
      denormalised(model(images.to(model.parameters().front().device())).to(Device::cpu()),
                   shown.mean, shown.std);
  std::vector<Tensor> lines;
  for (std::int64_t begin = 0; begin < shown.size(); begin += columns) {
    lines.push_back(shown.images.slice(begin, begin + columns));
    lines.push_back(drawn.slice(begin, begin + columns));
  }
  return picture_grid(concat(lines, 0), columns);
}

void describe_run(Console& console, const RunFolder& folder, const Module& model,
                  const TrainTest& data, const ChosenDevice& chosen) {
  const ImageDataset& train = data.train;
  console.say("device    " + (chosen.why.empty() ? chosen.device.to_string() : chosen.why));
  console.say(formatted("data      {}: {} train, {} test", describe(train.name, train.source),
                        with_commas(train.size()), with_commas(data.test.size())));
  console.say(
      formatted("model     {}: {} parameters", kModel, with_commas(model.num_parameters())));
  console.say("run       " + folder.path());
  report_data(console, data);
}

TrainOptions make_options(const AutoencoderFlags& flags, const TrainTest& data,
                          const RunFolder& folder) {
  const ImageDataset& train = data.train;
  TrainOptions options;
  options.epochs = flags.epochs;
  options.files.folder = &folder;
  options.files.resume = flags.resume.has_value();
  options.files.info = checkpoint_info(kModel, train, {{"cks", version()}});
  options.files.info.class_names.clear();  // it tells none apart
  options.files.identity = {{"model", kModel},
                            {"dataset", train.name},
                            {"test images", std::to_string(data.test.size())}};
  return options;
}

/// Trains as the flags say, in a folder.
TrainSummary train(const AutoencoderFlags& flags, const Flags& parser, const ChosenDevice& chosen,
                   const TrainTest& data, Module& model, const RunFolder& folder) {
  Console console(flags.output, &folder);
  describe_run(console, folder, model, data, chosen);
  Adam optimizer(model.named_parameters(), {.learning_rate = flags.lr});
  DataLoader train_loader(data.train, {.batch_size = flags.batch_size,
                                       .seed = static_cast<std::uint64_t>(flags.seed),
                                       .device = chosen.device});
  DataLoader test_loader(data.test, {.batch_size = 500, .shuffle = false, .device = chosen.device});
  TrainOptions options = make_options(flags, data, folder);
  options.precision = take_precision(flags.precision, chosen.device);
  options.callbacks = make_callbacks(console, false);
  if (flags.output.tensorboard) {
    send_to_tensorboard(folder, false, options.callbacks);
  }
  ConfigSections config = describe_program(kProgram, parser, chosen, data);
  config["model"] = {{"name", kModel}, {"parameters", std::to_string(model.num_parameters())}};
  write_config_on_start(folder, config, flags.resume.has_value(), options.callbacks);
  const auto loss = [](const Tensor& output, const Batch& batch) {
    return mse_loss(output, batch.images);
  };
  return fit_with_advice(parser, console,
                         {.model = model,
                          .optimizer = optimizer,
                          .train_loader = train_loader,
                          .test_loader = test_loader,
                          .loss = loss},
                         options);
}

/// Writes and prints what the run came to; returns the exit code.
int conclude(const AutoencoderFlags& flags, const Flags& parser, const TrainSummary& summary,
             const TrainTest& data, Module& model, const RunFolder& folder) {
  const std::string picture = folder.file("reconstructions.png");
  write_png(picture, reconstructions(model, data.test, flags));
  RunReport report = begin_report(folder, summary, model, data.test, kModel);
  report.has_accuracy = false;
  report.sheets.push_back(
      {"Reconstructions", "Test images, below each what was drawn.", {{read_file(picture)}}});
  write_report(folder, report);
  if (flags.output.tensorboard) {
    send_pictures_to_tensorboard(folder, report);
  }
  write_summary(folder.summary_file(), summary,
                {{"model", kModel}, {"dataset", data.train.name}, {"version", version()}});
  std::cout << (summary.interrupted ? "stopped   " : "done      ")
            << (summary.epochs == 0
                    ? "not evaluated yet"
                    : formatted("test loss {:g} after epoch {}", summary.test_loss, summary.epochs))
            << "\nreport    " << folder.report_file() << "\npicture   " << picture << "\nsaved     "
            << folder.last_file() << "\n";
  if (summary.interrupted) {
    std::cout << "          go on with: " << resume_command(parser.program(), folder.path())
              << "\n";
    return interrupted_exit_code();
  }
  if (flags.target_loss > 0.0 && !(summary.test_loss <= flags.target_loss)) {
    std::cerr << "error: test loss " << summary.test_loss << " is above --target-loss "
              << flags.target_loss << std::endl;
    return kExitTargetNotReached;
  }
  return kExitOk;
}

int run(int argc, char** argv) {
  AutoencoderFlags flags;
  Flags parser(kProgram, "Trains a convolutional autoencoder on digits and shows what it draws.");
  add_flags(parser, flags);
  if (const auto code = parser.parse(argc, argv)) {
    return *code;
  }
  if (launched_processes() > 1) {
    throw UsageError(formatted("{} is one process, mpirun or srun has started {}", kProgram,
                               launched_processes()));
  }
  install_interrupt_handler();
  const std::optional<RunFolder> resumed =
      open_resumed_run(kProgram, parser, flags.resume, flags.output_dir);
  parser.require_effects();
  const ChosenDevice chosen = take_device(flags.device);
  const PrecisionScope precision(take_precision(flags.precision, chosen.device));
  const TrainTest data = load_digits(flags.data);
  require_storable(data);
  const auto model =
      make_model(kModel, {.in_channels = data.train.channels(), .image_size = data.train.height()});
  model->initialize(static_cast<std::uint64_t>(flags.seed));
  model->to(chosen.device);
  const RunFolder folder = resumed ? *resumed : create_run_folder(kProgram, flags.output_dir);
  defer_interrupts(resume_command(parser.program(), folder.path()));
  const TrainSummary summary = train(flags, parser, chosen, data, *model, folder);
  return conclude(flags, parser, summary, data, *model, folder);
}

}  // namespace
}  // namespace cks::apps

int main(int argc, char** argv) { return cks::apps::run_program(cks::apps::run, argc, argv); }
