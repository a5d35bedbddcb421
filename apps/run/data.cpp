#include "apps/run/data.h"

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "apps/cli/program.h"
#include "cks/datasets/cifar.h"
#include "cks/datasets/drawn/drawn_digits.h"
#include "cks/datasets/drawn/drawn_pictures.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::apps {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEmnist = "emnist-";
constexpr const char* kLayout = "DIR/train/CLASS/... and DIR/test/CLASS/..., or DIR/CLASS/...";

/// Options for drawing images that draw no more than the limits of `data` ask for; 0: no limit.
template <class Options, class Data>
Options within_limits(Options options, const Data& data) {
  const auto limited = [](std::int64_t count, std::int64_t limit) {
    return limit > 0 ? std::min(count, limit) : count;
  };
  options.train_count = limited(options.train_count, data.limit_train);
  options.test_count = limited(options.test_count, data.limit_test);
  return options;
}

/// The first `count` images; all of them if 0, or if there are fewer.
ImageDataset first(const ImageDataset& dataset, std::int64_t count) {
  return count == 0 ? dataset : dataset.limit(count);
}

TrainTest read_or_draw(const DigitData& data) {
  if (data.dataset == "drawn") {
    return drawn_digits(within_limits(DrawnDigitsOptions(), data));
  }
  try {
    MnistOptions options = data.options;
    if (data.dataset.starts_with(kEmnist)) {
      options.emnist = data.dataset.substr(kEmnist.size());
    }
    return load_mnist(data.data_dir, options);
  } catch (IoError& error) {
    if (std::string(error.what()).starts_with("find_mnist")) {
      error.append(": --dataset emnist-letters, say");
    } else if (data.dataset == "auto" && !find_mnist(data.data_dir)) {
      error.append("\n  or: train on digits that need no file, with --dataset drawn");
    }
    throw;
  }
}

void require_folder(const PictureData& data) {
  if (data.dataset == "folder") {
    if (data.data_dir.empty()) {
      throw UsageError(formatted("--dataset folder needs --data-dir DIR, with {}", kLayout));
    }
    if (std::error_code ignored;
        data.test_share_given && fs::is_directory(fs::path(data.data_dir) / "train", ignored)) {
      throw UsageError(
          formatted("--test-share is for a folder that has no halves of its own; {} has train",
                    data.data_dir));
    }
    return;
  }
  if (data.image_size != 0) {
    throw UsageError(formatted("--image-size is for --dataset folder; the pictures of {} are 32x32",
                               data.dataset));
  }
  if (data.folder.skip_broken || data.test_share_given) {
    throw UsageError(formatted("--{} is for --dataset folder, not {}",
                               data.folder.skip_broken ? "skip-broken" : "test-share",
                               data.dataset));
  }
}

TrainTest read_folder(const PictureData& data) {
  ImageFolderOptions options = data.folder;
  options.height = options.width = data.image_size;
  options.fit = parse_image_fit(data.fit);
  try {
    TrainTest halves = load_image_folder(data.data_dir, options);
    if (const auto& names = halves.train.class_names; names.size() < 2) {
      throw Error(
          formatted("--data-dir {} has one class, '{}', which leaves nothing to tell apart; "
                    "expected {} with two classes or more",
                    data.data_dir, names.front(), kLayout));
    }
    return halves;
  } catch (ShapeError& error) {
    error.append(data.image_size == 0 ? "\n  --image-size 32 makes all of them 32x32" : "");
    throw;
  } catch (IoError& error) {
    if (!data.folder.skip_broken && !std::string(error.what()).starts_with("load_image_folder")) {
      error.append("\n  --skip-broken leaves broken pictures out");
    }
    throw;
  }
}

TrainTest read_or_draw(const PictureData& data) {
  if (data.dataset == "drawn") {
    return drawn_pictures(within_limits(DrawnPicturesOptions(), data));
  }
  if (data.dataset == "folder") {
    return read_folder(data);
  }
  if (data.dataset == "cifar100") {
    return load_cifar100(data.data_dir);
  }
  try {
    return load_cifar10(data.data_dir);
  } catch (IoError& error) {
    if (data.dataset == "auto" && !find_cifar(CifarKind::cifar10, data.data_dir)) {
      error.append(
          "\n  or: train on a folder of pictures, with --dataset folder --data-dir DIR"
          "\n  or: train on pictures that need no file, with --dataset drawn");
    }
    throw;
  }
}

/// `count` images at even distances; all of them if 0, or if there are fewer. A folder's images lie
/// class after class: the first ones would all be of one.
ImageDataset spread(const ImageDataset& dataset, std::int64_t count) {
  if (count == 0 || count >= dataset.size()) {
    return dataset;
  }
  std::vector<std::int64_t> places;
  for (std::int64_t i = 0; i < count; ++i) {
    places.push_back(i * dataset.size() / count);
  }
  return dataset.select(places);
}

}  // namespace

TrainTest load_digits(const DigitData& data) {
  const TrainTest all = read_or_draw(data);
  return {first(all.train, data.limit_train), first(all.test, data.limit_test)};
}

TrainTest load_pictures(const PictureData& data) {
  require_folder(data);
  const TrainTest all = read_or_draw(data);
  const auto limit = data.dataset == "folder" ? spread : first;
  return {limit(all.train, data.limit_train), limit(all.test, data.limit_test), all.val};
}

}  // namespace cks::apps
