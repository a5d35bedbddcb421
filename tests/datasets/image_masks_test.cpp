#include "cks/datasets/image_masks.h"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "cks/datasets/data_loader.h"
#include "cks/datasets/images/image_write.h"
#include "tests/datasets/pictures.h"
#include "tests/support/devices.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/tensors.h"

namespace cks {
namespace {

using testing::message_of;

/// Image `i` of 6 x 8 pixels, each of whose bytes says where it is, and the mask (row + column + i)
/// mod `classes`, times `step`.
struct Folders {
  testing::ScratchFolder scratch;
  std::string images = scratch.path() + "/images";
  std::string masks = scratch.path() + "/masks";

  explicit Folders(std::int64_t count, std::int64_t classes = 3, std::int64_t step = 1) {
    std::filesystem::create_directories(images);
    std::filesystem::create_directories(masks);
    for (std::int64_t i = 0; i < count; ++i) {
      std::vector<std::uint8_t> image;
      std::vector<std::uint8_t> mask;
      for (std::int64_t h = 0; h < 6; ++h) {
        for (std::int64_t w = 0; w < 8; ++w) {
          image.push_back(static_cast<std::uint8_t>(10 * i + (h + w + i) % classes));
          mask.push_back(static_cast<std::uint8_t>((h + w + i) % classes * step));
        }
      }
      write(images, i, Tensor::from_vector(image, {6, 8, 1}));
      write(masks, i, Tensor::from_vector(mask, {6, 8, 1}));
    }
  }
  static void write(const std::string& dir, std::int64_t i, const Tensor& image) {
    write_png(dir + "/p" + std::to_string(i) + ".png", image);
  }
  TrainTest load(const ImageMasksOptions& options) const {
    return load_image_masks(images, masks, options);
  }
};

const ImageMasksOptions kThree{.class_names = {"ground", "a", "b"}, .channels = 1};

TEST_CASE("image masks: halves by seed, each pixel with its class") {
  const Folders folders(10);
  const TrainTest data = folders.load(kThree);
  CHECK(data.train.size() == 8);
  CHECK(data.test.size() == 2);
  CHECK(data.train.labels.shape() == Shape{8, 6, 8});
  CHECK(data.train.has_masks());
  for (const ImageDataset& half : {data.train, data.test}) {
    half.check();
    const auto bytes = half.images.to_vector<std::uint8_t>();
    const auto labels = half.labels.to_vector<std::int64_t>();
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      REQUIRE(labels[i] == bytes[i] % 10);
    }
  }
  CHECK(testing::doubles(folders.load(kThree).test.images) == testing::doubles(data.test.images));
}

TEST_CASE("image masks: values of classes, ignored pixels and another size") {
  const Folders folders(4, 3, 100);  // 0, 100, 200
  const TrainTest data = folders.load({.class_names = {"off", "on"},
                                       .values = {200, 0},
                                       .ignored_value = 100,
                                       .height = 3,
                                       .width = 16,
                                       .channels = 1,
                                       .test_share = 0.5});
  CHECK(data.train.ignore_index == 2);
  data.train.check();
  CHECK(data.train.images.shape() == Shape{2, 3, 16, 1});
  const auto labels = data.train.labels.to_vector<std::int64_t>();
  // Rows 1, 3, 5 of the mask, each column twice.
  const std::vector<std::int64_t> label_of{1, 2, 0};
  const std::int64_t shift = (label_of[1] == labels[0] ? 0 : label_of[2] == labels[0] ? 1 : 2);
  for (std::int64_t h = 0; h < 3; ++h) {
    for (std::int64_t w = 0; w < 16; ++w) {
      REQUIRE(labels[static_cast<std::size_t>(h * 16 + w)] ==
              label_of[static_cast<std::size_t>((2 * h + 1 + w / 2 + shift) % 3)]);
    }
  }
}

TEST_CASE("image masks: a loader moves masks with their images, on any device") {
  const Folders folders(10);
  const ImageDataset train = folders.load(kThree).train;
  ImageDataset framed = train;
  framed.ignore_index = 3;
  for (const Device device : testing::test_devices()) {
    CAPTURE(device.to_string());
    for (const auto& [turns, reflects] :
         {std::pair{false, false}, {true, false}, {false, true}, {true, true}}) {
      ImageAugmentation augment{.crop_padding = 2, .flip = true};
      if (turns) {
        augment = {.rotation = 30.0, .scale = 0.3};
      }
      augment.reflect = reflects;
      DataLoader loader(framed, {.batch_size = 4, .device = device, .augment = augment});
      DataLoader host(framed, {.batch_size = 4, .augment = augment});
      std::int64_t ignored = 0;
      for (const Batch& batch : loader.epoch(1)) {
        CHECK(batch.labels.shape() == Shape{4, 6, 8});
        const Batch same = host.make_batch(1, batch.index);
        CHECK(testing::doubles(batch.images) == testing::doubles(same.images));
        CHECK(testing::doubles(batch.labels) == testing::doubles(same.labels));
        const auto pixels = testing::doubles(batch.images);
        const auto labels = batch.labels.to_vector<std::int64_t>();
        for (std::size_t i = 0; i < pixels.size(); ++i) {
          const double byte = 255.0 * (pixels[i] * static_cast<double>(train.std[0]) +
                                       static_cast<double>(train.mean[0]));
          ignored += labels[i] == 3 ? 1 : 0;
          if (labels[i] == 3) {
            REQUIRE(pixels[i] == 0.0);
          } else if (!turns) {
            REQUIRE(labels[i] == std::llround(byte) % 10);
          }
        }
      }
      CHECK((ignored > 0) == !reflects);
    }
  }
}

TEST_CASE("image masks: what does not fit is refused with the file named") {
  const auto refused = [](const Folders& folders, const ImageMasksOptions& options = kThree) {
    return message_of<Error>([&] { folders.load(options); });
  };
  const auto contains = [](const std::string& text, const std::string& part) {
    CHECK_MESSAGE(text.find(part) != std::string::npos, text);
  };
  {
    const Folders folders(3);
    Folders::write(folders.masks, 1, Tensor::zeros({5, 8, 1}, DType::uint8));
    contains(refused(folders), "masks/p1.png is 8x5 pixels, its image 8x6");
  }
  {
    const Folders folders(3);
    Tensor mask = Tensor::zeros({6, 8, 1}, DType::uint8);
    mask.data_as<std::uint8_t>()[2 * 8 + 5] = 7;
    Folders::write(folders.masks, 2, mask);
    contains(refused(folders),
             "masks/p2.png, row 2, column 5, is 7, which is the value of no class");
  }
  {
    const Folders folders(3);
    Tensor mask = Tensor::zeros({6, 8, 3}, DType::uint8);
    mask.data_as<std::uint8_t>()[3] = 9;
    Folders::write(folders.masks, 0, mask);
    contains(refused(folders), "masks/p0.png, row 0, column 1, has the colour (9,0,0)");
  }
  {
    const Folders folders(3);
    std::filesystem::remove(folders.masks + "/p1.png");
    contains(refused(folders), "images/p1.png has no mask p1.* in ");
    Folders::write(folders.masks, 1, Tensor::zeros({6, 8, 1}, DType::uint8));
    Folders::write(folders.masks, 8, Tensor::zeros({6, 8, 1}, DType::uint8));
    contains(refused(folders), "masks/p8.png has no image p8.* in ");
  }
  {
    const Folders folders(3);
    Folders::write(folders.images, 1, Tensor::zeros({4, 4, 1}, DType::uint8));
    Folders::write(folders.masks, 1, Tensor::zeros({4, 4, 1}, DType::uint8));
    contains(refused(folders), "images/p1.png is 4x4 pixels, others 8x6");
    testing::write_file(folders.masks + "/p2.png", {1, 2, 3});
    contains(refused(folders, {.class_names = {"a", "b", "c"}, .height = 4, .width = 4}),
             "masks/p2.png");
  }
  const Folders folders(2);
  contains(refused(folders, {.class_names = {"a"}}), "class_names has 1 names, expected 2 to 256");
  contains(refused(folders, {.class_names = {"a", "b"}, .values = {1}}), "values has 1 bytes");
  contains(refused(folders, {.class_names = {"a", "b"}, .values = {1, 1}}),
           "value 1 is no byte, or stands for two classes");
  contains(refused(folders, {.class_names = {"a", "b"}, .height = 3}), "size is 3x0");
  contains(refused(folders, {.class_names = {"a", "b"}, .max_bytes = 500}),
           "take more than 500 bytes");
  contains(refused(Folders(1)), "has one image, expected at least two");
  CHECK_THROWS_AS(load_image_masks(folders.images + "/none", folders.masks, kThree), IoError);
}

}  // namespace
}  // namespace cks
