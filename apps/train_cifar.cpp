// Trains a network on CIFAR-10, CIFAR-100, a folder of pictures or drawn ones, on the CPU or a GPU,
// through C-K-S.
//
//   train_cifar --data-dir DIR --preset resnet18-30          ResNet-18, 30 epochs
//   train_cifar --dataset folder --data-dir DIR --image-size 32 --preset resnet20
//   train_cifar --dataset drawn --epochs 2                   needs no file
//   train_cifar --resume DIR                                 goes on where a run stopped
//   train_cifar --config DIR/config.json --epochs 60         a new run with another one's flags

#include "apps/cli/program.h"
#include "apps/cli/reading.h"
#include "apps/cli/recipes.h"
#include "apps/run/data.h"
#include "apps/run/session.h"

namespace cks::apps {
namespace {

/// What --augment and --augment=false stand for.
const FlagValues kAugment{{"crop-padding", "4"}, {"flip", "true"}};
const FlagValues kNoAugment{{"crop-padding", "0"}, {"flip", "false"}};

void add_data_flags(Flags& parser, PictureData& data, bool& no_cache) {
  parser.group("Data");
  parser.add_choice("dataset", data.dataset, {"auto", "cifar10", "cifar100", "folder", "drawn"},
                    "cifar10, cifar100: the files in --data-dir\n"
                    "folder: pictures in --data-dir, in train/CLASS and test/CLASS, or in CLASS\n"
                    "drawn: drawn from a seed, needs no file\n"
                    "auto: cifar10, with hints when it is not there");
  parser.add_path(
      "data-dir", data.data_dir,
      "folder with the dataset or its archive; default: the environment's CKS_DATA_DIR, "
      "then ./data; a folder of pictures has no default");
  parser.add("image-size", data.image_size,
             "resize a folder's pictures to N x N pixels; 0: all are square and of one size "
             "already",
             0, 4096);
  add_fit_flag(parser, data.fit, "how pictures become N x N");
  constexpr double kLeastShare = 1e-6;
  parser.add("test-share", data.folder.test_share,
             "share of each class to test on, of a folder without train and test of its own",
             kLeastShare, 1.0 - kLeastShare);
  parser.add_switch("skip-broken", data.folder.skip_broken, "leave a folder's broken pictures out");
  parser.add_switch("no-cache", no_cache, kNoCacheHelp);
  parser.only_with("fit", "dataset", "folder");
  parser.only_with("no-cache", "dataset", "folder");
  parser.not_with("fit", "image-size", "0");
  parser.add("limit-train", data.limit_train,
             "train on N images, the first or, of a folder, evenly spread ones; 0: all");
  parser.add("limit-test", data.limit_test, "test on N images, likewise; 0: all");
}

void add_augment_flags(Flags& parser, bool& augment, ImageAugmentation& values) {
  parser.group("Augmentation");
  parser.add_switch("augment", augment, "the same as --crop-padding 4 --flip");
  parser.add("crop-padding", values.crop_padding,
             "pad each image by N pixels on all sides and crop it at a random place; 0: no crop", 0,
             1024);
  parser.add_switch("flip", values.flip, "mirror each image, left to right, with probability 1/2");
  parser.add_switch("alternate-flip", values.alternate_flip,
                    "of --flip: mirror each image in every other epoch, which helps short runs");
  parser.only_with("alternate-flip", "flip", "true");
  parser.add("cutout", values.cutout, "blank a square of N x N pixels at a random place; 0: none",
             0, 1024);
  parser.add("rotation", values.rotation, "turn each image by up to so many degrees, either way",
             0.0, 45.0);
  parser.add("scale", values.scale, "enlarge each image by a factor within 1 +- X", 0.0, 0.5);
  parser.add("brightness", values.brightness, "multiply its bytes by a factor within 1 +- X", 0.0,
             1.0);
  parser.add("contrast", values.contrast, "likewise their distance from 128", 0.0, 1.0);
  parser.add("saturation", values.saturation, "likewise the colours' distance from grey", 0.0, 1.0);
}

void add_preset_flag(Flags& parser, std::string& preset) {
  std::vector<std::string> names{kNoPreset};
  std::string help = "a recipe: sets the flags that are neither given nor in --config";
  for (const Preset& one : cifar_presets()) {
    names.push_back(one.name);
    help += "\n" + one.name + ": " + one.summary;
  }
  parser.group("Recipe");
  parser.add_choice("preset", preset, names, help);
}

/// Sets the flags that --config, --preset and --augment, wherever it stands, stand for.
void fill_in_recipes(Flags& parser, const TrainFlags& flags, const bool& augment) {
  const FlagValues config = take_config(parser, flags.config);
  const auto other = config.find("preset");
  if (parser.given("preset") && other != config.end() && other->second != flags.preset) {
    throw UsageError("--preset " + flags.preset + " does not go with --config " + flags.config +
                     ", whose preset is " + other->second +
                     " and whose flags would win; leave one of them out");
  }
  if (flags.preset != kNoPreset) {
    fill_in(parser, cifar_preset(flags.preset).flags, config);
  }
  if (parser.given("augment")) {
    fill_in(parser, augment ? kAugment : kNoAugment);
  } else if (augment) {
    fill_in(parser, kAugment, config);
  }
}

int run(int argc, char** argv) {
  TrainFlags flags;
  flags.model = "resnet20";
  PictureData data;
  bool augment = false;
  bool no_cache = false;
  flags.preset = kNoPreset;
  Flags parser("train_cifar",
               "Trains a network on CIFAR, on your own pictures or on drawn ones.\n\n"
               "  train_cifar --dataset drawn --epochs 2            needs no file\n"
               "  train_cifar --data-dir DIR --preset resnet20      CIFAR-10\n"
               "  train_cifar --dataset folder --data-dir DIR --image-size 32 --preset pictures\n"
               "  train_cifar --resume DIR                          goes on with a run\n");
  add_preset_flag(parser, flags.preset);
  add_data_flags(parser, data, no_cache);
  add_augment_flags(parser, augment, flags.augment);
  add_train_flags(parser, flags);
  if (const auto code = parser.parse(argc, argv)) {
    return *code;
  }
  fill_in_recipes(parser, flags, augment);
  return run_training({.name = "train_cifar",
                       .load_data =
                           [&](Progress& progress) {
                             data.test_share_given = parser.given("test-share");
                             data.folder.cache_dir = no_cache ? "" : picture_cache_folder();
                             data.folder.on_progress = show_reading(progress);
                             return load_pictures(data);
                           },
                       .show = {}},
                      parser, flags);
}

}  // namespace
}  // namespace cks::apps

int main(int argc, char** argv) { return cks::apps::run_program(cks::apps::run, argc, argv); }
