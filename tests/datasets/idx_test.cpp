#include "cks/datasets/readers/idx.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "cks/core/error.h"
#include "tests/datasets/support.h"
#include "tests/support/fill.h"

using cks::IdxFile;
using cks::read_idx_images;
using cks::read_idx_labels;
using namespace cks::testing;

namespace {

/// One file on the disk, rewritten by each case.
class IdxFixture {
 public:
  std::string image_error(const Bytes& bytes) {
    write_file(path, bytes);
    return io_error([&] { read_idx_images(path); });
  }
  std::string label_error(const Bytes& bytes, std::int64_t classes = 10) {
    write_file(path, bytes);
    return io_error([&] { read_idx_labels(path, classes); });
  }

  cks::testing::TemporaryFolder folder;
  std::string path = folder.file("file");
};

Bytes without_header(const Bytes& bytes, std::size_t header) {
  return {bytes.begin() + static_cast<std::ptrdiff_t>(header), bytes.end()};
}

}  // namespace

TEST_CASE_FIXTURE(IdxFixture, "idx: images and labels, plain and gzip") {
  const Bytes images = idx_images(5, 3, 4);
  const Bytes labels = idx_labels(5);
  for (const bool zipped : {false, true}) {
    write_file(path, zipped ? gzip(images) : images);
    const IdxFile read = read_idx_images(path);
    CHECK(read.values.shape() == cks::Shape{5, 3, 4, 1});
    CHECK(read.values.to_vector<std::uint8_t>() == without_header(images, 16));
    CHECK(read.path == path);
    CHECK(read.content_bytes == images.size());
    CHECK(read.content_crc32 == crc32_of(images.data(), images.size()));
    CHECK(read.file_bytes == (zipped ? gzip(images) : images).size());
    write_file(path, zipped ? gzip(labels) : labels);
    CHECK(read_idx_labels(path, 5).values.to_vector<std::int64_t>() ==
          std::vector<std::int64_t>{0, 1, 2, 3, 4});
  }
}

TEST_CASE_FIXTURE(IdxFixture, "idx: a file larger than the first chunk") {
  const Bytes images = idx_images(2000, 28, 28);
  write_file(path, gzip(images));
  CHECK(read_idx_images(path).values.to_vector<std::uint8_t>() == without_header(images, 16));
}

TEST_CASE_FIXTURE(IdxFixture, "idx: errors name file, offset, what came and what was expected") {
  const Bytes images = idx_images(5, 3, 4);
  const Bytes labels = idx_labels(5);
  const auto check = [&](const std::string& message, std::initializer_list<const char*> parts) {
    CHECK(contains(message, path));
    for (const char* part : parts) {
      CAPTURE(message);
      CHECK(contains(message, part));
    }
  };
  check(image_error({}), {"at byte 0", "expected 4 bytes of the magic number, got 0"});
  check(image_error(with_word(images, 0, 0x08010000)), {"0x08010000", "expected 0x00000803"});
  check(image_error(labels), {"0x00000801", "expected 0x00000803", "this is a label file"});
  check(label_error(images), {"0x00000803", "expected 0x00000801", "this is an image file"});
  check(image_error(with_word(images, 0, 0x03080000)),
        {"0x03080000", "byte-swapped (little-endian)"});
  check(label_error(with_word(labels, 0, 0x01080000)), {"byte-swapped (little-endian)"});
  for (const std::string page :
       {"<!DOCTYPE html><html>403 Forbidden</html>", "\n<HTML><body>", "<!doctype HTML>"}) {
    const Bytes html(page.begin(), page.end());
    check(image_error(html), {"it is an HTML page, as servers send in place of a file"});
    check(label_error(gzip(html)), {"it is an HTML page"});
  }
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a";
  check(image_error({pointer.begin(), pointer.end()}), {"it is a Git LFS pointer"});
  check(image_error({'P', 'K', 3, 4, 20, 0}), {"it is a ZIP archive"});
  check(image_error(with_word(images, 4, 0)), {"at byte 4", "number of images is 0"});
  check(image_error(with_word(images, 4, 0xffffffffU)), {"at byte 4", "is 4294967295"});
  check(image_error(with_word(images, 8, 0)), {"at byte 8", "height is 0"});
  check(image_error(with_word(images, 12, 65536)), {"at byte 12", "width is 65536"});
  check(label_error(with_word(labels, 4, 0)), {"at byte 4", "number of labels is 0"});
  check(image_error(with_word(images, 4, 6)),
        {"at byte 76", "ends after 76 bytes, expected 88", "6 images of 4 x 3"});
  check(image_error(with_word(images, 4, 4)), {"at byte 64", "more bytes follow"});
  check(label_error(with_word(labels, 4, 6)), {"at byte 13", "expected 14"});
  check(label_error(labels, 4), {"at byte 12", "label 4 is 4, expected 0 to 3"});
  check(label_error(gzip(labels), 4), {"at byte 12 (uncompressed)", "label 4 is 4"});
  CHECK_THROWS_AS(read_idx_labels(path, 0), cks::ShapeError);
  CHECK_THROWS_AS(read_idx_labels(path, 257), cks::ShapeError);
  CHECK_THROWS_AS(read_idx_labels(path, 256, 1), cks::ShapeError);
  CHECK_THROWS_AS(read_idx_labels(path, 4, -1), cks::ShapeError);
}

TEST_CASE_FIXTURE(IdxFixture, "idx: a header that claims terabytes costs no memory") {
  Bytes images = with_word(idx_images(5, 3, 4), 4, 0x7fffffff);
  images = with_word(with_word(std::move(images), 8, 65535), 12, 65535);
  cks::reset_peak_memory();
  const std::int64_t before = cks::memory_stats().peak;
  CHECK(contains(image_error(images), "ends after 76 bytes"));
  CHECK(contains(image_error(gzip(images)), "ends after 76 bytes"));
  CHECK(cks::memory_stats().peak == before);
}

TEST_CASE_FIXTURE(IdxFixture, "idx: a file cut at any byte is an error") {
  for (const Bytes& whole : {idx_images(3, 4, 5), gzip(idx_images(3, 4, 5))}) {
    for (std::size_t length = 0; length < whole.size(); ++length) {
      const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
      CAPTURE(length);
      CHECK(image_error(cut) != "no IoError");
    }
  }
  for (const Bytes& whole : {idx_labels(30), gzip(idx_labels(30))}) {
    for (std::size_t length = 0; length < whole.size(); ++length) {
      const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
      CAPTURE(length);
      CHECK(label_error(cut) != "no IoError");
    }
  }
}

TEST_CASE_FIXTURE(IdxFixture, "idx: 10,000 flipped bits: an error, or exactly what the file says") {
  const Bytes images = idx_images(4, 5, 6);
  const Bytes labels = idx_labels(40);
  std::int64_t errors = 0;
  std::int64_t reads = 0;
  for (std::uint64_t i = 0; i < 10000; ++i) {
    const bool is_image = i % 2 == 0;
    const bool zipped = i % 4 < 2;
    const Bytes& plain = is_image ? images : labels;
    const std::size_t header = is_image ? 16 : 8;
    Bytes file = zipped ? gzip(plain) : plain;
    const std::uint64_t bit = cks::testing::random_bits(7, i) % (file.size() * 8);
    file[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    write_file(path, file);
    CAPTURE(i);
    try {
      Bytes read;
      if (is_image) {
        read = read_idx_images(path).values.to_vector<std::uint8_t>();
      } else {
        for (const std::int64_t label :
             read_idx_labels(path, 10).values.to_vector<std::int64_t>()) {
          read.push_back(static_cast<std::uint8_t>(label));
        }
      }
      ++reads;
      // gzip's CRC covers the content: what is read despite a flip is the original.
      CHECK(read == without_header(zipped ? plain : file, header));
      CHECK((zipped || bit / 8 >= header));
    } catch (const cks::IoError&) {
      ++errors;
      CHECK((zipped || !is_image || bit / 8 < header));
    }
  }
  CHECK(errors > 4000);
  CHECK(reads > 2000);
}
