// Trains a network on MNIST, a dataset in its format, or the drawn digits, on the CPU or a GPU,
// through C-K-S.
//
//   train_mnist --data-dir DIR                  LeNet-5, Adam 1e-3, batch 128, 10 epochs
//   train_mnist --dataset drawn --show-digits 5 needs no file
//   train_mnist --resume DIR                    goes on where a run stopped
//   train_mnist --config DIR/config.json --seed 2   a new run with another one's flags
//
// Expected on MNIST with the defaults: 98.9 to 99.1 % after the last epoch.
#include <algorithm>
#include <iostream>
#include <vector>

#include "apps/cli/program.h"
#include "apps/cli/recipes.h"
#include "apps/run/data.h"
#include "apps/run/session.h"
#include "cks/core/autograd/autograd.h"
#include "cks/datasets/data_loader.h"
#include "cks/datasets/images/ascii_art.h"
#include "cks/datasets/mnist.h"
#include "cks/train/metrics.h"

namespace cks::apps {
namespace {

/// Test images in ASCII, with what the model takes them for and what they are.
void show_digits(Module& model, const ImageDataset& test, std::int64_t count) {
  constexpr std::int64_t kPerRow = 2;  // 28 columns each, for a terminal of 80
  const ImageDataset shown = test.limit(count);
  const NoGradGuard no_grad;
  model.eval();
  const DataLoader loader(shown, {.batch_size = shown.size(), .shuffle = false, .prefetch = 0});
  const Batch batch = loader.make_batch(0, 0);
  const std::vector<std::int64_t> predicted =
      predicted_classes(model(batch.images.to(model.parameters().front().device())));
  const std::vector<std::int64_t> truth = batch.labels.to_vector<std::int64_t>();
  const auto name = [&](std::int64_t label) {
    return shown.class_names[static_cast<std::size_t>(label)];
  };
  for (std::int64_t begin = 0; begin < shown.size(); begin += kPerRow) {
    std::vector<std::vector<std::string>> pictures;
    std::vector<std::string> captions;
    for (std::int64_t i = begin; i < std::min(begin + kPerRow, shown.size()); ++i) {
      const auto index = static_cast<std::size_t>(i);
      pictures.push_back(ascii_art(shown.images.slice(i, i + 1)));
      captions.push_back("predicted " + name(predicted[index]) + ", is " + name(truth[index]) +
                         (predicted[index] == truth[index] ? "" : "  WRONG"));
    }
    std::cout << beside(pictures, captions, 6) << "\n";
  }
}

int run(int argc, char** argv) {
  TrainFlags flags;
  flags.model = "lenet5";
  DigitData data;
  std::int64_t digits = 0;
  Flags parser("train_mnist", "Trains a network on MNIST or on drawn digits.");
  parser.group("Data");
  std::vector<std::string> datasets{"auto", "mnist", "drawn"};
  for (const std::string& split : emnist_splits()) {
    datasets.push_back("emnist-" + split);
  }
  parser.add_choice(
      "dataset", data.dataset, datasets,
      "mnist: the files in --data-dir, also of the only split of EMNIST there; drawn: digits drawn "
      "from a seed, needs no file; auto: mnist, with a hint when it is not there");
  parser.add_path("data-dir", data.data_dir,
                  "folder with MNIST's files, or one with mnist/ or MNIST/raw/ in it; default: "
                  "CKS_DATA_DIR, then ./data");
  parser.add("classes", data.options.classes,
             "how many the labels have; 0: 10, or those of EMNIST's split", 0, 256);
  parser.add("first-label", data.options.first_label,
             "the label of the first class in the files; -1: 0, of EMNIST's letters 1", -1, 255);
  parser.not_with("classes", "dataset", "drawn");
  parser.not_with("first-label", "dataset", "drawn");
  parser.add("limit-train", data.limit_train, "train on the first N images; 0: all");
  parser.add("limit-test", data.limit_test, "test on the first N images; 0: all");
  parser.add("show-digits", digits, "print N test images with their predictions at the end", 0,
             1000);
  add_train_flags(parser, flags);
  if (const auto code = parser.parse(argc, argv)) {
    return *code;
  }
  take_config(parser, flags.config);
  return run_training({.name = "train_mnist",
                       .load_data = [&](Progress& /*progress*/) { return load_digits(data); },
                       .show =
                           [&](Module& model, const ImageDataset& test) {
                             if (digits > 0) {
                               show_digits(model, test, digits);
                             }
                           }},
                      parser, flags);
}

}  // namespace
}  // namespace cks::apps

int main(int argc, char** argv) { return cks::apps::run_program(cks::apps::run, argc, argv); }
