#include "cks/datasets/images/image_io.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "cks/core/error.h"
#include "tests/datasets/pictures.h"
#include "tests/support/fill.h"

using cks::decode_image;
using cks::load_image;
using cks::resize_image;
using cks::Shape;
using cks::Tensor;
using namespace cks::testing;

namespace {

Bytes pixels_of(const Bytes& file, std::int64_t channels = 3) {
  return decode_image(file, "picture", {.channels = channels}).to_vector<std::uint8_t>();
}

std::string error_of(const Bytes& file) {
  return io_error([&] { decode_image(file, "picture"); });
}

Tensor image_of(const Bytes& pixels, Shape shape) {
  return Tensor::from_vector<std::uint8_t>(pixels, shape);
}

/// A progressive JPEG of 16 x 16 grey levels 40 + 6 x + 7 y, by libjpeg-turbo's cjpeg -progressive.
const Bytes kProgressive{
    0xff, 0xd8, 0xff, 0xe0, 0x00, 0x10, 0x4a, 0x46, 0x49, 0x46, 0x00, 0x01, 0x01, 0x00, 0x00, 0x01,
    0x00, 0x01, 0x00, 0x00, 0xff, 0xdb, 0x00, 0x43, 0x00, 0x03, 0x02, 0x02, 0x03, 0x02, 0x02, 0x03,
    0x03, 0x03, 0x03, 0x04, 0x03, 0x03, 0x04, 0x05, 0x08, 0x05, 0x05, 0x04, 0x04, 0x05, 0x0a, 0x07,
    0x07, 0x06, 0x08, 0x0c, 0x0a, 0x0c, 0x0c, 0x0b, 0x0a, 0x0b, 0x0b, 0x0d, 0x0e, 0x12, 0x10, 0x0d,
    0x0e, 0x11, 0x0e, 0x0b, 0x0b, 0x10, 0x16, 0x10, 0x11, 0x13, 0x14, 0x15, 0x15, 0x15, 0x0c, 0x0f,
    0x17, 0x18, 0x16, 0x14, 0x18, 0x12, 0x14, 0x15, 0x14, 0xff, 0xc2, 0x00, 0x0b, 0x08, 0x00, 0x10,
    0x00, 0x10, 0x01, 0x01, 0x11, 0x00, 0xff, 0xc4, 0x00, 0x16, 0x00, 0x01, 0x01, 0x01, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0x04, 0x06, 0xff, 0xda,
    0x00, 0x08, 0x01, 0x01, 0x00, 0x00, 0x00, 0x01, 0xc3, 0x20, 0x56, 0x81, 0xff, 0xc4, 0x00, 0x16,
    0x10, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x04, 0x05, 0xff, 0xda, 0x00, 0x08, 0x01, 0x01, 0x00, 0x01, 0x05, 0x02, 0x4a, 0x78,
    0x94, 0xf1, 0x29, 0xe2, 0x53, 0xcf, 0xff, 0xc4, 0x00, 0x16, 0x10, 0x00, 0x03, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x21, 0xff, 0xda,
    0x00, 0x08, 0x01, 0x01, 0x00, 0x06, 0x3f, 0x02, 0x50, 0x50, 0x50, 0x50, 0xff, 0xc4, 0x00, 0x14,
    0x10, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x20, 0xff, 0xda, 0x00, 0x08, 0x01, 0x01, 0x00, 0x01, 0x3f, 0x21, 0x11, 0x11, 0x1f, 0xff,
    0xda, 0x00, 0x08, 0x01, 0x01, 0x00, 0x00, 0x00, 0x10, 0xcf, 0xff, 0xc4, 0x00, 0x15, 0x10, 0x01,
    0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0xf1, 0xff, 0xda, 0x00, 0x08, 0x01, 0x01, 0x00, 0x01, 0x3f, 0x10, 0x90, 0x90, 0x90, 0x90, 0xff,
    0xd9};

/// Where a pattern begins.
std::size_t place_of(const Bytes& bytes, const Bytes& pattern) {
  return static_cast<std::size_t>(
      std::search(bytes.begin(), bytes.end(), pattern.begin(), pattern.end()) - bytes.begin());
}

/// A PNG whose header claims another size than its pixels have.
Bytes png_claiming(std::uint32_t height, std::uint32_t width, const Bytes& pixels = Bytes(20)) {
  Bytes head = with_word(with_word(Bytes(13), 0, width), 4, height);
  head[8] = 8;
  return Bytes{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'} + png_chunk("IHDR", head) +
         png_chunk("IDAT", pixels) + png_chunk("IEND", {});
}

}  // namespace

TEST_CASE("image: PNG of every kind") {
  const Tensor colour = noise_image(5, 7, 3);
  CHECK(decode_image(png(colour), "picture").shape() == Shape{5, 7, 3});
  CHECK(pixels_of(png(colour)) == colour.to_vector<std::uint8_t>());
  const Tensor grey = noise_image(5, 7, 1);
  CHECK(pixels_of(png(grey), 1) == grey.to_vector<std::uint8_t>());
  CHECK(pixels_of(png(1, 2, PngColour::grey, {10, 20})) == Bytes{10, 10, 10, 20, 20, 20});
  CHECK(pixels_of(png(1, 2, PngColour::rgb, {100, 50, 200, 255, 255, 255}), 1) == Bytes{82, 255});
  CHECK(pixels_of(png(1, 2, PngColour::palette, {1, 0}, 8, {1, 2, 3, 4, 5, 6})) ==
        Bytes{4, 5, 6, 1, 2, 3});
  // Bits and 16-bit samples.
  CHECK(pixels_of(png(1, 8, PngColour::grey, {0xa0}, 1), 1) == Bytes{255, 0, 255, 0, 0, 0, 0, 0});
  CHECK(pixels_of(png(1, 2, PngColour::grey, {0x12, 0xff, 0xfe, 0x00}, 16), 1) ==
        Bytes{0x12, 0xfe});
}

TEST_CASE("image: what is transparent shows white through") {
  const Bytes file = png(1, 3, PngColour::rgba, {9, 8, 7, 255, 9, 8, 7, 0, 100, 0, 255, 128});
  CHECK(pixels_of(file) == Bytes{9, 8, 7, 255, 255, 255, 177, 127, 255});
  CHECK(pixels_of(png(1, 2, PngColour::grey_alpha, {50, 255, 50, 0}), 1) == Bytes{50, 255});
}

TEST_CASE("image: JPEG in colour and grey") {
  for (const std::int64_t channels : {1, 3}) {
    const Tensor image = smooth_image(33, 50, channels);
    const Bytes read = pixels_of(jpeg(image), channels);
    const Bytes original = image.to_vector<std::uint8_t>();
    REQUIRE(read.size() == original.size());
    int worst = 0;
    for (std::size_t i = 0; i < read.size(); ++i) {
      worst = std::max(worst, std::abs(int{read[i]} - int{original[i]}));
    }
    CHECK(worst <= 6);
  }
}

TEST_CASE("image: a progressive JPEG") {
  const Bytes read = pixels_of(kProgressive, 1);
  REQUIRE(read.size() == 256);
  for (int i = 0; i < 256; ++i) {
    CHECK(std::abs(int{read[static_cast<std::size_t>(i)]} - (40 + 6 * (i % 16) + 7 * (i / 16))) <=
          3);
  }
}

TEST_CASE("image: Huffman tables that would overrun the decoder's") {
  Bytes photo = jpeg(smooth_image(16, 16, 3));
  // Marker, length, class of the table, then how many codes of 1 to 16 bits it has.
  const std::size_t table = place_of(photo, {0xff, 0xc4}) + 4;
  REQUIRE(table < photo.size());
  Bytes crowded = photo;
  crowded[table + 16] = 255;
  CHECK(contains(error_of(crowded), "at byte " + std::to_string(table)));
  CHECK(contains(error_of(crowded), "expected at most 255"));
  Bytes tables(2 + 17 + 256);
  tables[0] = 0x01;
  tables[1] = 0x13;
  tables[2 + 15] = 128;
  tables[2 + 16] = 128;
  const Bytes head{0xff, 0xd8, 0xff, 0xc4};
  CHECK(contains(error_of(head + tables + Bytes{0xff, 0xd9}), "has 256 codes"));
  // Behind coded pixels that go on after several bytes of 0xff: these with the zero are one.
  const auto scan = static_cast<std::ptrdiff_t>(place_of(photo, {0xff, 0xda}) + 2 + 12);
  const Bytes begun(photo.begin(), photo.begin() + scan);
  const Bytes pixels{0xff, 0xff, 0xff, 0, 0xff, 0xc4};
  CHECK(contains(error_of(begun + pixels + tables + Bytes{0xff, 0xd9}), "has 256 codes"));
}

TEST_CASE("image: a file by its path, whatever its name") {
  const TemporaryFolder folder;
  const Tensor image = noise_image(4, 6, 3);
  write_file(folder.file("a.jpg"), png(image));
  CHECK(load_image(folder.file("a.jpg")).to_vector<std::uint8_t>() ==
        image.to_vector<std::uint8_t>());
  CHECK(contains(io_error([&] { load_image(folder.file("none")); }), folder.file("none")));
  CHECK(contains(io_error([&] { load_image(folder.path()); }), folder.path()));
}

TEST_CASE("image: errors name the file and say what is wrong") {
  CHECK(contains(error_of({}), "'picture' at byte 0: the file is empty"));
  CHECK(contains(error_of({'G', 'i', 'f', '8', '9', 'a'}), "neither a PNG nor a JPEG, BMP or GIF"));
  for (const auto& [format, first] :
       {std::pair<std::string, Bytes>{"WebP", {'R', 'I', 'F', 'F', 1, 2, 3, 4, 'W', 'E', 'B', 'P'}},
        {"TIFF", {'I', 'I', '*', 0, 8}},
        {"TIFF", {'M', 'M', 0, '*', 0}},
        {"AVIF", {0, 0, 0, 28, 'f', 't', 'y', 'p', 'a', 'v', 'i', 'f'}},
        {"HEIC", {0, 0, 0, 28, 'f', 't', 'y', 'p', 'h', 'e', 'i', 'c'}}}) {
    CAPTURE(format);
    CHECK(error_of(first) ==
          "read_image: 'picture' at byte 0: the file is " + format + ", not PNG, JPEG, BMP or GIF");
    CHECK(contains(error_of(Bytes(first.begin(), first.begin() + 2)), "neither a PNG nor a JPEG"));
  }
  CHECK(contains(error_of(png_claiming(0, 5)),
                 "'picture' at byte 16: has 5 x 0 pixels, expected sides of 1 to 16384"));
  CHECK(contains(error_of(png_claiming(20000, 5)), "has 5 x 20000 pixels"));
  Bytes wide = jpeg(smooth_image(16, 24, 3));
  const std::size_t frame = place_of(wide, {0xff, 0xc0});
  REQUIRE(frame < wide.size());
  wide[frame + 7] = 0xff;
  CHECK(contains(error_of(wide),
                 "'picture' at byte " + std::to_string(frame + 5) + ": has 65304 x 16 pixels"));
  CHECK(
      contains(error_of(png_claiming(16000, 16000)), "has 16000 x 16000 pixels, expected at most"));
  CHECK(contains(error_of(png_claiming(8, 8)), "cannot be decoded"));
  CHECK(contains(error_of(flipped(png(noise_image(4, 4, 3)), 8 * 50)), "the CRC of a chunk is"));
  CHECK(contains(error_of(png(noise_image(4, 4, 3)) + Bytes{1, 2, 3}), "no IoError"));
  const Bytes photo = jpeg(smooth_image(16, 16, 3));
  CHECK(contains(error_of(cut(photo, photo.size() / 2)), "cut short"));
  CHECK(contains(error_of(photo + Bytes{1, 2, 3}), "no IoError"));
  CHECK(contains(error_of(Bytes{0xff, 0xd8, 0xff, 0xe0, 0, 1}), "a segment has 1 bytes"));
  CHECK(contains(error_of(Bytes{0xff, 0xd8, 0xff, 0xd9}), "cannot be decoded"));
  CHECK_THROWS_AS(decode_image(photo, "p", {.channels = 4}), cks::Error);
  CHECK_THROWS_AS(decode_image(photo, "p", {.max_pixels = 0}), cks::Error);
  CHECK(contains(io_error([&] { decode_image(photo, "p", {.max_pixels = 255}); }),
                 "16 x 16 pixels, expected at most 255"));
}

TEST_CASE("image: a small PNG may be a large picture, and one that holds more is read as it says") {
  const Bytes bomb = png(64, 16384, PngColour::rgba, Bytes(64U * 16384 * 4));
  CHECK(bomb.size() < 10000);
  CHECK(decode_image(bomb, "bomb").shape() == Shape{64, 16384, 3});
  // Far more pixels than the header says.
  const Bytes claims_less = png(1, 4, PngColour::grey, Bytes(std::size_t{1} << 22));
  CHECK(pixels_of(claims_less, 1).size() == 4);
}

TEST_CASE(
    "image: a file that claims more pixels than its bytes can hold, or holds far more: an error") {
  CHECK(contains(error_of(png(8192, 8192, PngColour::rgba, Bytes())),
                 "bytes cannot hold 8192 x 8192 pixels"));
  const Bytes gif = Bytes{'G', 'I', 'F', '8', '9', 'a', 0, 0x20, 0, 0x20, 0,    0, 0, ',', 0,
                          0,   0,   0,   1,   0,   1,   0, 0,    2, 2,    0x4c, 1, 0, ';'};
  CHECK(contains(error_of(gif), "29 bytes cannot hold 8192 x 8192 pixels"));
  const Bytes inflates = png(1, 4, PngColour::grey, Bytes(std::size_t{1} << 26));
  CHECK(inflates.size() < 100'000);
  CHECK(contains(error_of(inflates), "cannot be decoded"));
}

TEST_CASE("image: a PNG whose first chunk of pixels is empty") {  // found by fuzzing
  CHECK(contains(error_of(png_claiming(3, 3, {})),
                 "at byte 33: the PNG's first chunk of pixels is empty, which is not read"));
}

TEST_CASE("image: PNG and JPEG cut at every 97th byte: an error") {
  for (const Bytes& whole :
       {png(noise_image(40, 40, 3)), jpeg(noise_image(40, 40, 3)), jpeg(smooth_image(40, 40, 1))}) {
    for (std::size_t length = 0; length < whole.size(); length += 97) {
      CAPTURE(length);
      CHECK(error_of(cut(whole, length)) != "no IoError");
    }
  }
  const Bytes lossless = png(noise_image(40, 40, 3));
  CHECK(error_of(cut(lossless, lossless.size() - 1)) != "no IoError");
}

TEST_CASE("image: 10,000 flipped bits: an error or an image; a PNG is never another one") {
  const Tensor image = noise_image(12, 12, 3);
  const Bytes lossless = png(image);
  const Bytes photo = jpeg(image, 80);
  std::int64_t errors = 0;
  for (std::uint64_t i = 0; i < 10000; ++i) {
    const bool is_png = i % 4 == 0;
    const Bytes& whole = is_png ? lossless : i % 4 == 1 ? kProgressive : photo;
    CAPTURE(i);
    try {
      const Tensor read =
          decode_image(flipped(whole, random_bits(9, i) % (whole.size() * 8)), "picture");
      CHECK_FALSE(is_png);
      CHECK(read.size(2) == 3);
    } catch (const cks::IoError&) {
      ++errors;
    }
  }
  CHECK(errors > 4000);
}

TEST_CASE("image: damage behind right checksums reaches the decoder and stops there") {
  const Bytes whole = png(noise_image(12, 12, 3));
  // The chunk of pixels begins after the signature and IHDR.
  const std::size_t begin = 8 + 25 + 8;
  const Bytes packed(whole.begin() + static_cast<std::ptrdiff_t>(begin), whole.end() - 12 - 4);
  const Bytes head(whole.begin(), whole.begin() + 8 + 25);
  std::int64_t errors = 0;
  for (std::uint64_t i = 0; i < 10000; ++i) {
    const Bytes damaged = flipped(packed, random_bits(11, i) % (packed.size() * 8));
    const Bytes file = head + png_chunk("IDAT", damaged) + png_chunk("IEND", {});
    CAPTURE(i);
    try {
      const Tensor read = decode_image(file, "picture");
      CHECK(read.shape() == Shape{12, 12, 3});
    } catch (const cks::IoError&) {
      ++errors;
    }
  }
  CHECK(errors > 100);
}

TEST_CASE("resize: values by hand") {
  const Tensor row = image_of({0, 100, 200, 40}, {1, 4, 1});
  // Halved, the triangles reach two pixels to both sides of their middle: weights 3 3 1 and 1 3 3,
  // those outside of the image left out.
  CHECK(resize_image(row, 1, 2).to_vector<std::uint8_t>() == Bytes{71, 117});
  // Doubled, new middles lie a quarter of a pixel beside the old ones.
  CHECK(resize_image(image_of({0, 100}, {1, 2, 1}), 1, 4).to_vector<std::uint8_t>() ==
        Bytes{0, 25, 75, 100});
  CHECK(resize_image(image_of({0, 100}, {2, 1, 1}), 4, 1).to_vector<std::uint8_t>() ==
        Bytes{0, 25, 75, 100});
  CHECK(resize_image(image_of({10, 20, 30}, {1, 1, 3}), 2, 2).to_vector<std::uint8_t>() ==
        Bytes{10, 20, 30, 10, 20, 30, 10, 20, 30, 10, 20, 30});
}

TEST_CASE("resize: keeps the image at its own size, one colour at any, and the mean") {
  const Tensor image = noise_image(13, 17, 3);
  CHECK(resize_image(image, 13, 17).to_vector<std::uint8_t>() == image.to_vector<std::uint8_t>());
  const Tensor flat = image_of(Bytes(13 * 17 * 3, 201), {13, 17, 3});
  for (const auto& [h, w] : {std::pair{1, 1}, {5, 40}, {100, 3}, {64, 64}}) {
    CHECK(resize_image(flat, h, w).to_vector<std::uint8_t>() ==
          Bytes(static_cast<std::size_t>(h * w * 3), 201));
  }
  const Tensor small = resize_image(noise_image(256, 256, 1), 8, 8);
  for (const std::uint8_t value : small.to_vector<std::uint8_t>()) {
    CHECK(std::abs(int{value} - 128) < 20);  // each is a mean of more than a thousand
  }
}

TEST_CASE("resize: crop keeps the middle, letterbox all of it") {
  using cks::ImageFit;
  const Tensor wide = image_of({1, 2, 3, 4, 5, 6, 7, 8}, {2, 4, 1});
  CHECK(resize_image(wide, 2, 2, ImageFit::crop).to_vector<std::uint8_t>() == Bytes{2, 3, 6, 7});
  CHECK(resize_image(wide, 4, 4, ImageFit::letterbox).to_vector<std::uint8_t>() ==
        Bytes{0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0});
  const Tensor tall = image_of({1, 2, 3, 4, 5, 6, 7, 8}, {4, 2, 1});
  CHECK(resize_image(tall, 2, 2, ImageFit::crop).to_vector<std::uint8_t>() == Bytes{3, 4, 5, 6});
  CHECK(resize_image(tall, 4, 4, ImageFit::letterbox).to_vector<std::uint8_t>() ==
        Bytes{0, 1, 2, 0, 0, 3, 4, 0, 0, 5, 6, 0, 0, 7, 8, 0});
  const Tensor image = noise_image(31, 47, 3);
  for (const ImageFit fit : cks::kImageFits) {
    CAPTURE(cks::name_of(fit));
    CHECK(cks::parse_image_fit(cks::name_of(fit)) == fit);
    // Nothing to fit where the aspect ratio is the same, and extreme ones have a pixel left.
    CHECK(resize_image(image, 62, 94, fit).to_vector<std::uint8_t>() ==
          resize_image(image, 62, 94).to_vector<std::uint8_t>());
    CHECK(resize_image(noise_image(1, 400, 3), 8, 8, fit).shape() == Shape{8, 8, 3});
    CHECK(resize_image(noise_image(400, 1, 3), 8, 8, fit).shape() == Shape{8, 8, 3});
  }
  // A square in the middle stays a square.
  Tensor square = Tensor::zeros({20, 60, 1}, cks::DType::uint8);
  for (std::int64_t y = 5; y < 15; ++y) {
    std::fill_n(square.data_as<std::uint8_t>() + y * 60 + 25, 10, std::uint8_t{200});
  }
  const auto extent = [&](ImageFit fit) {  // rows and columns that are lit, of 20
    const Bytes pixels = resize_image(square, 20, 20, fit).to_vector<std::uint8_t>();
    std::pair<int, int> lit;
    for (std::size_t i = 0; i < 20; ++i) {
      lit.first += pixels[20 * i + 10] > 100 ? 1 : 0;
      lit.second += pixels[200 + i] > 100 ? 1 : 0;
    }
    return lit;
  };
  CHECK(extent(ImageFit::crop) == std::pair(10, 10));
  CHECK(extent(ImageFit::stretch).first > 2 * extent(ImageFit::stretch).second);
  const auto [rows, columns] = extent(ImageFit::letterbox);
  CHECK(std::abs(rows - columns) <= 1);
  CHECK_THROWS_WITH_AS(cks::parse_image_fit("fill"), doctest::Contains("stretch, crop, letterbox"),
                       cks::Error);
}

TEST_CASE("resize: wrong arguments") {
  const Tensor image = noise_image(4, 4, 3);
  CHECK_THROWS_AS(resize_image(image, 0, 4), cks::Error);
  CHECK_THROWS_AS(resize_image(image, 4, 16385), cks::Error);
  CHECK_THROWS_AS(resize_image(Tensor::empty({4, 4}, cks::DType::uint8), 4, 4), cks::ShapeError);
  CHECK_THROWS_AS(resize_image(Tensor::empty({4, 4, 3}), 4, 4), cks::DtypeError);
}
