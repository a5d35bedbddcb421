#include "tests/datasets/pictures.h"

#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <stdexcept>

#include "tests/support/fill.h"

#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>

namespace cks::testing {

namespace {

Bytes big_endian(std::uint32_t value) { return with_word(Bytes(4), 0, value); }

void append(void* context, void* data, int size) {
  const auto* bytes = static_cast<const std::uint8_t*>(data);
  auto* all = static_cast<Bytes*>(context);
  all->insert(all->end(), bytes, bytes + size);
}

}  // namespace

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Bytes cut(const Bytes& bytes, std::size_t count) {
  return {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count)};
}

Bytes flipped(Bytes bytes, std::uint64_t bit) {
  bytes.at(bit / 8) ^= static_cast<std::uint8_t>(1U << (bit % 8));
  return bytes;
}

Bytes tar_header(const std::string& name, std::size_t size, char kind) {
  std::string header(512, '\0');
  const auto put = [&](std::size_t at, const std::string& text) {
    header.replace(at, text.size(), text);
  };
  const auto octal = [](std::size_t value, int digits) {
    char text[32];
    std::snprintf(text, sizeof(text), "%0*zo", digits, value);
    return std::string(text);
  };
  put(0, name);
  put(100, "0000644");
  put(124, octal(size, 11));
  put(148, "        ");
  put(156, std::string(1, kind));
  put(257, std::string("ustar\0", 6) + "00");
  std::size_t sum = 0;
  for (const char c : header) {
    sum += static_cast<std::uint8_t>(c);
  }
  put(148, octal(sum, 6) + std::string("\0", 1) + " ");
  return {header.begin(), header.end()};
}

Bytes tar(const std::vector<std::pair<std::string, Bytes>>& files) {
  Bytes archive;
  for (const auto& [name, content] : files) {
    archive = std::move(archive) + tar_header(name, content.size()) + content;
    archive.resize((archive.size() + 511) / 512 * 512);
  }
  archive.resize(archive.size() + 1024);
  return archive;
}

Bytes png_chunk(const std::string& kind, const Bytes& data) {
  const Bytes sealed = Bytes(kind.begin(), kind.end()) + data;
  const auto sum =
      static_cast<std::uint32_t>(crc32(0, sealed.data(), static_cast<uInt>(sealed.size())));
  return big_endian(static_cast<std::uint32_t>(data.size())) + sealed + big_endian(sum);
}

Bytes png(std::uint32_t height, std::uint32_t width, PngColour colour, const Bytes& samples,
          std::uint8_t bit_depth, const Bytes& palette) {
  Bytes rows;
  const std::size_t row = height == 0 ? 0 : samples.size() / height;
  for (std::size_t y = 0; y < height; ++y) {
    rows.push_back(0);  // no filter
    rows.insert(rows.end(), samples.begin() + static_cast<std::ptrdiff_t>(y * row),
                samples.begin() + static_cast<std::ptrdiff_t>((y + 1) * row));
  }
  uLongf size = compressBound(rows.size());
  Bytes packed(size);
  if (compress2(packed.data(), &size, rows.data(), rows.size(), 6) != Z_OK) {
    throw std::runtime_error("compress2 failed");
  }
  packed.resize(size);
  const Bytes head = big_endian(width) + big_endian(height) +
                     Bytes{bit_depth, static_cast<std::uint8_t>(colour), 0, 0, 0};
  Bytes file = Bytes{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'} + png_chunk("IHDR", head);
  if (!palette.empty()) {
    file = file + png_chunk("PLTE", palette);
  }
  return file + png_chunk("IDAT", packed) + png_chunk("IEND", {});
}

Bytes png(const Tensor& image) {
  return png(static_cast<std::uint32_t>(image.size(0)), static_cast<std::uint32_t>(image.size(1)),
             image.size(2) == 1 ? PngColour::grey : PngColour::rgb,
             image.to_vector<std::uint8_t>());
}

Bytes jpeg(const Tensor& image, int quality) {
  Bytes file;
  if (stbi_write_jpg_to_func(append, &file, static_cast<int>(image.size(1)),
                             static_cast<int>(image.size(0)), static_cast<int>(image.size(2)),
                             image.data(), quality) == 0) {
    throw std::runtime_error("stbi_write_jpg_to_func failed");
  }
  return file;
}

Bytes number(std::uint32_t value, int bytes, bool little) {
  Bytes out;
  for (int i = 0; i < bytes; ++i) {
    out.push_back(static_cast<std::uint8_t>(value >> 8 * (little ? i : bytes - 1 - i)));
  }
  return out;
}

Bytes exif(std::uint32_t orientation, bool little) {
  const auto n = [&](std::uint32_t value, int bytes) { return number(value, bytes, little); };
  return Bytes{'E', 'x', 'i', 'f', 0, 0} + (little ? Bytes{'I', 'I'} : Bytes{'M', 'M'}) + n(42, 2) +
         n(8, 4) + n(2, 2) +                           //
         n(0x100, 2) + n(4, 2) + n(1, 4) + n(24, 4) +  //
         n(0x112, 2) + n(3, 2) + n(1, 4) + n(orientation, 2) + n(0, 2) + n(0, 4);
}

Bytes with_exif(const Bytes& photo, const Bytes& block) {
  return cut(photo, 2) + Bytes{0xff, 0xe1} +
         number(static_cast<std::uint32_t>(block.size() + 2), 2, false) + block +
         Bytes(photo.begin() + 2, photo.end());
}

Tensor turned(const Tensor& stored, int orientation) {
  const std::int64_t h = stored.size(0);
  const std::int64_t w = stored.size(1);
  const std::int64_t c = stored.size(2);
  const bool exchanged = orientation >= 5;
  const Shape shape{exchanged ? w : h, exchanged ? h : w, c};
  const Bytes from = stored.to_vector<std::uint8_t>();
  Bytes to;
  for (std::int64_t y = 0; y < shape[0]; ++y) {
    for (std::int64_t x = 0; x < shape[1]; ++x) {
      const std::pair<std::int64_t, std::int64_t> places[]{
          {y, x}, {y, w - 1 - x}, {h - 1 - y, w - 1 - x}, {h - 1 - y, x},
          {x, y}, {h - 1 - x, y}, {h - 1 - x, w - 1 - y}, {x, w - 1 - y}};
      const auto& [row, column] = places[orientation - 1];
      const auto pixel = from.begin() + (row * w + column) * c;
      to.insert(to.end(), pixel, pixel + c);
    }
  }
  return Tensor::from_vector<std::uint8_t>(to, shape);
}

Tensor noise_image(std::int64_t height, std::int64_t width, std::int64_t channels,
                   std::uint64_t seed) {
  Tensor image = Tensor::empty({height, width, channels}, DType::uint8);
  auto* pixels = image.data_as<std::uint8_t>();
  for (std::int64_t i = 0; i < image.numel(); ++i) {
    pixels[i] = static_cast<std::uint8_t>(random_bits(seed, static_cast<std::uint64_t>(i)) >> 56);
  }
  return image;
}

Tensor smooth_image(std::int64_t height, std::int64_t width, std::int64_t channels,
                    std::uint64_t seed) {
  Tensor image = Tensor::empty({height, width, channels}, DType::uint8);
  auto* pixels = image.data_as<std::uint8_t>();
  const std::int64_t level = random_integer(seed, 0, 40, 120);
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      for (std::int64_t c = 0; c < channels; ++c) {
        *pixels++ = static_cast<std::uint8_t>(level + 60 * y / height + 40 * x / width + 10 * c);
      }
    }
  }
  return image;
}

}  // namespace cks::testing
