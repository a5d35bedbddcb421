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
#include "apps/report/picture.h"
#include "apps/run/digit_data.h"
#include "apps/run/header.h"
#include "apps/run/results.h"
#include "apps/run/resume.h"
#include "apps/run/train_flags.h"
#include "cks/core/autograd/autograd.h"
#include "cks/core/io/file.h"
#include "cks/core/ops.h"
#include "cks/core/optim/adam.h"
#include "cks/core/optim/lr_schedule.h"
#include "cks/datasets/data_loader.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/models/registry.h"
#include "cks/train/trainer.h"

namespace {

using cks::Tensor;

constexpr const char* kProgram = "train_autoencoder";
constexpr const char* kModel = "autoencoder";

struct AutoencoderFlags {
  cks::apps::DigitData data;
  std::int64_t epochs = 3;
  std::int64_t batch_size = 128;
  double lr = 1e-3;
  std::int64_t seed = 1;
  std::string device = "auto";
  std::string output_dir;
  std::optional<std::string> resume;
  std::int64_t columns = 16;
  std::int64_t rows = 4;
  double target_loss = 0.0;
  cks::apps::OutputFlags output;
};

void add_flags(cks::apps::Flags& parser, AutoencoderFlags& flags) {
  parser.group("Data");
  parser.add_choice("dataset", flags.data.dataset, {"auto", "mnist", "drawn"},
                    "mnist: the files in --data-dir; drawn: digits drawn from a seed, needs no "
                    "file; auto: mnist, with a hint when it is not there");
  parser.add_path("data-dir", flags.data.data_dir,
                  "folder with MNIST's files; default: CKS_DATA_DIR, then ./data");
  parser.only_with("data-dir", "dataset", [](const std::string& name) { return name != "drawn"; });
  parser.add("limit-train", flags.data.limit_train, "train on the first N images; 0: all");
  parser.add("limit-test", flags.data.limit_test, "test on the first N images; 0: all");
  parser.group("Training");
  parser.add("epochs", flags.epochs, "passes over the training images", 1);
  parser.add("batch-size", flags.batch_size, "images of one step", 1);
  parser.add("lr", flags.lr, "learning rate of Adam");
  parser.add("seed", flags.seed, "of the parameters and the shuffle");
  cks::apps::add_device_flag(parser, flags.device);
  parser.group("Run");
  parser.add_path("output-dir", flags.output_dir,
                  "folder for everything that is written; default: runs/train_autoencoder-<time>");
  parser.add_optional("resume", flags.resume,
                      "go on with the run in this folder; alone: the newest run");
  parser.add("columns", flags.columns, "images in a row of reconstructions.png", 1, 100);
  parser.add("rows", flags.rows, "pairs of rows in it", 1, 100);
  parser.add("target-loss", flags.target_loss,
             "exit code 3 unless the last test loss is at most this; 0: any will do");
  cks::apps::add_output_flags(parser, flags.output);
}

/// Rows of test images and, below each, the row of their reconstructions.
Tensor reconstructions(cks::Module& model, const cks::ImageDataset& test,
                       const AutoencoderFlags& flags) {
  const std::int64_t columns = std::min(flags.columns, test.size());
  const std::int64_t rows = std::min(flags.rows, test.size() / columns);
  const cks::ImageDataset shown = test.limit(rows * columns);
  const cks::DataLoader loader(shown,
                               {.batch_size = shown.size(), .shuffle = false, .prefetch = 0});
  const cks::NoGradGuard no_grad;
  model.eval();
  const Tensor images = loader.make_batch(0, 0).images;
  const Tensor drawn = cks::apps::denormalised(
      model(images.to(model.parameters().front().device())).to(cks::Device::cpu()), shown.mean,
      shown.std);
  std::vector<Tensor> lines;
  for (std::int64_t begin = 0; begin < shown.size(); begin += columns) {
    lines.push_back(shown.images.slice(begin, begin + columns));
    lines.push_back(drawn.slice(begin, begin + columns));
  }
  return cks::apps::picture_grid(cks::concat(lines, 0), columns);
}

std::string describe_epoch(const cks::EpochEvent& event) {
  const cks::EpochMetrics& row = event.metrics;
  return cks::formatted("epoch {:2}/{}  train loss {:.4f}   test loss {:.4f}   {:.1f} s{}",
                        row.epoch, event.epochs, row.train_loss, row.test_loss, row.seconds,
                        event.is_best ? "   best" : "");
}

void describe_run(cks::apps::Console& console, const cks::RunFolder& folder,
                  const cks::Module& model, const cks::TrainTest& data,
                  const cks::apps::ChosenDevice& chosen) {
  using cks::apps::with_commas;
  const cks::ImageDataset& train = data.train;
  console.say("device    " + (chosen.why.empty() ? chosen.device.to_string() : chosen.why));
  console.say(cks::formatted("data      {}: {} train, {} test",
                             cks::describe(train.name, train.source), with_commas(train.size()),
                             with_commas(data.test.size())));
  console.say(
      cks::formatted("model     {}: {} parameters", kModel, with_commas(model.num_parameters())));
  console.say("run       " + folder.path());
  report_data(console, data);
}

cks::TrainOptions make_options(const AutoencoderFlags& flags, const cks::TrainTest& data,
                               const cks::RunFolder& folder) {
  const cks::ImageDataset& train = data.train;
  cks::TrainOptions options;
  options.epochs = flags.epochs;
  options.files.folder = &folder;
  options.files.resume = flags.resume.has_value();
  options.files.info = cks::checkpoint_info(kModel, train, {{"cks", cks::apps::version()}});
  options.files.info.class_names.clear();  // it tells none apart
  options.files.identity = {{"model", kModel},
                            {"dataset", train.name},
                            {"test images", std::to_string(data.test.size())}};
  return options;
}

/// Trains as the flags say, in a folder.
cks::TrainSummary train(const AutoencoderFlags& flags, const cks::apps::Flags& parser,
                        const cks::apps::ChosenDevice& chosen, const cks::TrainTest& data,
                        cks::Module& model, const cks::RunFolder& folder) {
  cks::apps::Console console(flags.output, &folder);
  describe_run(console, folder, model, data, chosen);
  cks::Adam optimizer(model.named_parameters(), {.learning_rate = flags.lr});
  cks::DataLoader train_loader(data.train, {.batch_size = flags.batch_size,
                                            .seed = static_cast<std::uint64_t>(flags.seed),
                                            .device = chosen.device});
  cks::DataLoader test_loader(data.test,
                              {.batch_size = 500, .shuffle = false, .device = chosen.device});
  cks::TrainOptions options = make_options(flags, data, folder);
  options.callbacks = cks::apps::make_callbacks(console, false, describe_epoch);
  cks::ConfigSections config = cks::apps::describe_program(kProgram, parser, chosen, data);
  config["model"] = {{"name", kModel}, {"parameters", std::to_string(model.num_parameters())}};
  cks::apps::write_config_on_start(folder, config, flags.resume.has_value(), options.callbacks);
  return cks::apps::fit_with_advice(parser, console, [&] {
    return cks::fit(
        {.model = model,
         .optimizer = optimizer,
         .train_loader = train_loader,
         .test_loader = test_loader,
         .loss = [](const Tensor& output,
                    const cks::Batch& batch) { return cks::mse_loss(output, batch.images); }},
        options);
  });
}

/// Writes and prints what the run came to; returns the exit code.
int conclude(const AutoencoderFlags& flags, const cks::TrainSummary& summary,
             const cks::TrainTest& data, cks::Module& model, const cks::RunFolder& folder) {
  const std::string picture = folder.file("reconstructions.png");
  cks::apps::write_png(picture, reconstructions(model, data.test, flags));
  cks::apps::RunReport report = cks::apps::begin_report(folder, summary, model, data.test, kModel);
  report.has_accuracy = false;
  report.pictures = cks::read_file(picture);
  cks::apps::write_report(folder, report);
  cks::write_summary(
      folder.summary_file(), summary,
      {{"model", kModel}, {"dataset", data.train.name}, {"version", cks::apps::version()}});
  std::cout << (summary.interrupted ? "stopped   " : "done      ")
            << (summary.epochs == 0 ? "not evaluated yet"
                                    : cks::formatted("test loss {:g} after epoch {}",
                                                     summary.test_loss, summary.epochs))
            << "\nreport    " << folder.report_file() << "\npicture   " << picture << "\nsaved     "
            << folder.last_file() << "\n";
  if (summary.interrupted) {
    std::cout << "          go on with: " << cks::apps::resume_command(kProgram, folder.path())
              << "\n";
    return cks::apps::interrupted_exit_code();
  }
  if (flags.target_loss > 0.0 && !(summary.test_loss <= flags.target_loss)) {
    std::cerr << "error: test loss " << summary.test_loss << " is above --target-loss "
              << flags.target_loss << std::endl;
    return cks::apps::kExitTargetNotReached;
  }
  return cks::apps::kExitOk;
}

int run(int argc, char** argv) {
  AutoencoderFlags flags;
  cks::apps::Flags parser(kProgram,
                          "Trains a convolutional autoencoder on digits and shows what it draws.");
  add_flags(parser, flags);
  if (const auto code = parser.parse(argc, argv)) {
    return *code;
  }
  cks::apps::install_interrupt_handler();
  const std::optional<cks::RunFolder> resumed =
      cks::apps::open_resumed_run(kProgram, parser, flags.resume, flags.output_dir);
  parser.require_effects();
  const cks::apps::ChosenDevice chosen = cks::apps::take_device(flags.device);
  const cks::TrainTest data = cks::apps::load_digits(flags.data);
  cks::apps::require_storable(data);
  const auto model = cks::make_model(
      kModel, {.in_channels = data.train.channels(), .image_size = data.train.height()});
  model->initialize(static_cast<std::uint64_t>(flags.seed));
  model->to(chosen.device);
  const cks::RunFolder folder =
      resumed ? *resumed : cks::apps::create_run_folder(kProgram, flags.output_dir);
  cks::apps::defer_interrupts(cks::apps::resume_command(kProgram, folder.path()));
  const cks::TrainSummary summary = train(flags, parser, chosen, data, *model, folder);
  return conclude(flags, summary, data, *model, folder);
}

}  // namespace

int main(int argc, char** argv) {
  return cks::apps::run_program([&] { return run(argc, argv); });
}
