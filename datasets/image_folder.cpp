#include "cks/datasets/image_folder.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <utility>

#include "cks/core/error.h"
#include "cks/datasets/for_each_place_impl.h"
#include "cks/datasets/images/image_files_impl.h"
#include "cks/datasets/images/picture_cache_impl.h"
#include "cks/datasets/images/prepare_digit.h"
#include "cks/datasets/share_out_impl.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {

namespace {

namespace fs = std::filesystem;

constexpr const char* kOp = "load_image_folder";

void check_options(const ImageFolderOptions& options) {
  const bool own_size = options.height == 0 && options.width == 0;
  if (!own_size && (std::min(options.height, options.width) < 1 ||
                    std::max(options.height, options.width) > kMaxImageSide)) {
    throw Error(
        formatted("{}: size is {} x {}, expected sides of 1 to {}, or 0 x 0 for the images' own",
                  kOp, options.width, options.height, kMaxImageSide));
  }
  if (options.channels != 1 && options.channels != 3) {
    throw Error(formatted("{}: channels is {}, expected 1 or 3", kOp, options.channels));
  }
  if (options.prepare_digits &&
      (options.height != 28 || options.width != 28 || options.channels != 1)) {
    throw Error(
        formatted("{}: prepare_digits makes 28 x 28 pixels of one channel, not {} x {} of {}", kOp,
                  options.width, options.height, options.channels));
  }
  if (!(options.test_share > 0.0 && options.test_share < 1.0)) {
    throw Error(formatted("{}: test_share is {}, expected a number between 0 and 1", kOp,
                          options.test_share));
  }
  if (options.max_bytes < 1) {
    throw Error(formatted("{}: max_bytes is {}, expected at least 1", kOp, options.max_bytes));
  }
}

void add_warning(ImageDataset& dataset, const std::string& text) {
  std::string& warning = dataset.source.warning;
  warning += (warning.empty() ? "" : "\n") + text;
}

/// What the pixels of a picture depend on beside its file: another number where prepare_digit comes
/// to give others, or pictures kept by an earlier version would be used.
std::string describe_way(const ImageFolderOptions& options) {
  return formatted("{} x {} x {}, {}{}", options.width, options.height, options.channels,
                   options.fit, options.prepare_digits ? ", digits 2" : "");
}

/// Decodes lists of files, `total` in all, into a dataset each.
class FolderDecoder {
 public:
  FolderDecoder(const ImageFolderOptions& options, const std::string& root,
                const std::vector<std::string>& class_names, std::size_t total)
      : options_(options),
        class_names_(class_names),
        height_(options.height),
        width_(options.width),
        progress_{.done = 0, .total = static_cast<std::int64_t>(total)},
        cache_(options.cache_dir, root, describe_way(options), options.channels) {}

  /// The images of `dir`. Those of later calls have the size of the first one's.
  ImageDataset decode(const std::string& dir, const std::vector<ImageFile>& files) {
    const auto count = static_cast<std::int64_t>(files.size());
    find_size(files);
    const std::int64_t image_bytes = bytes_of_image();
    bytes_ += count * image_bytes;
    if (bytes_ > options_.max_bytes) {
      throw ShapeError(
          formatted("{}: images of {} x {} x {} need {} bytes or more, expected at most "
                    "{}; choose a smaller size",
                    kOp, width_, height_, options_.channels, bytes_, options_.max_bytes));
    }
    Tensor images = Tensor::empty({count, height_, width_, options_.channels}, DType::uint8);
    auto* pixels = images.data_as<std::uint8_t>();
    std::vector<std::string> reasons(files.size());  // why images are left out
    std::vector<KeptPicture> pictures(files.size());
    for_each_place(files.size(), [&](std::size_t i) {
      try {
        KeptPicture& picture = pictures[i] = read(files[i].path);
        std::memcpy(pixels + static_cast<std::int64_t>(i) * image_bytes,
                    std::exchange(picture.image, {}).data(), static_cast<std::size_t>(image_bytes));
      } catch (const IoError& error) {
        if (!options_.skip_broken) {
          throw;
        }
        reasons[i] = error.what();
      }
      say_read();
    });
    ImageDataset dataset;
    dataset.name = "image folder";
    dataset.class_names = class_names_;
    dataset.fit = options_.fit;
    dataset.source.path = dir;
    keep_whole(files, reasons, images, dataset);
    std::erase_if(pictures, [](const KeptPicture& picture) { return picture.path.empty(); });
    cache_.add(dataset.images, pictures);
    std::erase_if(pictures, [](const KeptPicture& picture) { return picture.note.empty(); });
    if (!pictures.empty()) {
      add_warning(dataset,
                  formatted("{} of {} images are not quite whole and were read; the first: {}",
                            pictures.size(), dataset.size(), pictures.front().note));
    }
    return dataset;
  }

  /// Keeps all that was decoded for the next call; a warning says why it cannot.
  void keep(ImageDataset& dataset) {
    if (const std::string why = cache_.store(options_.max_cache_bytes); !why.empty()) {
      add_warning(dataset,
                  formatted("the decoded images cannot be kept for the next time: {}", why));
    }
  }

 private:
  void say_read() {
    if (options_.on_progress) {
      const std::lock_guard lock(progress_mutex_);
      ++progress_.done;
      options_.on_progress(progress_);
    }
  }

  /// From the cache or the file.
  KeptPicture read(const std::string& path) const {
    KeptPicture picture{.path = path, .stamp = stamp_of(path), .note = {}, .image = {}};
    const KeptPicture* const kept = cache_.find(path, picture.stamp);
    if (kept != nullptr &&
        (height_ == 0 || (kept->image.size(0) == height_ && kept->image.size(1) == width_))) {
      return *kept;
    }
    picture.image = decode_file(path, picture.note);
    return picture;
  }

  Tensor decode_file(const std::string& path, std::string& note) const {
    if (!is_readable_format(path)) {
      throw IoError(formatted(
          "read_image: '{}' is of a format that is not read, expected PNG, JPEG, BMP or GIF",
          path));
    }
    if (options_.prepare_digits) {
      return prepare_digit(load_image(path, {.channels = 2, .note = &note})).image;
    }
    Tensor image = load_image(path, {.channels = options_.channels, .note = &note});
    if (height_ == 0 || (image.size(0) == height_ && image.size(1) == width_)) {
      return image;
    }
    if (options_.height == 0) {
      throw ShapeError(
          formatted("{}: '{}' has {} x {} pixels, but '{}' has {} x {}; give a width "
                    "and a height to resize all images to",
                    kOp, path, image.size(1), image.size(0), size_from_, width_, height_));
    }
    return resize_image(image, height_, width_, options_.fit);
  }

  std::int64_t bytes_of_image() const { return height_ * width_ * options_.channels; }

  /// Takes the size of the first image that can be read, where none is given.
  void find_size(const std::vector<ImageFile>& files) {
    for (std::size_t i = 0; i < files.size() && height_ == 0; ++i) {
      try {
        const Tensor image = read(files[i].path).image;
        height_ = image.size(0);
        width_ = image.size(1);
        size_from_ = files[i].path;
      } catch (const IoError&) {
        if (!options_.skip_broken) {
          throw;
        }
      }
    }
    if (height_ == 0) {
      throw IoError(formatted("{}: none of {} images can be read, '{}' the first", kOp,
                              files.size(), files.front().path));
    }
  }

  /// Moves the images that were read together, and names the others.
  void keep_whole(const std::vector<ImageFile>& files, const std::vector<std::string>& reasons,
                  Tensor images, ImageDataset& dataset) const {
    std::vector<std::int64_t> labels;
    auto* pixels = images.data_as<std::uint8_t>();
    const std::int64_t image_bytes = bytes_of_image();
    for (std::size_t i = 0; i < files.size(); ++i) {
      if (!reasons[i].empty()) {
        dataset.source.skipped.push_back(reasons[i]);
        continue;
      }
      const auto place = static_cast<std::int64_t>(labels.size());
      if (place != static_cast<std::int64_t>(i)) {
        std::memcpy(pixels + place * image_bytes,
                    pixels + static_cast<std::int64_t>(i) * image_bytes,
                    static_cast<std::size_t>(image_bytes));
      }
      labels.push_back(files[i].label);
    }
    const std::vector<std::string>& skipped = dataset.source.skipped;
    if (labels.empty()) {
      throw IoError(formatted("{}: none of {} images can be read; the first: {}", kOp, files.size(),
                              skipped.front()));
    }
    const auto kept = static_cast<std::int64_t>(labels.size());
    dataset.images = images.slice(0, kept);
    dataset.labels = Tensor::from_vector(labels, {kept});
    if (!skipped.empty()) {
      add_warning(dataset, formatted("{} of {} images are broken and were left out; the first: {}",
                                     skipped.size(), files.size(), skipped.front()));
    }
  }

  ImageFolderOptions options_;
  const std::vector<std::string>& class_names_;
  std::int64_t height_;
  std::int64_t width_;
  std::string size_from_;
  std::int64_t bytes_ = 0;
  ReadingProgress progress_;
  std::mutex progress_mutex_;
  PictureCache cache_;
};

/// Throws IoError for a class that lost all of its images.
void require_every_class(const ImageDataset& train) {
  if (const auto missing = train.classes_without_images(); !missing.empty()) {
    throw IoError(formatted("{}: '{}': no training image of class {} can be read", kOp,
                            train.source.path, missing.front()));
  }
}

/// Folders DIR/Train/CLASS or DIR/DIR/CLASS would train to tell the wrong things apart.
void warn_of_depth(const ImageClasses& classes, TrainTest& data) {
  if (!classes.all_inside) {
    return;
  }
  for (ImageDataset* half : {&data.train, &data.test}) {
    add_warning(*half,
                formatted("every image lies in a folder inside its class ({}); if those "
                          "folders are the classes, give the folder that holds them, or name "
                          "the halves train and test",
                          joined(classes.names)));
  }
}

/// Cuts each class by a random order of its own.
std::pair<std::vector<ImageFile>, std::vector<ImageFile>> split_classes(
    const ImageClasses& classes, const ImageFolderOptions& options) {
  std::pair<std::vector<ImageFile>, std::vector<ImageFile>> halves;
  for (auto begin = classes.files.begin(); begin != classes.files.end();) {
    const auto end = std::find_if(begin, classes.files.end(), [&](const ImageFile& file) {
      return file.label != begin->label;
    });
    const std::string& name = classes.names[static_cast<std::size_t>(begin->label)];
    share_out<ImageFile>({begin, end}, options.test_share,
                         make_random_key(options.seed, RandomPurpose::data, "image_folder." + name),
                         halves.first, halves.second);
    begin = end;
  }
  if (halves.second.empty()) {
    throw IoError(
        formatted("{}: '{}' has one image a class, expected at least two in one class, as "
                  "one goes to the test half",
                  kOp, classes.dir));
  }
  return halves;
}

/// The folder of the validation half; empty if there is none.
fs::path validation_folder(const fs::path& root) {
  for (const char* name : {"val", "valid", "validation"}) {
    std::error_code ignored;
    if (fs::is_directory(root / name, ignored)) {
      return root / name;
    }
  }
  return {};
}

}  // namespace

TrainTest load_image_folder(const std::string& dir, const ImageFolderOptions& options) {
  check_options(options);
  const fs::path root = fs::absolute(dir).lexically_normal();
  std::error_code ignored;
  const bool has_halves = fs::is_directory(root / "train", ignored);
  if (has_halves && !fs::is_directory(root / "test", ignored)) {
    const std::string val = validation_folder(root).filename().string();
    throw IoError(formatted(
        "{}: '{}' has a folder train, but no folder test beside it{}", kOp, root.string(),
        val.empty() ? "" : formatted("; its folder {} would be used under the name test", val)));
  }
  const ImageClasses classes =
      list_image_classes((has_halves ? root / "train" : root).string(), {});
  const auto [train_files, test_files] =
      has_halves ? std::pair(classes.files,
                             list_image_classes((root / "test").string(), classes.names).files)
                 : split_classes(classes, options);
  const fs::path val = has_halves ? validation_folder(root) : fs::path();
  std::vector<ImageFile> val_files;
  if (!val.empty()) {
    val_files = list_image_classes(val.string(), classes.names).files;
  }
  FolderDecoder decoder(options, root.string(), classes.names,
                        train_files.size() + test_files.size() + val_files.size());
  TrainTest data;
  data.train = decoder.decode(root.string(), train_files);
  require_every_class(data.train);
  data.test = decoder.decode(root.string(), test_files);
  if (!val.empty()) {
    data.val = decoder.decode(val.string(), val_files);
  }
  decoder.keep(data.train);
  warn_of_depth(classes, data);
  if (!has_halves) {
    data.train.source.split = data.test.source.split =
        formatted("cut by seed, {:g} % for testing", 100.0 * options.test_share);
  } else if (const auto untested = data.test.classes_without_images(); !untested.empty()) {
    add_warning(data.test, "no image of classes of the training half: " + joined(untested));
  }
  set_statistics(data);
  return data;
}

ImageDataset load_image_classes(const std::string& dir, const ImageFolderOptions& options,
                                const std::vector<std::string>& class_names) {
  check_options(options);
  const ImageClasses classes =
      list_image_classes(fs::absolute(dir).lexically_normal().string(), class_names);
  FolderDecoder decoder(options, classes.dir, classes.names, classes.files.size());
  ImageDataset dataset = decoder.decode(classes.dir, classes.files);
  decoder.keep(dataset);
  ChannelStatistics statistics = channel_statistics(dataset.images);
  dataset.mean = std::move(statistics.mean);
  dataset.std = std::move(statistics.std);
  return dataset;
}

}  // namespace cks
