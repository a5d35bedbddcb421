#include "apps/classify/pictures.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <mutex>
#include <new>
#include <numeric>
#include <utility>

#include "apps/cli/program.h"
#include "cks/core/error.h"
#include "cks/core/ops.h"
#include "cks/datasets/images/image_io.h"
#include "cks/datasets/images/prepare_digit.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/parallel_for.h"

namespace cks::apps {
namespace {

/// What to do with a folder that has no picture of its own, but folders.
std::string describe_class_folders(const std::string& path) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(path, ignored)) {
    if (entry.is_directory(ignored)) {
      return "; if they are classes: --eval " + path;
    }
  }
  return {};
}

/// A result for each picture, still to be filled; one with an error for a folder that has none.
std::vector<PictureResult> list_pictures(const std::vector<std::string>& paths) {
  std::vector<PictureResult> pictures;
  for (const std::string& path : paths) {
    std::error_code ignored;
    if (!std::filesystem::is_directory(path, ignored)) {
      pictures.push_back({.path = path});
      continue;
    }
    try {
      for (std::string& inside : list_images(path)) {
        pictures.push_back({.path = std::move(inside)});
      }
    } catch (const IoError& error) {
      pictures.push_back({.path = path, .error = error.what() + describe_class_folders(path)});
    }
  }
  return pictures;
}

void add_note(PictureResult& result, const std::string& note) {
  result.note += (result.note.empty() ? "" : "; ") + note;
}

Tensor read_digit(const Tensor& image, PictureResult& result) {
  PreparedDigit digit = prepare_digit(image);
  if (!digit.has_ink) {
    add_note(result, formatted("'{}': nothing stands out that could be a digit", result.path));
  }
  return std::move(digit.image);
}

/// A picture in the model's size; undefined if `result.error` says why not.
Tensor read_picture(const CheckpointInfo& info, bool prepares_digits, PictureResult& result) {
  if (!result.error.empty()) {
    return {};
  }
  try {
    const std::int64_t channels = prepares_digits ? 2 : info.channels;
    const Tensor image = load_image(result.path, {.channels = channels, .note = &result.note});
    result.height = image.size(0);
    result.width = image.size(1);
    return prepares_digits ? read_digit(image, result)
                           : resize_image(image, info.height, info.width, info.fit);
  } catch (const Error& error) {
    result.error = error.what();
  } catch (const std::bad_alloc&) {
    result.error = "read_image: '" + result.path + "': out of memory";
  }
  return {};
}

/// Notes where a picture is much lighter or darker than those of the training data, whose mean and
/// deviation the weights came with.
void note_if_strange(const CheckpointInfo& info, const Tensor& image, PictureResult& result) {
  constexpr double kFarthest = 2.0;  // deviations of a pixel; of a picture's mean they are many
  if (info.mean.size() != static_cast<std::size_t>(image.size(2)) ||
      info.std.size() != info.mean.size()) {
    return;
  }
  const std::vector<float> means = channel_statistics(stack({image})).mean;
  double distance = 0.0;
  for (std::size_t c = 0; c < means.size(); ++c) {
    distance += (double{means[c]} - info.mean[c]) / info.std[c] / static_cast<double>(means.size());
  }
  if (std::abs(distance) > kFarthest) {
    add_note(result,
             formatted("'{}' is much {} than what the model was trained on; it may be wrong",
                       result.path, distance > 0 ? "lighter" : "darker"));
  }
}

std::vector<RankedClass> ranked(const float* probabilities, std::int64_t classes,
                                std::int64_t top_k) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(classes));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return probabilities[a] > probabilities[b];
  });
  std::vector<RankedClass> top;
  for (std::int64_t rank = 0; rank < std::min(top_k, classes); ++rank) {
    const std::int64_t index = order[static_cast<std::size_t>(rank)];
    top.push_back({index, probabilities[index]});
  }
  return top;
}

/// Fills the results of one batch; `progress` goes on with each picture.
void classify_batch(const Classifier& classifier, std::vector<PictureResult>& results,
                    std::int64_t top_k, const ClassifyOptions& options, ReadingProgress& progress) {
  std::vector<Tensor> images(results.size());
  std::mutex mutex;
  kernels::parallel_for(static_cast<std::int64_t>(results.size()), [&](std::int64_t i) {
    const auto place = static_cast<std::size_t>(i);
    images[place] = read_picture(classifier.info, options.prepare_digits, results[place]);
    if (images[place].defined() && !options.invert) {
      note_if_strange(classifier.info, images[place], results[place]);
    }
    if (options.on_progress) {
      const std::lock_guard lock(mutex);
      ++progress.done;
      options.on_progress(progress);
    }
  });
  std::erase_if(images, [](const Tensor& image) { return !image.defined(); });
  if (images.empty()) {
    return;
  }
  const Tensor probabilities = class_probabilities(classifier, stack(images), options);
  const std::int64_t classes = probabilities.size(1);
  const auto* row = probabilities.data_as<float>();
  for (PictureResult& result : results) {
    if (result.error.empty()) {
      result.top = ranked(row, classes, top_k);
      row += classes;
    }
  }
}

/// load_image_classes finds folders that are no class; this, classes without a folder.
void require_folders(const Classifier& classifier, const std::string& dir) {
  namespace fs = std::filesystem;
  const auto has_folder = [&dir](const std::string& name) {
    std::error_code ignored;
    return fs::is_directory(fs::path(dir) / name, ignored);
  };
  if (!has_folder(".")) {
    return;
  }
  std::vector<std::string> missing = classifier.info.class_names;
  std::erase_if(missing, has_folder);
  if (missing.empty()) {
    return;
  }
  if (has_folder("train") && has_folder("test")) {
    throw IoError(formatted(
        "'{}' has the halves train and test in place of the classes of {}; name one of them: '{}'",
        dir, classifier.path, (fs::path(dir) / "test").string()));
  }
  throw IoError(formatted("'{}' has no folder for these classes of {}: {}", dir, classifier.path,
                          list_text(missing)));
}

}  // namespace

void classify_pictures(const Classifier& classifier, const std::vector<std::string>& paths,
                       std::int64_t top_k, const ClassifyOptions& options,
                       const std::function<void(const PictureResult&)>& report) {
  if (top_k < 1 || options.batch_size < 1) {
    throw Error(
        formatted("classify_pictures: top_k and batch_size must be at least 1, got {} and {}",
                  top_k, options.batch_size));
  }
  const auto batch_size = static_cast<std::size_t>(options.batch_size);
  const std::vector<PictureResult> pictures = list_pictures(paths);
  ReadingProgress progress{.done = 0, .total = static_cast<std::int64_t>(pictures.size())};
  for (std::size_t begin = 0; begin < pictures.size(); begin += batch_size) {
    const std::size_t end = std::min(begin + batch_size, pictures.size());
    std::vector<PictureResult> results(pictures.data() + begin, pictures.data() + end);
    classify_batch(classifier, results, top_k, options, progress);
    std::for_each(results.begin(), results.end(), report);
  }
}

FolderResult classify_folder(const Classifier& classifier, const std::string& dir,
                             ImageFolderOptions reading, const ClassifyOptions& options) {
  const CheckpointInfo& info = classifier.info;
  require_folders(classifier, dir);
  reading.height = info.height;
  reading.width = info.width;
  reading.fit = info.fit;
  reading.channels = info.channels;
  reading.prepare_digits = options.prepare_digits;
  const ImageDataset images = load_image_classes(dir, reading, info.class_names);
  const Tensor probabilities = class_probabilities(classifier, images.images, options);
  constexpr std::int64_t kTop = 5;
  FolderResult result{.confusion = ConfusionMatrix(images.classes()),
                      .top5_correct = count_in_top(probabilities, images.labels, kTop),
                      .skipped = images.source.skipped};
  result.confusion.add(probabilities, images.labels);
  return result;
}

}  // namespace cks::apps
