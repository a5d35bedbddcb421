#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cks/datasets/dataset.h"
#include "cks/datasets/images/image_io.h"

namespace cks {

/// How many pictures of all halves were read, and how many there are.
struct ReadingProgress {
  std::int64_t done = 0;
  std::int64_t total = 0;
};

struct ImageFolderOptions {
  /// Size that every image is resized to; both 0: the images' own, which must then be one and the
  /// same.
  std::int64_t height = 0;
  std::int64_t width = 0;
  ImageFit fit = ImageFit::stretch;  // how a picture of another aspect ratio is resized
  std::int64_t channels = 3;         // 1: grey, 3: red, green, blue
  /// Prepares each as a digit of MNIST (see prepare_digit); needs 28 x 28 and one channel.
  bool prepare_digits = false;
  /// Leaves out files that cannot be read instead of throwing; DataSource::skipped names them.
  bool skip_broken = false;
  /// Of each class, where the folder has no halves of its own: goes to the test half.
  double test_share = 0.2;
  std::uint64_t seed = 1;  // of the choice
  /// Bytes of all decoded images together.
  std::int64_t max_bytes = std::int64_t{16} << 30;
  /// Folder that keeps decoded images from one call to the next, for images whose path, size and
  /// times are the same and with the same options; a damaged file in it is made anew. Empty: none
  /// are kept. Images of more than `max_cache_bytes` are not kept either, and what was used longest
  /// ago is removed to make room.
  std::string cache_dir{};
  std::int64_t max_cache_bytes = std::int64_t{2} << 30;
  /// Called while images are read, on any thread, by one at a time.
  std::function<void(const ReadingProgress&)> on_progress{};
};

/// Reads a folder of PNG, JPEG, BMP and GIF images, one folder a class, as two halves, or three.
///
/// Layout      DIR/train/CLASS/... and DIR/test/CLASS/..., or DIR/CLASS/... cut by seed: of each
///             class round(test_share * count) images, at least one and not all, go to the test
///             half (a class of one image stays in the training half). Which ones depends on the
///             seed and on that class alone. Every class of the test half must be one of the
///             training half. DIR/val (or valid, validation) beside train and test is the
///             validation half, likewise.
/// Classes     the folders' names in byte order; images in byte order of their paths within the
///             class, folders inside included. So neither the file system nor the number of threads
///             changes the result.
/// Files       .png, .jpg, .jpeg, .bmp and .gif, also in capitals. Files and folders whose names
///             begin with a dot, folders __MACOSX, links to folders inside a class, and files of
///             other kinds are passed over; images of other formats (.webp, ...) count as broken.
///             See load_image() for what is checked and how pixels are converted, resize_image()
///             and ImageFit for the resizing.
/// Warning     of a half (DataSource::warning), where an image lacks its end mark; of both, where
///             no class has an image of its own beside the folders inside it: then these may be
///             the classes; of the test half, where it has no image of some classes; of the
///             training half, where cache_dir cannot be written.
/// Cost        each file is decoded once, on all threads.
/// Throws      IoError     no such folder, no class, a class whose name is not UTF-8 or without an
///                         training image (that is left, with skip_broken), a half without, a
///                         broken image (the first in order, unless skip_broken), or none left.
///             ShapeError  images of different sizes without a size to make of them, or more than
///                         max_bytes.
///             Error       options outside of their ranges.
TrainTest load_image_folder(const std::string& dir, const ImageFolderOptions& options = {});

/// Reads DIR/CLASS/... as one dataset, normalised by its own statistics, to evaluate a model on.
/// With `class_names` these are the classes, and another folder is an IoError. test_share and seed
/// are not used. Throws as above.
ImageDataset load_image_classes(const std::string& dir, const ImageFolderOptions& options = {},
                                const std::vector<std::string>& class_names = {});

/// Paths of the images that lie in a folder itself, in byte order; those of formats that are not
/// read are among them (see Files above).
/// Throws  IoError  the folder cannot be listed, or has no image.
std::vector<std::string> list_images(const std::string& dir);

}  // namespace cks
