#include "cks/datasets/images/image_io.h"

#include <cstdlib>
#include <cstring>
#include <memory>

#include "cks/core/error.h"
#include "cks/core/io/file.h"
#include "cks/datasets/images/image_container_impl.h"
#include "cks/kernels/common/formatted_impl.h"

namespace {

// A file of a few megabytes can claim to inflate to many gigabytes.
constexpr std::size_t kMaxAllocation = std::size_t{1} << 30;

/// Zeroed, so that pixels which a damaged file leaves out are the same in each run.
void* allocate(std::size_t bytes) {
  return bytes > kMaxAllocation ? nullptr : std::calloc(bytes, 1);
}

void* reallocate(void* memory, std::size_t bytes) {
  return bytes > kMaxAllocation ? nullptr : std::realloc(memory, bytes);
}

}  // namespace

// Static: an application may bring an stb_image of its own.
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
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

struct FreePixels {
  void operator()(stbi_uc* pixels) const { stbi_image_free(pixels); }
};

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw IoError(formatted("read_image: '{}': {}", path, what));
}

void check_options(const ImageReadOptions& options) {
  if (options.channels != 1 && options.channels != 3) {
    throw Error(formatted("read_image: channels is {}, expected 1 or 3", options.channels));
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

/// From the file's 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha) channels to 1 or 3.
void convert_pixels(const std::uint8_t* from, int channels, std::int64_t pixels,
                    std::int64_t wanted, std::uint8_t* to) {
  const bool has_alpha = channels % 2 == 0;
  const int values = has_alpha ? channels - 1 : channels;
  for (std::int64_t p = 0; p < pixels; ++p, from += channels, to += wanted) {
    std::uint8_t rgb[3] = {};
    for (int c = 0; c < 3; ++c) {
      const std::uint8_t value = from[c % values];
      rgb[c] = has_alpha ? on_white(value, from[values]) : value;
    }
    if (wanted == 1) {
      *to = values == 1 ? rgb[0] : grey_of(rgb);
    } else {
      std::memcpy(to, rgb, sizeof(rgb));
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
  check_image_container(file, path);
  const auto bytes = static_cast<int>(file.size());
  int width = 0;
  int height = 0;
  int channels = 0;
  // The size comes first: nothing is allocated for a picture that is too large.
  if (stbi_info_from_memory(file.data(), bytes, &width, &height, &channels) == 0) {
    fail(path, std::string("cannot be decoded: ") + stbi_failure_reason());
  }
  if (std::int64_t{height} * width > options.max_pixels) {
    fail(path, formatted("has {} x {} pixels, expected at most {} in all", height, width,
                         options.max_pixels));
  }
  const std::unique_ptr<stbi_uc, FreePixels> pixels(
      stbi_load_from_memory(file.data(), bytes, &width, &height, &channels, 0));
  if (pixels == nullptr) {
    fail(path, std::string("cannot be decoded: ") + stbi_failure_reason());
  }
  Tensor image = Tensor::empty({height, width, options.channels}, DType::uint8);
  convert_pixels(pixels.get(), channels, std::int64_t{height} * width, options.channels,
                 image.data_as<std::uint8_t>());
  return image;
}

Tensor load_image(const std::string& path, ImageReadOptions options) {
  check_options(options);
  const std::string file = read_file(path, kMaxFileBytes);
  return decode_image({reinterpret_cast<const std::uint8_t*>(file.data()), file.size()}, path,
                      options);
}

}  // namespace cks
