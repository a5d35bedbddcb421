#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cks/datasets/dataset.h"
#include "cks/datasets/images/image_io.h"

namespace cks {

struct ImageMasksOptions {
  std::vector<std::string> class_names;  // at least two; the first one is the background
  /// Byte of a mask that stands for each class: {0, 255} where masks are black and white. Empty: 0,
  /// 1, 2, ...
  std::vector<std::int64_t> values{};
  /// Byte of pixels that nobody has named, 255 in many datasets: ImageDataset::ignore_index, the
  /// loss's ignore_index.
  std::optional<std::int64_t> ignored_value{};
  /// Size that images and masks are resized to; both 0: the images' own, one and the same.
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 3;  // of images; 1: grey, 3: red, green, blue
  double test_share = 0.2;    // goes to the test half, at least one image and not all
  std::uint64_t seed = 1;     // of the choice
  std::int64_t max_bytes = std::int64_t{16} << 30;  // of all images and masks together
};

/// Reads images and their masks, two folders with a file of the same name but for its ending each:
/// images/a.jpg and masks/a.png.
///
/// Masks       grey pictures of the size of their image, whose bytes are the classes' values. A
///             resized one takes the nearest pixels.
/// Labels      [N,H,W], the class of each pixel. Those of ignored_value are class_names.size().
/// Order       in byte order of the images' names.
/// Throws      IoError     a folder cannot be listed or has no image, an image without a mask or a
///                         mask without an image, a broken file, a mask with colours.
///             ShapeError  a mask of another size than its image, images of different sizes without
///                         a size to make of them, more than max_bytes.
///             Error       a mask's byte that is no class's, with file, row and column; options out
///                         of their ranges. Each names the file.
TrainTest load_image_masks(const std::string& images_dir, const std::string& masks_dir,
                           const ImageMasksOptions& options);

}  // namespace cks
