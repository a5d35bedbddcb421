#include "cks/datasets/image_folder.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "cks/core/error.h"
#include "cks/datasets/images/image_io.h"
#include "tests/datasets/pictures.h"
#include "tests/support/threads.h"

using cks::ImageDataset;
using cks::load_image_classes;
using cks::load_image_folder;
using cks::Shape;
using namespace cks::testing;

namespace {

/// Pictures of one grey level each, so that an image tells which file it came from.
Bytes flat_png(std::uint8_t level, std::uint32_t height = 4, std::uint32_t width = 5) {
  return png(height, width, PngColour::rgb, Bytes(std::size_t{height} * width * 3, level));
}

/// Level and label of each image.
std::vector<std::pair<int, std::int64_t>> contents(const ImageDataset& dataset) {
  const std::vector<std::int64_t> labels = dataset.labels.to_vector<std::int64_t>();
  std::vector<std::pair<int, std::int64_t>> all;
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    all.emplace_back(dataset.images.slice(i, i + 1).to_vector<std::uint8_t>().front(),
                     labels[static_cast<std::size_t>(i)]);
  }
  return all;
}

/// DIR/train/{bird,cat,Dog} and DIR/test/{bird,cat}.
void write_halves(const TemporaryFolder& folder) {
  write_file(folder.file("train/bird/2.png"), flat_png(12));
  write_file(folder.file("train/bird/10.PNG"), flat_png(11));
  write_file(folder.file("train/bird/more/1.png"), flat_png(13));
  write_file(folder.file("train/cat/a.jpeg"), flat_png(20));
  write_file(folder.file("train/Dog/a.jpg"), flat_png(30));
  write_file(folder.file("test/cat/x.png"), flat_png(120));
  write_file(folder.file("test/bird/x.png"), flat_png(110));
}

/// DIR/{a,b,c} with 10, 5 and 1 pictures.
void write_classes(const TemporaryFolder& folder) {
  int level = 0;
  for (const auto& [name, count] : {std::pair{"a", 10}, {"b", 5}, {"c", 1}}) {
    for (int i = 0; i < count; ++i) {
      std::string path = folder.file(name);
      path.append("/").append(std::to_string(i)).append(".png");
      write_file(path, flat_png(static_cast<std::uint8_t>(level++)));
    }
  }
}

}  // namespace

TEST_CASE("image folder: two halves, classes and images in byte order") {
  const TemporaryFolder folder;
  write_halves(folder);
  // None of these is an image.
  write_file(folder.file("train/bird/notes.txt"), {1});
  write_file(folder.file("train/bird/._2.png"), {1});
  write_file(folder.file("train/.hidden/1.png"), {1});
  // Copies that tools keep beside the images: one in the training half of a test image would leak.
  write_file(folder.file("train/bird/.ipynb_checkpoints/x.png"), flat_png(110));
  write_file(folder.file("train/bird/more/.thumbnails/large/1.png"), flat_png(13));
  write_file(folder.file("train/list.csv"), {1});
  const cks::TrainTest data = load_image_folder(folder.path());
  CHECK(data.train.class_names == std::vector<std::string>{"Dog", "bird", "cat"});
  CHECK(data.test.class_names == data.train.class_names);
  CHECK(contents(data.train) ==
        std::vector<std::pair<int, std::int64_t>>{{30, 0}, {11, 1}, {12, 1}, {13, 1}, {20, 2}});
  CHECK(contents(data.test) == std::vector<std::pair<int, std::int64_t>>{{110, 1}, {120, 2}});
  CHECK_FALSE(data.val);
  CHECK(data.train.images.shape() == Shape{5, 4, 5, 3});
  CHECK(data.test.mean == cks::channel_statistics(data.train.images).mean);
  CHECK(data.train.source.path == folder.path());
  CHECK(data.train.source.skipped.empty());
  CHECK(data.train.source.split.empty());
  CHECK(data.train.source.warning.empty());
  CHECK(data.test.source.warning == "no image of classes of the training half: Dog");
  // An empty folder is as none, in the halves that nothing is learnt from.
  std::filesystem::create_directories(folder.file("test/Dog"));
  write_file(folder.file("val/cat/1.png"), flat_png(1));
  std::filesystem::create_directories(folder.file("val/bird"));
  const cks::TrainTest with_empty = load_image_folder(folder.path());
  CHECK(contents(with_empty.test) == contents(data.test));
  CHECK(with_empty.test.source.warning == data.test.source.warning);
  REQUIRE(with_empty.val);
  CHECK(with_empty.val->classes_without_images() == std::vector<std::string>{"Dog", "bird"});
  data.train.check();
  data.test.check();
}

TEST_CASE("image folder: halves of another name, or one folder too many, are warned of") {
  const TemporaryFolder folder;
  for (const char* name :
       {"Train/cat/1.png", "Train/dog/1.png", "Test/cat/1.png", "Test/dog/1.png"}) {
    write_file(folder.file(name), flat_png(1));
  }
  cks::TrainTest data = load_image_folder(folder.path());
  CHECK(contains(data.train.source.warning, "a folder inside its class (Test, Train); if"));
  CHECK(data.test.source.warning == data.train.source.warning);
  write_file(folder.file("Test/1.png"), flat_png(1));
  data = load_image_folder(folder.path());
  CHECK(data.train.source.warning.empty());
  CHECK(data.test.source.warning.empty());
}

TEST_CASE("image folder: one folder of classes is cut by seed, each class alike") {
  const TemporaryFolder folder;
  write_classes(folder);
  const cks::TrainTest data = load_image_folder(folder.path(), {.test_share = 0.3, .seed = 4});
  const auto count = [](const ImageDataset& half, std::int64_t label) {
    const std::vector<std::int64_t> labels = half.labels.to_vector<std::int64_t>();
    return std::count(labels.begin(), labels.end(), label);
  };
  CHECK(cks::describe("pictures", data.test.source) ==
        "pictures, " + folder.path() + ", cut by seed, 30 % for testing");
  CHECK(cks::describe("pictures", data.train.source) ==
        cks::describe("pictures", data.test.source));
  CHECK(count(data.train, 0) == 7);
  CHECK(count(data.test, 0) == 3);
  CHECK(count(data.train, 1) == 3);  // round(1.5) go to the test half
  CHECK(count(data.test, 1) == 2);
  CHECK(count(data.train, 2) == 1);
  CHECK(count(data.test, 2) == 0);
  // Together they are all images, each once.
  std::set<int> levels;
  for (const ImageDataset& half : {data.train, data.test}) {
    for (const auto& [level, label] : contents(half)) {
      CHECK(label == (level < 10 ? 0 : level < 15 ? 1 : 2));
      levels.insert(level);
    }
  }
  CHECK(levels.size() == 16);
  // The same seed cuts alike, others differently; a new class leaves the others' cut as it was.
  const auto tests_of = [&](std::uint64_t seed) {
    return contents(load_image_folder(folder.path(), {.test_share = 0.3, .seed = seed}).test);
  };
  CHECK(tests_of(4) == contents(data.test));
  CHECK((tests_of(5) != tests_of(4) || tests_of(6) != tests_of(4)));
  write_file(folder.file("d/0.png"), flat_png(99));
  CHECK(tests_of(4) == contents(data.test));
}

TEST_CASE("image folder: every image is decoded and resized, for any number of threads") {
  const TemporaryFolder folder;
  for (int i = 0; i < 9; ++i) {
    const cks::Tensor image =
        noise_image(8 + i, 20 - i, i % 2 == 0 ? 3 : 1, static_cast<std::uint64_t>(i));
    write_file(folder.file("a/" + std::to_string(i) + ".png"), png(image));
  }
  const cks::ImageFolderOptions options{.height = 6, .width = 9, .channels = 1};
  for (const int threads : {1, 3}) {
    const ThreadCount scope(threads);
    const ImageDataset all = load_image_classes(folder.path(), options);
    CHECK(all.images.shape() == Shape{9, 6, 9, 1});
    for (std::int64_t i = 0; i < 9; ++i) {
      const cks::Tensor alone = resize_image(
          cks::load_image(folder.file("a/" + std::to_string(i) + ".png"), {.channels = 1}), 6, 9);
      CHECK(all.images.slice(i, i + 1).to_vector<std::uint8_t>() ==
            alone.to_vector<std::uint8_t>());
    }
  }
}

TEST_CASE("image folder: images of different sizes need a size") {
  const TemporaryFolder folder;
  write_file(folder.file("a/1.png"), flat_png(1));
  write_file(folder.file("a/2.png"), flat_png(2, 4, 6));
  write_file(folder.file("a/3.png"), flat_png(3, 9, 9));
  for (const bool skip : {false, true}) {
    try {
      load_image_classes(folder.path(), {.skip_broken = skip});
      FAIL("no error");
    } catch (const cks::ShapeError& error) {
      const std::string message = error.what();
      CHECK(contains(message, folder.file("a/2.png") + "' has 6 x 4 pixels"));
      CHECK(contains(message, folder.file("a/1.png") + "' has 5 x 4"));
    }
  }
  CHECK(load_image_classes(folder.path(), {.height = 3, .width = 3}).size() == 3);
}

TEST_CASE("image folder: the first broken image is an error, or all are left out and named") {
  const TemporaryFolder folder;
  write_classes(folder);
  write_file(folder.file("a/0.png"), {1, 2, 3});
  write_file(folder.file("a/4.png"), cut(flat_png(4), 60));
  write_file(folder.file("b/x.webp"), flat_png(200));
  for (const int threads : {1, 4}) {
    const ThreadCount scope(threads);
    const std::string message = io_error([&] { load_image_classes(folder.path()); });
    CHECK(contains(message, folder.file("a/0.png") + "' at byte 0: neither"));
  }
  const ImageDataset data = load_image_classes(folder.path(), {.skip_broken = true});
  CHECK(data.size() == 14);
  REQUIRE(data.source.skipped.size() == 3);
  CHECK(contains(data.source.warning, "3 of 17 images are broken and were left out; the first: "));
  CHECK(contains(data.source.warning, folder.file("a/0.png")));
  CHECK(contains(data.source.skipped[0], folder.file("a/0.png")));
  CHECK(contains(data.source.skipped[1], folder.file("a/4.png") + "' at byte 60"));
  CHECK(contains(data.source.skipped[2], folder.file("b/x.webp") + "' is of a format"));
  for (const auto& [level, label] : contents(data)) {
    CHECK(label == (level < 10 ? 0 : level < 15 ? 1 : 2));
  }
  data.check();
}

TEST_CASE("image folder: a class of which no image is left cannot be learnt") {
  const TemporaryFolder folder;
  write_classes(folder);
  write_file(folder.file("d/1.png"), {1});
  write_file(folder.file("d/2.png"), {2});
  CHECK(contains(io_error([&] { load_image_folder(folder.path(), {.skip_broken = true}); }),
                 "'" + folder.path() + "': no training image of class d can be read"));
}

TEST_CASE("image folder: no image can be read") {
  const TemporaryFolder folder;
  write_file(folder.file("a/1.png"), {1});
  write_file(folder.file("a/2.png"), {2});
  CHECK(contains(io_error([&] { load_image_classes(folder.path(), {.skip_broken = true}); }),
                 "none of 2 images can be read"));
  CHECK(contains(io_error([&] {
                   load_image_classes(folder.path(),
                                      {.height = 4, .width = 4, .skip_broken = true});
                 }),
                 "none of 2 images can be read"));
}

TEST_CASE("image folder: layouts that are none") {
  const TemporaryFolder folder;
  const auto error = [&] { return io_error([&] { load_image_folder(folder.path()); }); };
  CHECK(contains(io_error([&] { load_image_folder(folder.file("none")); }), "is no folder"));
  CHECK(contains(error(), "has no folder, expected one for each class"));
  write_file(folder.file("a/1.png"), flat_png(1));
  CHECK(contains(error(), "has one image a class"));
  const std::string latin = folder.file("caf\xe9");
  write_file(latin + "/1.png", flat_png(1));
  CHECK(contains(error(), latin + "' has a name that is not UTF-8"));
  std::filesystem::remove_all(latin);
  std::filesystem::create_directories(folder.file("b"));
  CHECK(contains(error(), folder.file("b") + "' has no image"));
  write_file(folder.file("train/a/1.png"), flat_png(1));
  CHECK(error().ends_with("has a folder train, but no folder test beside it"));
  write_file(folder.file("valid/a/1.png"), flat_png(1));
  CHECK(contains(error(), "; its folder valid would be used under the name test"));
  write_file(folder.file("test/a/1.png"), flat_png(3));
  const cks::TrainTest three = load_image_folder(folder.path());
  REQUIRE(three.val);
  CHECK(contents(*three.val) == std::vector<std::pair<int, std::int64_t>>{{1, 0}});
  CHECK(contents(three.test) == std::vector<std::pair<int, std::int64_t>>{{3, 0}});
  CHECK(three.val->mean == three.train.mean);
  std::filesystem::remove(folder.file("test/a/1.png"));
  CHECK(contains(error(), folder.file("test") + "' has no image"));
  write_file(folder.file("test/a/1.png"), flat_png(3));
  write_file(folder.file("valid/z/1.png"), flat_png(1));
  CHECK(contains(error(), "z"));
  write_file(folder.file("test/z/1.png"), flat_png(1));
  CHECK(contains(error(), "has a folder 'z', expected only the classes a"));
}

TEST_CASE("image folder: a model's classes to evaluate on") {
  const TemporaryFolder folder;
  write_file(folder.file("cat/1.png"), flat_png(1));
  const std::vector<std::string> names{"dog", "cat", "bird"};
  const ImageDataset data = load_image_classes(folder.path(), {}, names);
  CHECK(data.class_names == names);
  CHECK(contents(data) == std::vector<std::pair<int, std::int64_t>>{{1, 1}});
  data.check();
}

TEST_CASE("list_images: those of a folder itself, in byte order") {
  const TemporaryFolder folder;
  write_file(folder.file("b.JPG"), {});
  write_file(folder.file("a10.png"), {});
  write_file(folder.file("a9.gif"), {});
  write_file(folder.file(".a.png"), {});
  write_file(folder.file("a.txt"), {});
  write_file(folder.file("inside/a.png"), {});
  std::filesystem::create_directories(folder.file("folder.png"));
  CHECK(cks::list_images(folder.path()) == std::vector<std::string>{folder.file("a10.png"),
                                                                    folder.file("a9.gif"),
                                                                    folder.file("b.JPG")});
  CHECK(io_error([&] { cks::list_images(folder.file("folder.png")); }) ==
        "list_images: '" + folder.file("folder.png") +
            "' has no image (.png, .jpg, .jpeg, .bmp or .gif) of its own; folders inside it are "
            "not entered");
  CHECK(contains(io_error([&] { cks::list_images(folder.file("none")); }),
                 "list_images: '" + folder.file("none") + "' cannot be listed: "));
}

TEST_CASE("image folder: options and limits") {
  const TemporaryFolder folder;
  write_classes(folder);
  const auto load = [&](cks::ImageFolderOptions options) {
    load_image_folder(folder.path(), options);
  };
  CHECK_THROWS_AS(load({.height = 3}), cks::Error);
  CHECK_THROWS_AS(load({.height = -1, .width = 3}), cks::Error);
  CHECK_THROWS_AS(load({.height = 16385, .width = 3}), cks::Error);
  CHECK_THROWS_AS(load({.channels = 4}), cks::Error);
  CHECK_THROWS_AS(load({.test_share = 0.0}), cks::Error);
  CHECK_THROWS_AS(load({.test_share = 1.0}), cks::Error);
  CHECK_THROWS_AS(load({.max_bytes = 0}), cks::Error);
  CHECK_THROWS_WITH_AS(load({.max_bytes = 16 * 60 - 1}),
                       doctest::Contains("need 960 bytes or more, expected at most 959"),
                       cks::ShapeError);
  CHECK_NOTHROW(load({.max_bytes = 16 * 60}));
}
