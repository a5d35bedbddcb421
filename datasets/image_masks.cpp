#include "cks/datasets/image_masks.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <numeric>

#include "cks/core/error.h"
#include "cks/datasets/for_each_place_impl.h"
#include "cks/datasets/image_folder.h"
#include "cks/datasets/share_out_impl.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {
namespace {

constexpr const char* kOp = "load_image_masks";

struct Pair {
  std::string image, mask;  // paths
};

/// Paths of a folder's images by their names without ending.
std::map<std::string, std::string> by_stem(const std::string& dir) {
  std::map<std::string, std::string> paths;
  for (const std::string& path : list_images(dir)) {
    const auto [other, is_new] = paths.emplace(std::filesystem::path(path).stem().string(), path);
    if (!is_new) {
      throw IoError(
          formatted("{}: {} and {} differ in their endings alone", kOp, other->second, path));
    }
  }
  return paths;
}

std::vector<Pair> list_pairs(const std::string& images_dir, const std::string& masks_dir) {
  const auto images = by_stem(images_dir);
  const auto masks = by_stem(masks_dir);
  std::vector<Pair> pairs;
  for (const auto& [stem, path] : images) {
    const auto mask = masks.find(stem);
    if (mask == masks.end()) {
      throw IoError(formatted("{}: {} has no mask {}.* in {}", kOp, path, stem, masks_dir));
    }
    pairs.push_back({path, mask->second});
  }
  for (const auto& [stem, path] : masks) {
    if (!images.contains(stem)) {
      throw IoError(formatted("{}: mask {} has no image {}.* in {}", kOp, path, stem, images_dir));
    }
  }
  return pairs;
}

/// The label of each byte, -1 for those that are no class's.
std::vector<std::int64_t> labels_of_bytes(const ImageMasksOptions& options) {
  const std::size_t classes = options.class_names.size();
  const auto require = [](bool holds, const std::string& message) {
    if (!holds) {
      throw Error(formatted("{}: {}", kOp, message));
    }
  };
  require(classes >= 2 && classes <= 256,
          formatted("class_names has {} names, expected 2 to 256", classes));
  require(options.values.empty() || options.values.size() == classes,
          formatted("values has {} bytes, expected one for each of {} classes",
                    options.values.size(), classes));
  require(options.test_share > 0.0 && options.test_share < 1.0,
          formatted("test_share is {}, expected a number between 0 and 1", options.test_share));
  require((options.height == 0) == (options.width == 0) && options.height >= 0 &&
              options.width >= 0 && options.height <= kMaxImageSide &&
              options.width <= kMaxImageSide,
          formatted("size is {}x{}, expected 0x0 or sides of 1 to {}", options.height,
                    options.width, kMaxImageSide));
  require(options.channels == 1 || options.channels == 3,
          formatted("channels is {}, expected 1 or 3", options.channels));
  std::vector<std::int64_t> labels(256, -1);
  const auto assign = [&](std::int64_t byte, std::size_t label) {
    require(byte >= 0 && byte <= 255 && labels[static_cast<std::size_t>(byte)] < 0,
            formatted("value {} is no byte, or stands for two classes", byte));
    labels[static_cast<std::size_t>(byte)] = static_cast<std::int64_t>(label);
  };
  for (std::size_t i = 0; i < classes; ++i) {
    assign(options.values.empty() ? static_cast<std::int64_t>(i) : options.values[i], i);
  }
  if (options.ignored_value) {
    assign(*options.ignored_value, classes);
  }
  return labels;
}

/// Writes the labels of a mask's pixels, the nearest ones of a grid of height x width.
void read_mask(const std::string& path, const Shape& image,
               const std::vector<std::int64_t>& label_of, std::int64_t height, std::int64_t width,
               std::int64_t* labels) {
  const Tensor mask = load_image(path, {.channels = 3});
  const std::int64_t rows = mask.size(0);
  const std::int64_t columns = mask.size(1);
  if (rows != image[0] || columns != image[1]) {
    throw ShapeError(formatted("{}: mask {} is {}x{} pixels, its image {}x{}", kOp, path, columns,
                               rows, image[1], image[0]));
  }
  const auto* bytes = mask.data_as<std::uint8_t>();
  for (std::int64_t i = 0; i < rows * columns; ++i) {
    const std::uint8_t* pixel = bytes + 3 * i;
    if (pixel[0] != pixel[1] || pixel[0] != pixel[2]) {
      throw IoError(formatted(
          "{}: mask {}, row {}, column {}, has the colour ({},{},{}), expected grey: each pixel "
          "the number of its class",
          kOp, path, i / columns, i % columns, pixel[0], pixel[1], pixel[2]));
    }
    if (label_of[pixel[0]] < 0) {
      throw Error(formatted("{}: mask {}, row {}, column {}, is {}, which is the value of no class",
                            kOp, path, i / columns, i % columns, pixel[0]));
    }
  }
  for (std::int64_t h = 0; h < height; ++h) {
    for (std::int64_t w = 0; w < width; ++w) {
      const std::int64_t row = (2 * h + 1) * rows / (2 * height);
      const std::int64_t column = (2 * w + 1) * columns / (2 * width);
      labels[h * width + w] = label_of[bytes[3 * (row * columns + column)]];
    }
  }
}

ImageDataset read_pairs(const std::vector<Pair>& pairs, const std::vector<std::int64_t>& label_of,
                        const ImageMasksOptions& options) {
  Shape size({options.height, options.width, options.channels});
  if (options.height == 0) {
    size = load_image(pairs[0].image, {.channels = options.channels}).shape();
  }
  const auto count = static_cast<std::int64_t>(pairs.size());
  const std::int64_t pixels = size[0] * size[1];
  const std::int64_t bytes_of_one =
      size.numel() + pixels * static_cast<std::int64_t>(sizeof(std::int64_t));
  if (count > options.max_bytes / bytes_of_one) {
    throw ShapeError(formatted("{}: {} images of {} and their masks take more than {} bytes", kOp,
                               count, size, options.max_bytes));
  }
  ImageDataset data;
  data.name = "image masks";
  data.class_names = options.class_names;
  if (options.ignored_value) {
    data.ignore_index = static_cast<std::int64_t>(options.class_names.size());
  }
  data.images = Tensor::empty({count, size[0], size[1], size[2]}, DType::uint8);
  data.labels = Tensor::empty({count, size[0], size[1]}, DType::int64);
  auto* images = data.images.data_as<std::uint8_t>();
  auto* labels = data.labels.data_as<std::int64_t>();
  for_each_place(pairs.size(), [&](std::size_t i) {
    const auto place = static_cast<std::int64_t>(i);
    Tensor image = load_image(pairs[i].image, {.channels = options.channels});
    read_mask(pairs[i].mask, image.shape(), label_of, size[0], size[1], labels + place * pixels);
    if (options.height > 0) {
      image = resize_image(image, size[0], size[1]);
    } else if (image.shape() != size) {
      throw ShapeError(
          formatted("{}: {} is {}x{} pixels, others {}x{}; give a size to make of them", kOp,
                    pairs[i].image, image.size(1), image.size(0), size[1], size[0]));
    }
    std::copy_n(image.data_as<std::uint8_t>(), size.numel(), images + place * size.numel());
  });
  return data;
}

}  // namespace

TrainTest load_image_masks(const std::string& images_dir, const std::string& masks_dir,
                           const ImageMasksOptions& options) {
  const std::vector<std::int64_t> label_of = labels_of_bytes(options);
  const std::vector<Pair> pairs = list_pairs(images_dir, masks_dir);
  if (pairs.size() < 2) {
    throw IoError(
        formatted("{}: {} has one image, expected at least two, as one goes to the test half", kOp,
                  images_dir));
  }
  ImageDataset all = read_pairs(pairs, label_of, options);
  std::vector<std::int64_t> places(pairs.size());
  std::iota(places.begin(), places.end(), std::int64_t{0});
  std::vector<std::int64_t> trained;
  std::vector<std::int64_t> tested;
  share_out<std::int64_t>(places, options.test_share,
                          make_random_key(options.seed, RandomPurpose::data, kOp), trained, tested);
  all.source.path = std::filesystem::absolute(images_dir).lexically_normal().string();
  all.source.split = formatted("cut by seed, {:g} % for testing", 100.0 * options.test_share);
  TrainTest data{all.select(trained), all.select(tested)};
  set_statistics(data);
  return data;
}

}  // namespace cks
