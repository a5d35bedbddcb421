#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "cks/core/error.h"
#include "cks/datasets/image_folder.h"
#include "cks/datasets/images/image_io.h"
#include "tests/datasets/pictures.h"
#include "tests/support/fill.h"

using cks::decode_image;
using cks::Shape;
using cks::Tensor;
using namespace cks::testing;

namespace {

Bytes pixels_of(const Bytes& file) {
  return decode_image(file, "picture").to_vector<std::uint8_t>();
}

std::string error_of(const Bytes& file) {
  return io_error([&] { decode_image(file, "picture"); });
}

/// 16 x 16 grey levels, and 64 x 64 pixels of one, which end in zero bytes; by libjpeg, with tables
/// made for them.
const Bytes kRamp{
    0xff, 0xd8, 0xff, 0xdb, 0x00, 0x43, 0x00, 0x06, 0x04, 0x05, 0x06, 0x05, 0x04, 0x06, 0x06, 0x05,
    0x06, 0x07, 0x07, 0x06, 0x08, 0x0a, 0x10, 0x0a, 0x0a, 0x09, 0x09, 0x0a, 0x14, 0x0e, 0x0f, 0x0c,
    0x10, 0x17, 0x14, 0x18, 0x18, 0x17, 0x14, 0x16, 0x16, 0x1a, 0x1d, 0x25, 0x1f, 0x1a, 0x1b, 0x23,
    0x1c, 0x16, 0x16, 0x20, 0x2c, 0x20, 0x23, 0x26, 0x27, 0x29, 0x2a, 0x29, 0x19, 0x1f, 0x2d, 0x30,
    0x2d, 0x28, 0x30, 0x25, 0x28, 0x29, 0x28, 0xff, 0xc0, 0x00, 0x0b, 0x08, 0x00, 0x10, 0x00, 0x10,
    0x01, 0x01, 0x11, 0x00, 0xff, 0xc4, 0x00, 0x16, 0x00, 0x01, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0x08, 0xff, 0xc4, 0x00, 0x17,
    0x10, 0x00, 0x03, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x16, 0x63, 0xa1, 0xff, 0xda, 0x00, 0x08, 0x01, 0x01, 0x00, 0x00, 0x3f, 0x00, 0x92,
    0x20, 0xcb, 0x02, 0x0c, 0xb0, 0xd6, 0xa8, 0x32, 0xc0, 0x83, 0x2c, 0x3f, 0xff, 0xd9};
const Bytes kFlat{
    0xff, 0xd8, 0xff, 0xdb, 0x00, 0x43, 0x00, 0x08, 0x06, 0x06, 0x07, 0x06, 0x05, 0x08, 0x07, 0x07,
    0x07, 0x09, 0x09, 0x08, 0x0a, 0x0c, 0x14, 0x0d, 0x0c, 0x0b, 0x0b, 0x0c, 0x19, 0x12, 0x13, 0x0f,
    0x14, 0x1d, 0x1a, 0x1f, 0x1e, 0x1d, 0x1a, 0x1c, 0x1c, 0x20, 0x24, 0x2e, 0x27, 0x20, 0x22, 0x2c,
    0x23, 0x1c, 0x1c, 0x28, 0x37, 0x29, 0x2c, 0x30, 0x31, 0x34, 0x34, 0x34, 0x1f, 0x27, 0x39, 0x3d,
    0x38, 0x32, 0x3c, 0x2e, 0x33, 0x34, 0x32, 0xff, 0xc0, 0x00, 0x0b, 0x08, 0x00, 0x40, 0x00, 0x40,
    0x01, 0x01, 0x11, 0x00, 0xff, 0xc4, 0x00, 0x15, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0xff, 0xc4, 0x00, 0x14, 0x10,
    0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0xff, 0xda, 0x00, 0x08, 0x01, 0x01, 0x00, 0x00, 0x3f, 0x00, 0x80, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x3f, 0xff, 0xd9};

/// Header of 54 bytes; a height below zero has the topmost row first.
Bytes bmp(std::int32_t width, std::int32_t height, std::uint32_t bits, const Bytes& rest,
          std::uint32_t offset = 54, std::uint32_t packing = 0) {
  return Bytes{'B', 'M'} + number(54 + static_cast<std::uint32_t>(rest.size()), 4) + number(0, 4) +
         number(offset, 4) + number(40, 4) + number(static_cast<std::uint32_t>(width), 4) +
         number(static_cast<std::uint32_t>(height), 4) + number(1, 2) + number(bits, 2) +
         number(packing, 4) + Bytes(20) + rest;
}

/// A picture of 2 x 2 indices into four colours.
Bytes gif_frame(const Bytes& indices) {
  std::uint32_t packed = 0;
  int at = 0;
  constexpr std::uint32_t kClear = 4;
  constexpr std::uint32_t kEnd = 5;
  // Cleared again before codes get longer than three bits.
  for (const std::uint32_t code :
       {kClear, std::uint32_t{indices[0]}, std::uint32_t{indices[1]}, kClear,
        std::uint32_t{indices[2]}, std::uint32_t{indices[3]}, kEnd}) {
    packed |= code << at;
    at += 3;
  }
  return Bytes{','} + number(0, 4) + number(2, 2) + number(2, 2) + Bytes{0, 2, 3} +
         number(packed, 3) + Bytes{0};
}

Bytes gif() {
  constexpr std::string_view kHead = "GIF89a";
  return Bytes(kHead.begin(), kHead.end()) + number(2, 2) + number(2, 2) + Bytes{0x81, 0, 0} +
         Bytes{1, 2, 3, 40, 50, 60, 7, 8, 9, 100, 110, 120} + gif_frame({0, 1, 2, 3}) +
         gif_frame({3, 3, 3, 3}) + Bytes{';'};
}

const Bytes kGifPixels{1, 2, 3, 40, 50, 60, 7, 8, 9, 100, 110, 120};

}  // namespace

TEST_CASE("image: a JPEG is turned as its EXIF orientation says") {
  const Bytes photo = jpeg(smooth_image(16, 24, 3));
  const Tensor stored = decode_image(photo, "picture");
  for (const bool little : {true, false}) {
    for (int orientation = 1; orientation <= 8; ++orientation) {
      CAPTURE(little);
      CAPTURE(orientation);
      const Tensor read = decode_image(
          with_exif(photo, exif(static_cast<std::uint32_t>(orientation), little)), "picture");
      const Tensor expected = turned(stored, orientation);
      CHECK(read.shape() == expected.shape());
      CHECK(read.to_vector<std::uint8_t>() == expected.to_vector<std::uint8_t>());
    }
    for (const std::uint32_t none : {0U, 9U, 262U, 65535U}) {
      CHECK(pixels_of(with_exif(photo, exif(none, little))) == stored.to_vector<std::uint8_t>());
    }
  }
}

TEST_CASE("image: a damaged EXIF block counts as none, or as one of the orientations") {
  const Bytes photo = jpeg(smooth_image(16, 24, 3));
  const Tensor stored = decode_image(photo, "picture");
  const Bytes plain = stored.to_vector<std::uint8_t>();
  for (const bool little : {true, false}) {
    const Bytes block = exif(6, little);
    // The orientation's last byte of use, before which nothing can be told.
    const std::size_t needed = block.size() - 6;
    for (std::size_t length = 0; length < needed; ++length) {
      CAPTURE(length);
      CHECK(pixels_of(with_exif(photo, cut(block, length))) == plain);
    }
    for (std::uint64_t bit = 0; bit < 8 * block.size(); ++bit) {
      CAPTURE(bit);
      const Tensor read = decode_image(with_exif(photo, flipped(block, bit)), "picture");
      bool is_known = false;
      for (int orientation = 1; orientation <= 8; ++orientation) {
        const Tensor expected = turned(stored, orientation);
        is_known |= read.shape() == expected.shape() &&
                    read.to_vector<std::uint8_t>() == expected.to_vector<std::uint8_t>();
      }
      CHECK(is_known);
    }
  }
}

TEST_CASE("image folder: photos stored turned are the same data set as upright ones") {
  const TemporaryFolder upright;
  const TemporaryFolder stored;
  for (int i = 0; i < 16; ++i) {
    const int orientation = i % 8 + 1;
    const Bytes photo = jpeg(smooth_image(16, 24, 3, static_cast<std::uint64_t>(i) + 1));
    const std::string name = std::string(i < 8 ? "a/" : "b/") + std::to_string(i % 8);
    write_file(stored.file(name + ".jpg"),
               with_exif(photo, exif(static_cast<std::uint32_t>(orientation), i % 3 == 0)));
    write_file(upright.file(name + ".png"),
               png(turned(decode_image(photo, "picture"), orientation)));
  }
  const cks::TrainTest a = cks::load_image_folder(upright.path(), {.height = 16, .width = 16});
  const cks::TrainTest b = cks::load_image_folder(stored.path(), {.height = 16, .width = 16});
  for (const auto& [one, other] : {std::pair{&a.train, &b.train}, {&a.test, &b.test}}) {
    CHECK(one->images.to_vector<std::uint8_t>() == other->images.to_vector<std::uint8_t>());
    CHECK(one->labels.to_vector<std::int64_t>() == other->labels.to_vector<std::int64_t>());
  }
}

TEST_CASE("image: BMP, from the bottom up or the top down, in colour or of a palette") {
  const Bytes rows{3, 2, 1, 6, 5, 4, 0, 0, 9, 8, 7, 12, 11, 10, 0, 0};  // blue first, padded
  CHECK(pixels_of(bmp(2, 2, 24, rows)) == Bytes{7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6});
  CHECK(pixels_of(bmp(2, -2, 24, rows)) == Bytes{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  Bytes palette(1024);
  palette[4] = 30;
  palette[5] = 20;
  palette[6] = 10;
  CHECK(pixels_of(bmp(2, 1, 8, palette + Bytes{1, 0, 0, 0}, 54 + 1024)) ==
        Bytes{10, 20, 30, 0, 0, 0});
  const Bytes whole = bmp(2, 2, 24, rows);
  for (std::size_t length = 2; length + 2 < whole.size(); ++length) {  // but for padding
    CAPTURE(length);
    CHECK(error_of(cut(whole, length)) != "no IoError");
  }
  CHECK(contains(error_of(cut(whole, 60)), "the BMP is cut short: expected 68 bytes of 2 x 2"));
  CHECK(contains(error_of(bmp(2, 2, 8, rows, 54, 1)), "packed by run lengths"));
  CHECK(contains(error_of(bmp(0, 2, 24, rows)), "has 0 x 2 pixels"));
  CHECK(contains(error_of(bmp(2, 20000, 24, rows)), "has 2 x 20000 pixels"));
}

TEST_CASE("image: the first picture of a GIF") {
  CHECK(pixels_of(gif()) == kGifPixels);
  const Bytes whole = gif();
  for (std::size_t length = 0; length + 1 < whole.size(); ++length) {
    CAPTURE(length);
    std::string note;
    try {
      const Tensor read = decode_image(cut(whole, length), "picture", {.note = &note});
      CHECK(read.to_vector<std::uint8_t>() == kGifPixels);  // a later picture is cut off
      CHECK(contains(note, "lacks its end mark"));
    } catch (const cks::IoError&) {
      CHECK(note.empty());
    }
  }
}

TEST_CASE("image: a JPEG that lacks its end mark alone is read with a note") {
  for (const Bytes& photo : {jpeg(noise_image(40, 40, 3)), jpeg(smooth_image(33, 50, 1))}) {
    for (const std::size_t missing : {1U, 2U}) {
      std::string note;
      const Tensor read =
          decode_image(cut(photo, photo.size() - missing), "picture", {.note = &note});
      CHECK(read.to_vector<std::uint8_t>() == pixels_of(photo));
      CHECK(note == "'picture' lacks its end mark; its pixels are whole");
    }
    for (std::size_t missing = 5; missing < photo.size(); missing += 13) {
      CAPTURE(missing);
      CHECK(error_of(cut(photo, photo.size() - missing)) != "no IoError");
    }
    std::string note;
    decode_image(photo, "picture", {.note = &note});
    CHECK(note.empty());
  }
}

TEST_CASE("image: of libjpeg's files, cut anywhere, those without their end mark alone are read") {
  for (const Bytes& photo : {kRamp, kFlat}) {
    const Bytes pixels = pixels_of(photo);
    for (std::size_t missing = 1; missing < photo.size(); ++missing) {
      CAPTURE(missing);
      if (missing <= 2) {
        CHECK(pixels_of(cut(photo, photo.size() - missing)) == pixels);
      } else {
        CHECK(error_of(cut(photo, photo.size() - missing)) != "no IoError");
      }
    }
    // A disk's zeros in place of the rest.
    CHECK(contains(error_of(cut(photo, photo.size() - 20) + Bytes(4096)), "is cut short"));
  }
}

TEST_CASE("image folder: a file without its end mark is read and warned of") {
  const TemporaryFolder folder;
  const Bytes photo = jpeg(noise_image(8, 8, 3));
  write_file(folder.file("a/1.jpg"), photo);
  write_file(folder.file("a/2.jpg"), cut(photo, photo.size() - 2));
  write_file(folder.file("__MACOSX/a/._1.jpg"), {1, 2, 3});
  write_file(folder.file("a/__MACOSX/1.jpg"), {1, 2, 3});
  const cks::ImageDataset data = cks::load_image_classes(folder.path());
  CHECK(data.size() == 2);
  CHECK(data.class_names == std::vector<std::string>{"a"});
  CHECK(data.source.warning == "1 of 2 images are not quite whole and were read; the first: '" +
                                   folder.file("a/2.jpg") +
                                   "' lacks its end mark; its pixels are whole");
}
