#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>

#include "cks/core/io/file.h"
#include "cks/core/io/safetensors.h"
#include "cks/datasets/image_folder.h"
#include "tests/datasets/pictures.h"

using cks::ImageFolderOptions;
using cks::load_image_folder;
using cks::TrainTest;
using namespace cks::testing;

namespace {

namespace fs = std::filesystem;

/// Two classes in two halves of three pictures each, and a folder for what was decoded.
struct Pictures {
  TemporaryFolder folder;
  std::string root = folder.file("pictures");
  std::string cache = folder.file("cache/deeper");

  Pictures() {
    std::uint64_t seed = 0;
    for (const char* half : {"train", "test"}) {
      for (const char* name : {"a", "b"}) {
        for (const char* file : {"1.png", "2.png", "3.png"}) {
          write_file(root + "/" + half + "/" + name + "/" + file,
                     png(noise_image(9, 13, 3, ++seed)));
        }
      }
    }
  }
  ImageFolderOptions options(std::int64_t side = 8) const {
    return {.height = side, .width = side, .cache_dir = cache};
  }
  TrainTest read() const { return load_image_folder(root, options()); }
  std::vector<std::string> files() const {
    std::vector<std::string> paths;
    for (const auto& entry : fs::directory_iterator(cache)) {
      paths.push_back(entry.path().string());
    }
    return paths;
  }
  std::string file() const {
    REQUIRE(files().size() == 1);
    return files().front();
  }
};

Bytes pixels(const TrainTest& data) {
  return data.train.images.to_vector<std::uint8_t>() + data.test.images.to_vector<std::uint8_t>();
}

/// Other pixels under the same stamps: who gets them has read the cache.
void fill(const std::string& file, std::uint8_t value) {
  cks::SafetensorsFile cache = cks::load_safetensors(file);
  for (auto& [name, tensor] : cache.tensors) {
    if (name.ends_with(".images")) {
      tensor = cks::Tensor::full(tensor.shape(), value, cks::DType::uint8);
    }
  }
  cks::save_safetensors(file, cache.tensors, cache.metadata);
}

bool all_are(const Bytes& bytes, std::uint8_t value) {
  return std::all_of(bytes.begin(), bytes.end(), [&](std::uint8_t byte) { return byte == value; });
}

}  // namespace

TEST_CASE("picture cache: what was decoded is not decoded again") {
  const Pictures pictures;
  const TrainTest first = pictures.read();
  CHECK(pixels(first) ==
        pixels(load_image_folder(pictures.root, {.height = 8, .width = 8})));  // without a cache
  const std::string bytes = cks::read_file(pictures.file());
  const TrainTest second = pictures.read();
  CHECK(pixels(second) == pixels(first));
  CHECK(second.train.labels.to_vector<std::int64_t>() ==
        first.train.labels.to_vector<std::int64_t>());
  CHECK(second.train.mean == first.train.mean);
  CHECK(cks::read_file(pictures.file()) == bytes);
  fill(pictures.file(), 77);
  CHECK(all_are(pixels(pictures.read()), 77));
}

TEST_CASE("picture cache: pictures that changed, came or went, and other options") {
  const Pictures pictures;
  pictures.read();
  fill(pictures.file(), 77);
  const std::string path = pictures.root + "/train/b/2.png";
  const auto same_time = fs::last_write_time(path);
  write_file(path, png(noise_image(9, 13, 3, 99)));
  fs::last_write_time(path, same_time);  // as cp -p gives it to another picture
  fs::remove(pictures.root + "/train/a/1.png");
  write_file(pictures.root + "/train/a/4.png", png(noise_image(9, 13, 3, 98)));
  const Bytes plain = load_image_folder(pictures.root, {.height = 8, .width = 8})
                          .train.images.to_vector<std::uint8_t>();
  const auto image = [](const Bytes& bytes, std::ptrdiff_t i) {
    return Bytes(bytes.begin() + i * 8 * 8 * 3, bytes.begin() + (i + 1) * 8 * 8 * 3);
  };
  const Bytes filled(std::size_t{8} * 8 * 3, 77);
  for (int i = 0; i < 2; ++i) {  // the second time all of them are in the cache
    CAPTURE(i);
    const Bytes mixed = pictures.read().train.images.to_vector<std::uint8_t>();
    CHECK(image(mixed, 0) == filled);           // a/2
    CHECK(image(mixed, 2) == image(plain, 2));  // a/4, new
    CHECK(image(mixed, 4) == image(plain, 4));  // b/2, another one
    CHECK(image(mixed, 5) == filled);
  }
  // Each way of preparing pictures has its own.
  std::set<std::string> different;
  for (ImageFolderOptions options : {pictures.options(6), pictures.options()}) {
    for (const cks::ImageFit fit : cks::kImageFits) {
      options.fit = fit;
      for (const std::int64_t channels : {1, 3}) {
        options.channels = channels;
        const Bytes read = pixels(load_image_folder(pictures.root, options));
        if (options.height != 8 || fit != cks::ImageFit::stretch || channels != 3) {
          ImageFolderOptions without = options;
          without.cache_dir.clear();
          CHECK(read == pixels(load_image_folder(pictures.root, without)));
          different.insert(std::string(read.begin(), read.end()));
        }
      }
    }
  }
  CHECK(different.size() == 11);
}

TEST_CASE("picture cache: a damaged file is made anew") {
  const Pictures pictures;
  const Bytes right = pixels(pictures.read());
  const std::string bytes = cks::read_file(pictures.file());
  std::vector<std::string> damaged{"", "x", bytes.substr(0, bytes.size() / 2), bytes + "more"};
  for (std::size_t at = 0; at < bytes.size(); at += 101) {
    damaged.push_back(bytes);
    damaged.back()[at] = static_cast<char>(damaged.back()[at] ^ 0x10);
  }
  for (const std::string& text : damaged) {
    cks::write_file_atomically(pictures.file(), text);
    REQUIRE(pixels(pictures.read()) == right);
    REQUIRE(cks::read_file(pictures.file()) == bytes);
  }
  // Whole, but of something else: without stamps, or without a checksum.
  cks::SafetensorsFile file = cks::load_safetensors(pictures.file());
  std::erase_if(file.tensors, [](const auto& tensor) { return tensor.first == "0.stamps"; });
  cks::save_safetensors(pictures.file(), file.tensors, file.metadata);
  CHECK(pixels(pictures.read()) == right);
  file = cks::load_safetensors(pictures.file());
  file.metadata.erase(cks::kSafetensorsChecksum);
  cks::save_safetensors(pictures.file(), file.tensors, file.metadata);
  CHECK(pixels(pictures.read()) == right);
  CHECK(cks::read_file(pictures.file()) == bytes);
  // Whole, with a right checksum, but with pictures of another type or of fewer channels, whose
  // bytes would end before they are copied.
  using cks::Tensor;
  for (const Tensor& images :
       {Tensor::zeros({12, 8, 8, 3}), Tensor::zeros({12, 192}, cks::DType::uint8),
        Tensor::zeros({12, 8, 8, 1}, cks::DType::uint8)}) {
    file = cks::load_safetensors(pictures.file());
    for (auto& [name, tensor] : file.tensors) {
      tensor = name.ends_with(".images") ? images : tensor;
    }
    cks::save_safetensors(pictures.file(), file.tensors, file.metadata);
    CHECK(pixels(pictures.read()) == right);
    CHECK(cks::read_file(pictures.file()) == bytes);
  }
}

TEST_CASE("picture cache: it stays within its size, and what was used longest ago goes") {
  const Pictures pictures;
  ImageFolderOptions options = pictures.options(16);
  load_image_folder(pictures.root, options);
  const auto size = static_cast<std::int64_t>(fs::file_size(pictures.file()));
  const std::string first = pictures.file();
  const auto age = [](const std::string& file) {
    fs::last_write_time(file, fs::last_write_time(file) - std::chrono::hours(1));
  };
  age(first);
  options.max_cache_bytes = 2 * size;
  options.height = 15;
  load_image_folder(pictures.root, options);
  REQUIRE(pictures.files().size() == 2);
  age(first);
  options.height = 16;
  load_image_folder(pictures.root, options);  // used: now the other one is the oldest
  options.height = 14;
  load_image_folder(pictures.root, options);
  CHECK(pictures.files().size() == 2);
  CHECK(fs::exists(first));
  // What a killed process left half-written counts, and goes.
  const std::string half = first + ".tmp-4711-0";
  write_file(half, Bytes(static_cast<std::size_t>(size)));
  age(half);
  age(half);
  options.height = 12;
  load_image_folder(pictures.root, options);
  CHECK(pictures.files().size() == 2);
  CHECK(!fs::exists(half));
  options.max_cache_bytes = size / 2;  // too small for any
  options.height = 13;
  CHECK(load_image_folder(pictures.root, options).train.source.warning.empty());
  CHECK(pictures.files().size() == 2);
}

TEST_CASE("picture cache: a folder that cannot be written is a warning") {
  const Pictures pictures;
  ImageFolderOptions options = pictures.options();
  options.cache_dir = pictures.root + "/train/a/1.png";
  const TrainTest data = load_image_folder(pictures.root, options);
  CHECK(contains(data.train.source.warning, "cannot be kept for the next time"));
  CHECK(pixels(data) == pixels(pictures.read()));
}

TEST_CASE("picture cache: notes and broken pictures are told each time") {
  const Pictures pictures;
  const Bytes photo = jpeg(smooth_image(16, 24, 3));
  write_file(pictures.root + "/train/a/endless.jpg", cut(photo, photo.size() - 2));
  write_file(pictures.root + "/train/b/broken.png", {1, 2, 3});
  ImageFolderOptions options = pictures.options();
  CHECK(contains(io_error([&] { load_image_folder(pictures.root, options); }), "broken.png"));
  options.skip_broken = true;
  const TrainTest first = load_image_folder(pictures.root, options);
  const TrainTest second = load_image_folder(pictures.root, options);
  CHECK(contains(second.train.source.warning, "endless.jpg"));
  CHECK(contains(second.train.source.warning, "broken.png"));
  CHECK(second.train.source.warning == first.train.source.warning);
  CHECK(second.train.source.skipped == first.train.source.skipped);
  CHECK(pixels(first) == pixels(second));
}

TEST_CASE("image folder: says how far it is") {
  const Pictures pictures;
  for (int i = 0; i < 2; ++i) {
    ImageFolderOptions options = pictures.options();
    std::int64_t before = 0;
    options.on_progress = [&](const cks::ReadingProgress& progress) {
      CHECK(progress.done == before + 1);
      CHECK(progress.total == 12);
      before = progress.done;
    };
    load_image_folder(pictures.root, options);
    CHECK(before == 12);
  }
}
