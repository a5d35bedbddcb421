#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "apps/classify/classifier.h"
#include "cks/datasets/image_folder.h"
#include "cks/train/metrics.h"

namespace cks::apps {

struct RankedClass {
  std::int64_t index = 0;
  double probability = 0.0;
};

/// What a model takes one picture for.
struct PictureResult {
  std::string path{};
  std::int64_t height = 0;  // upright
  std::int64_t width = 0;
  std::vector<RankedClass> top{};  // the most probable first; of equal ones, the lower index
  std::string error{};             // why there is none; names the picture
  std::string note{};              // what is odd about it
};

/// Reads PNG, JPEG, BMP and GIF files of any size, makes of each what the model was trained on (see
/// load_image and resize_image, which may change the aspect ratio), and calls `report` for each in
/// order. A folder stands for the images in it (see list_images). A file that cannot be read, or a
/// folder without an image, costs only its own result.
///
/// Cost    options.batch_size pictures at a time are decoded on all threads, then go through the
///         model together.
/// Throws  as class_probabilities; Error if top_k < 1.
void classify_pictures(const Classifier& classifier, const std::vector<std::string>& paths,
                       std::int64_t top_k, const ClassifyOptions& options,
                       const std::function<void(const PictureResult&)>& report);

struct FolderResult {
  ConfusionMatrix confusion;
  std::int64_t top5_correct = 0;     // images whose class is among the five most probable
  std::vector<std::string> skipped;  // broken pictures that were left out
};

/// Classifies DIR/CLASS/..., one folder for each of the model's classes; see load_image_classes,
/// of whose options size, channels and preparation are the model's.
/// Throws as it does, and IoError, listing them, where classes of the model have no folder.
FolderResult classify_folder(const Classifier& classifier, const std::string& dir,
                             ImageFolderOptions reading, const ClassifyOptions& options);

}  // namespace cks::apps
