#include "cks/datasets/cifar.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <map>

#include "tests/datasets/pictures.h"
#include "tests/support/fill.h"

using cks::CifarFiles;
using cks::CifarKind;
using cks::find_cifar;
using cks::load_cifar;
using cks::load_cifar10;
using cks::load_cifar100;
using namespace cks::testing;

namespace {

constexpr std::size_t kPixels = 3072;

/// Records with random pixels; record i has the labels i % 20 and i % classes, or only the latter.
Bytes records(std::size_t count, std::size_t label_bytes, std::size_t classes, std::uint64_t seed) {
  Bytes bytes(count * (label_bytes + kPixels));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const std::size_t record = i / (label_bytes + kPixels);
    const std::size_t place = i % (label_bytes + kPixels);
    bytes[i] = place + 1 < label_bytes ? static_cast<std::uint8_t>(record % 20)
               : place < label_bytes   ? static_cast<std::uint8_t>(record % classes)
                                       : static_cast<std::uint8_t>(random_bits(seed, i) >> 56);
  }
  return bytes;
}

Bytes text(const std::string& lines) { return {lines.begin(), lines.end()}; }

using Files = std::map<std::string, Bytes>;

Files cifar10_files(std::size_t count = 3) {
  Files files;
  for (std::uint64_t i = 1; i <= 5; ++i) {
    files["data_batch_" + std::to_string(i) + ".bin"] = records(count, 1, 10, i);
  }
  files["test_batch.bin"] = records(count - 1, 1, 10, 6);
  return files;
}

Files cifar100_files() {
  return {{"train.bin", records(120, 2, 100, 1)}, {"test.bin", records(5, 2, 100, 2)}};
}

void write_folder(const std::string& folder, const Files& files) {
  for (const auto& [name, bytes] : files) {
    write_file(folder + "/" + name, bytes);
  }
}

Bytes archive_of(const std::string& folder, const Files& files) {
  std::vector<std::pair<std::string, Bytes>> members;
  for (const auto& [name, bytes] : files) {
    members.emplace_back(folder + "/" + name, bytes);
  }
  return tar(members);
}

/// What a file of records says: images with channels last, and the label at `place`.
void expect_records(const cks::ImageDataset& dataset, std::int64_t first, const Bytes& file,
                    std::size_t label_bytes, std::size_t place) {
  const std::uint8_t* pixels = dataset.images.data_as<std::uint8_t>() + first * 3072;
  const auto* labels = dataset.labels.data_as<std::int64_t>() + first;
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < file.size() / (label_bytes + kPixels); ++i) {
    const std::uint8_t* record = file.data() + i * (label_bytes + kPixels);
    wrong += labels[i] == record[place] ? 0 : 1;
    for (std::size_t p = 0; p < 1024; ++p) {
      for (std::size_t c = 0; c < 3; ++c) {
        wrong += pixels[i * kPixels + p * 3 + c] == record[label_bytes + c * 1024 + p] ? 0 : 1;
      }
    }
  }
  CHECK(wrong == 0);
}

constexpr cks::CifarOptions kAnyCount{.any_count = true};

}  // namespace

TEST_CASE("cifar: a folder and archives, wherever they may lie") {
  const Files files = cifar10_files();
  const Bytes archive = archive_of("cifar-10-batches-bin", files);
  const std::map<std::string, Bytes> places{{"", {}},
                                            {"cifar-10-batches-bin", {}},
                                            {"cifar10/cifar-10-batches-bin", {}},
                                            {"cifar-10-binary.tar.gz", gzip(archive)},
                                            {"cifar-10-binary.tar", archive},
                                            {"cifar10/cifar-10-binary.tar.gz", gzip(archive)}};
  for (const auto& [place, bytes] : places) {
    CAPTURE(place);
    const TemporaryFolder folder;
    const std::string path = place.empty() ? folder.path() : folder.file(place);
    if (bytes.empty()) {
      write_folder(path, files);
    } else {
      write_file(path, bytes);
    }
    const cks::TrainTest data = load_cifar10(folder.path(), kAnyCount);
    CHECK(data.train.images.shape() == cks::Shape{15, 32, 32, 3});
    CHECK(data.test.images.shape() == cks::Shape{2, 32, 32, 3});
    expect_records(data.train, 0, files.at("data_batch_1.bin"), 1, 0);
    expect_records(data.train, 12, files.at("data_batch_5.bin"), 1, 0);
    expect_records(data.test, 0, files.at("test_batch.bin"), 1, 0);
    CHECK(data.train.name == "cifar10");
    CHECK(data.train.class_names[9] == "truck");
    CHECK(data.train.source.path == path);
    CHECK(data.train.source.checksums == cks::DataSource::Checksums::unknown);
    CHECK(contains(data.train.source.warning, path));
    CHECK(data.test.mean == cks::channel_statistics(data.train.images).mean);
    data.train.check();
    data.test.check();
    CHECK(load_cifar10(path, kAnyCount).train.size() == 15);  // the archive itself
  }
}

TEST_CASE("cifar: CKS_DATA_DIR and ./data are the default, a folder goes before an archive") {
  const TemporaryFolder folder;
  const EnvironmentScope set("CKS_DATA_DIR", folder.path().c_str());
  CHECK_FALSE(find_cifar(CifarKind::cifar10).has_value());
  const std::string archive = folder.file("cifar-10-binary.tar.gz");
  write_file(archive, {1});
  CHECK(find_cifar(CifarKind::cifar10)->archive == archive);
  CHECK_FALSE(find_cifar(CifarKind::cifar100).has_value());
  write_folder(folder.file("cifar10"), cifar10_files());
  CHECK(find_cifar(CifarKind::cifar10)->folder == folder.file("cifar10"));
}

TEST_CASE("cifar: fine and coarse labels of CIFAR-100") {
  const TemporaryFolder folder;
  const Files files = cifar100_files();
  write_folder(folder.path(), files);
  const cks::TrainTest fine = load_cifar100(folder.path(), kAnyCount);
  expect_records(fine.train, 0, files.at("train.bin"), 2, 1);
  CHECK(fine.train.classes() == 100);
  CHECK(fine.train.class_names.front() == "apple");
  CHECK(fine.train.class_names.back() == "worm");
  const cks::TrainTest coarse = load_cifar100(folder.path(), {.coarse = true, .any_count = true});
  expect_records(coarse.train, 0, files.at("train.bin"), 2, 0);
  CHECK(coarse.train.classes() == 20);
  CHECK(coarse.train.class_names.back() == "vehicles_2");
  CHECK_THROWS_WITH_AS(load_cifar({CifarKind::cifar10, folder.path(), ""}, {.coarse = true}),
                       doctest::Contains("no coarse labels"), cks::Error);
  CHECK_THROWS_AS(load_cifar({CifarKind::cifar10, "", ""}), cks::Error);
}

TEST_CASE("cifar: class names lie beside the files") {
  const TemporaryFolder folder;
  Files files = cifar10_files();
  files["batches.meta.txt"] = text("a\nb\r\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
  write_folder(folder.path(), files);
  CHECK(load_cifar10(folder.path(), kAnyCount).test.class_names ==
        std::vector<std::string>{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"});
  files["batches.meta.txt"] = text("a\nb\n");
  write_folder(folder.path(), files);
  const std::string few = io_error([&] { load_cifar10(folder.path(), kAnyCount); });
  CHECK(contains(few, folder.file("batches.meta.txt") + "' at byte 4: ends after 2 class names"));
  files["batches.meta.txt"] = text("a\r\ncaf\xe9\r\n");
  write_folder(folder.path(), files);
  CHECK(contains(io_error([&] { load_cifar10(folder.path(), kAnyCount); }),
                 folder.file("batches.meta.txt") + "' at byte 3: a line that is not UTF-8"));
  files["batches.meta.txt"] = text("a\n\x01\n");
  write_folder(folder.path(), files);
  CHECK(contains(io_error([&] { load_cifar10(folder.path(), kAnyCount); }), "at byte 2: control"));
}

TEST_CASE("cifar: nothing found, files missing") {
  const TemporaryFolder folder;
  const std::string nothing = io_error([&] { load_cifar100(folder.path()); });
  CHECK(contains(nothing, "looked in  " + folder.file("cifar100/cifar-100-binary")));
  CHECK(contains(nothing, "train.bin test.bin"));
  CHECK(contains(nothing, "cifar-100-binary.tar[.gz]"));
  CHECK(contains(nothing, "scripts/get_data.sh cifar100 --dir " + folder.path()));
  write_file(folder.file("train.bin"), {1});
  CHECK(contains(io_error([&] { load_cifar100(folder.path()); }), "has train.bin, lacks test.bin"));
  const std::string archive = folder.file("a.tar");
  write_file(archive, tar({{"x/train.bin", records(2, 2, 100, 1)}}));
  CHECK(contains(io_error([&] { load_cifar100(archive, kAnyCount); }), "lacks test.bin"));
  write_file(archive, tar({{"x/train.bin", {}}, {"y/train.bin", {}}}));
  CHECK(contains(io_error([&] { load_cifar100(archive, kAnyCount); }), "a second train.bin"));
}

TEST_CASE("cifar: errors name file, byte, what came and what was expected") {
  const TemporaryFolder folder;
  Files files = cifar10_files();
  const auto error = [&](cks::CifarOptions options) {
    write_folder(folder.path(), files);
    return io_error([&] { load_cifar10(folder.path(), options); });
  };
  // Without any_count a file must have the published number of images.
  CHECK(contains(error({}), folder.file("data_batch_1.bin") + "' at byte 9219: ends after 9219 "
                                                              "bytes, expected 30730000 (10000"));
  files["data_batch_1.bin"] = Bytes(30730001);
  CHECK(contains(error({}), "at byte 30730000: goes on"));
  files = cifar10_files();
  files["test_batch.bin"].push_back(0);
  CHECK(contains(error(kAnyCount), folder.file("test_batch.bin") + "' at byte 6146: ends after "
                                                                   "6147 bytes, expected whole"));
  files["test_batch.bin"].clear();
  CHECK(contains(error(kAnyCount), "at least one"));
  files = cifar10_files();
  files["data_batch_3.bin"][3073] = 10;
  CHECK(contains(error(kAnyCount), folder.file("data_batch_3.bin") +
                                       "' at byte 3073: label of image 1 is 10, expected 0 to 9"));
  const std::string archive = folder.file("cifar.tar.gz");
  write_file(archive, gzip(archive_of("d", files)));
  CHECK(contains(io_error([&] { load_cifar10(archive, kAnyCount); }),
                 archive + "' in 'd/data_batch_3.bin' at byte 3073: label of image 1"));
}

TEST_CASE("cifar: cut at every 97th byte: an error") {
  const TemporaryFolder folder;
  Files files = cifar10_files(1 + 1);
  const Bytes plain = archive_of("d", files);
  const std::string archive = folder.file("cifar.tar");
  for (const Bytes& whole : {cut(plain, plain.size() - 1024), gzip(plain)}) {
    for (std::size_t length = 0; length < whole.size(); length += 97) {
      CAPTURE(length);
      write_file(archive, cut(whole, length));
      CHECK(io_error([&] { load_cifar10(archive, kAnyCount); }) != "no IoError");
    }
  }
  const Bytes batch = files.at("data_batch_4.bin");
  write_folder(folder.path(), files);
  for (std::size_t length = 0; length < batch.size(); length += 97) {
    CAPTURE(length);
    write_file(folder.file("data_batch_4.bin"), cut(batch, length));
    CHECK(io_error([&] { load_cifar10(folder.path()); }) != "no IoError");
    // A set of one's own may end after any record.
    const bool whole_records = length > 0 && length % 3073 == 0;
    CHECK((io_error([&] { load_cifar10(folder.path(), kAnyCount); }) == "no IoError") ==
          whole_records);
  }
}

TEST_CASE("cifar: 10,000 flipped bits: an error, or exactly what the files say") {
  const TemporaryFolder folder;
  const Files files{{"train.bin", records(2, 2, 100, 1)}, {"test.bin", records(1, 2, 100, 2)}};
  const Bytes zipped = gzip(archive_of("d", files));
  const std::string archive = folder.file("cifar.tar.gz");
  write_folder(folder.path(), files);
  std::int64_t errors = 0;
  std::int64_t reads = 0;
  for (std::uint64_t i = 0; i < 10000; ++i) {
    CAPTURE(i);
    const Bytes& whole = i % 2 == 0 ? zipped : files.at("train.bin");
    // Half of the plain file's flips hit its few labels.
    const std::uint64_t bit = i % 4 == 1 ? random_bits(5, i) % 16 + i / 4 % 2 * 8 * 3074
                                         : random_bits(5, i) % (whole.size() * 8);
    const Bytes bytes = flipped(whole, bit);
    write_file(i % 2 == 0 ? archive : folder.file("train.bin"), bytes);
    try {
      const cks::TrainTest data = load_cifar100(i % 2 == 0 ? archive : folder.path(), kAnyCount);
      ++reads;
      expect_records(data.train, 0, i % 2 == 0 ? files.at("train.bin") : bytes, 2, 1);
    } catch (const cks::IoError&) {
      ++errors;
    }
  }
  CHECK(errors > 4000);
  CHECK(reads > 4000);
}

TEST_CASE("cifar: damaged class names: an error, or as many names as classes") {
  const TemporaryFolder folder;
  Files files = cifar10_files(2);
  const Bytes names = text("plane\ncar\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n");
  write_folder(folder.path(), files);
  const std::string path = folder.file("batches.meta.txt");
  std::int64_t errors = 0;
  const auto check = [&](const Bytes& bytes) {
    write_file(path, bytes);
    try {
      const cks::TrainTest data = load_cifar10(folder.path(), kAnyCount);
      CHECK(data.train.classes() == 10);
    } catch (const cks::IoError& error) {
      CHECK(contains(error.what(), path));
      ++errors;
    }
  };
  for (std::uint64_t bit = 0; bit < names.size() * 8; ++bit) {
    check(flipped(names, bit));
  }
  for (std::size_t length = 0; length < names.size(); ++length) {
    check(cut(names, length));
  }
  CHECK(errors > 50);
}
