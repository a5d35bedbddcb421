#include "cks/datasets/images/image_io.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "cks/core/error.h"
#include "cks/core/io/file.h"
#include "cks/datasets/images/image_container_impl.h"
#include "cks/kernels/common/formatted_impl.h"

namespace {

// What the decoder may take at once. A file of a few megabytes can inflate to many gigabytes: it
// may beyond what its picture needs, but not far.
constexpr std::size_t kMaxAllocation = std::size_t{1} << 30;
constexpr std::size_t kSpareBytes = std::size_t{1} << 24;
constexpr std::size_t kMostBytesOfPixel = 32;
thread_local std::size_t most_bytes = kSpareBytes;

/// Zeroed, so that pixels which a damaged file leaves out are the same in each run.
void* allocate(std::size_t bytes) { return bytes > most_bytes ? nullptr : std::calloc(bytes, 1); }

void* reallocate(void* memory, std::size_t bytes) {
  return bytes > most_bytes ? nullptr : std::realloc(memory, bytes);
}

}  // namespace

// Static: an application may bring an stb_image of its own.
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_ONLY_GIF
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_FAILURE_USERMSG
#define STBI_MAX_DIMENSIONS 16384
#define STBI_MALLOC(bytes) allocate(bytes)
#define STBI_REALLOC(memory, bytes) reallocate(memory, bytes)
#define STBI_FREE(memory) std::free(memory)
#include <stb_image.h>

namespace cks {

namespace {

static_assert(kMaxImageSide == STBI_MAX_DIMENSIONS);
constexpr std::size_t kMaxFileBytes = std::size_t{1} << 29;

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw IoError(formatted("read_image: '{}': {}", path, what));
}

void check_options(const ImageReadOptions& options) {
  if (options.channels < 1 || options.channels > 3) {
    throw Error(formatted("read_image: channels is {}, expected 1, 2 or 3", options.channels));
  }
  if (options.max_pixels < 1) {
    throw Error(formatted("read_image: max_pixels is {}, expected at least 1", options.max_pixels));
  }
}

/// value * alpha / 255 on white, rounded.
std::uint8_t on_white(int value, int alpha) {
  return static_cast<std::uint8_t>((value * alpha + 255 * (255 - alpha) + 127) / 255);
}

std::uint8_t grey_of(const std::uint8_t* rgb) {
  return static_cast<std::uint8_t>((299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000);
}

struct Pixels {
  struct Free {
    void operator()(stbi_uc* memory) const { stbi_image_free(memory); }
  };
  std::unique_ptr<stbi_uc, Free> bytes;
  int height = 0;
  int width = 0;
  int channels = 0;  // 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha)

  std::int64_t count() const { return std::int64_t{height} * width; }
};

/// Its bytes are null where the file cannot be decoded; stbi_failure_reason() then says why.
Pixels decode(std::span<const std::uint8_t> file) {
  Pixels pixels;
  pixels.bytes.reset(stbi_load_from_memory(file.data(), static_cast<int>(file.size()),
                                           &pixels.width, &pixels.height, &pixels.channels, 0));
  return pixels;
}

/// A file that lacks its end mark. Pixels that lack as well would be read from what is put into
/// their place, and differ with it. Throws IoError where they do.
Pixels decode_endless(std::span<const std::uint8_t> file, const std::string& path) {
  // Bits that begin a code in different ways, without a byte 0xff, behind which a decoder looks for
  // the mark; so many that what they change is not lost in pixels that are black or white anyway.
  constexpr std::size_t kFillBytes = 1024;
  const auto decode_with = [&](char fill) {
    const std::string whole = with_end_mark(file, std::string(kFillBytes, fill));
    return decode({reinterpret_cast<const std::uint8_t*>(whole.data()), whole.size()});
  };
  const Pixels first = decode_with('\0');
  Pixels last;
  for (const char fill : {'\x55', '\xaa', '\xfe'}) {
    last = decode_with(fill);
    if (first.bytes == nullptr || last.bytes == nullptr ||
        std::memcmp(first.bytes.get(), last.bytes.get(),
                    static_cast<std::size_t>(last.count() * last.channels)) != 0) {
      fail(path, formatted("is cut short: it ends at byte {}, before its pixels do", file.size()));
    }
  }
  return last;
}

/// Where a pixel that is stored in row y and column x of height x width is to be seen.
std::int64_t upright(int orientation, std::int64_t y, std::int64_t x, std::int64_t height,
                     std::int64_t width) {
  const auto is_among = [&](int a, int b, int c, int d) {
    return orientation == a || orientation == b || orientation == c || orientation == d;
  };
  if (is_among(3, 4, 6, 7)) {  // the first stored row is at the bottom or on the right
    y = height - 1 - y;
  }
  if (is_among(2, 3, 7, 8)) {  // the first stored column is on the right or at the bottom
    x = width - 1 - x;
  }
  return orientation >= 5 ? x * height + y : y * width + x;
}

void convert_pixels(const Pixels& pixels, int orientation, const ImageReadOptions& options,
                    Tensor& image) {
  const int channels = pixels.channels;
  const bool has_alpha = channels % 2 == 0;
  const int values = has_alpha ? channels - 1 : channels;
  const auto place = [&](std::int64_t y, std::int64_t x) {
    return upright(orientation, y, x, pixels.height, pixels.width) * image.size(2);
  };
  const std::int64_t origin = place(0, 0);
  const std::int64_t down = place(1, 0) - origin;
  const std::int64_t across = place(0, 1) - origin;
  const stbi_uc* from = pixels.bytes.get();
  for (std::int64_t y = 0; y < pixels.height; ++y) {
    std::uint8_t* to = image.data_as<std::uint8_t>() + origin + y * down;
    for (std::int64_t x = 0; x < pixels.width; ++x, from += channels, to += across) {
      const std::uint8_t alpha = has_alpha ? from[values] : 255;
      std::uint8_t rgb[3] = {};
      for (int c = 0; c < 3; ++c) {
        rgb[c] = on_white(from[c % values], options.channels == 2 ? 255 : alpha);
      }
      if (options.channels < 3) {
        to[0] = values == 1 ? rgb[0] : grey_of(rgb);
        if (options.channels == 2) {
          to[1] = alpha;
        }
      } else {
        std::memcpy(to, rgb, sizeof(rgb));
      }
    }
  }
}

}  // namespace

Tensor decode_image(std::span<const std::uint8_t> file, const std::string& path,
                    ImageReadOptions options) {
  check_options(options);
  if (file.size() > kMaxFileBytes) {
    fail(path, formatted("has {} bytes, expected at most {}", file.size(), kMaxFileBytes));
  }
  const ImageContainer container = check_image_container(file, path);
  int width = 0;
  int height = 0;
  // The size comes first: nothing is allocated for a picture that is too large.
  if (stbi_info_from_memory(file.data(), static_cast<int>(file.size()), &width, &height, nullptr) ==
      0) {
    fail(path, std::string("cannot be decoded: ") + stbi_failure_reason());
  }
  height = std::abs(height);  // below zero in a BMP whose first row is the topmost
  if (std::int64_t{height} * width > options.max_pixels) {
    fail(path, formatted("has {} x {} pixels, expected at most {} in all", width, height,
                         options.max_pixels));
  }
  // Deflate, the tightest of them, makes at most 1032 bytes of one, with a pixel in each bit.
  constexpr std::int64_t kMostPixelsOfByte = std::int64_t{8} * 1032;
  if (std::int64_t{height} * width > static_cast<std::int64_t>(file.size()) * kMostPixelsOfByte) {
    fail(path, formatted("is cut short or damaged: its {} bytes cannot hold {} x {} pixels",
                         file.size(), width, height));
  }
  most_bytes = std::min(
      kMaxAllocation,
      kSpareBytes + kMostBytesOfPixel * static_cast<std::size_t>(std::int64_t{height} * width));
  const Pixels pixels = container.lacks_end ? decode_endless(file, path) : decode(file);
  if (pixels.bytes == nullptr) {
    fail(path, std::string("cannot be decoded: ") + stbi_failure_reason());
  }
  const bool is_turned = container.orientation >= 5;
  Tensor image = Tensor::empty({is_turned ? pixels.width : pixels.height,
                                is_turned ? pixels.height : pixels.width, options.channels},
                               DType::uint8);
  convert_pixels(pixels, container.orientation, options, image);
  if (options.note != nullptr && container.lacks_end) {
    *options.note = formatted("'{}' lacks its end mark; its pixels are whole", path);
  }
  return image;
}

Tensor load_image(const std::string& path, ImageReadOptions options) {
  check_options(options);
  const std::string file = read_file(path, kMaxFileBytes);
  return decode_image({reinterpret_cast<const std::uint8_t*>(file.data()), file.size()}, path,
                      options);
}

}  // namespace cks
