#include "apps/report/picture.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "cks/core/error.h"
#include "cks/core/io/file.h"
#include "cks/kernels/common/formatted_impl.h"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>

namespace cks::apps {
namespace {

void require_bytes(const char* operation, const char* argument, const Tensor& tensor, int rank) {
  if (tensor.rank() != rank || tensor.numel() == 0) {
    throw ShapeError(formatted("{}: {} must have rank {} and a pixel, got {}", operation, argument,
                               rank, tensor.shape()));
  }
  if (tensor.dtype() != DType::uint8) {
    throw DtypeError(
        formatted("{}: {} must be uint8, got {}", operation, argument, tensor.dtype()));
  }
  if (!tensor.device().is_cpu()) {
    throw DeviceError(
        formatted("{}: {} must be on the CPU, is on {}", operation, argument, tensor.device()));
  }
}

}  // namespace

std::string png_bytes(const Tensor& image) {
  require_bytes("write_png", "image", image, 3);
  const std::int64_t height = image.size(0), width = image.size(1), channels = image.size(2);
  if (channels != 1 && channels != 3) {
    throw ShapeError(
        formatted("write_png: image must have 1 or 3 channels, got {}", image.shape()));
  }
  constexpr std::int64_t kLongest = 1 << 14;  // stb counts bytes in int
  if (height > kLongest || width > kLongest) {
    throw ShapeError(formatted("write_png: image must have at most {} rows and columns, got {}",
                               kLongest, image.shape()));
  }
  std::string png;
  const auto append = [](void* text, void* bytes, int count) {
    static_cast<std::string*>(text)->append(static_cast<const char*>(bytes),
                                            static_cast<std::size_t>(count));
  };
  const int done = stbi_write_png_to_func(
      append, &png, static_cast<int>(width), static_cast<int>(height), static_cast<int>(channels),
      image.data_as<std::uint8_t>(), static_cast<int>(width * channels));
  if (done == 0) {
    throw IoError(formatted("write_png: cannot encode {}", image.shape()));
  }
  return png;
}

void write_png(const std::string& path, const Tensor& image) {
  write_file_atomically(path, png_bytes(image));
}

Tensor picture_grid(const Tensor& images, std::int64_t columns, std::int64_t gap) {
  require_bytes("picture_grid", "images", images, 4);
  if (columns < 1 || gap < 0) {
    throw Error(
        formatted("picture_grid: columns must be at least 1 and gap at least 0, got {} and {}",
                  columns, gap));
  }
  const std::int64_t count = images.size(0), height = images.size(1), width = images.size(2),
                     channels = images.size(3);
  const std::int64_t rows = (count + columns - 1) / columns;
  Tensor grid = Tensor::full({rows * (height + gap) - gap, columns * (width + gap) - gap, channels},
                             255, DType::uint8);
  const std::int64_t grid_row = grid.size(1) * channels;
  const std::int64_t image_row = width * channels;
  const auto* from = images.data_as<std::uint8_t>();
  for (std::int64_t i = 0; i < count; ++i) {
    auto* to = grid.data_as<std::uint8_t>() + i / columns * (height + gap) * grid_row +
               i % columns * (width + gap) * channels;
    for (std::int64_t y = 0; y < height; ++y) {
      std::memcpy(to + y * grid_row, from, static_cast<std::size_t>(image_row));
      from += image_row;
    }
  }
  return grid;
}

Tensor denormalised(const Tensor& images, const std::vector<float>& mean,
                    const std::vector<float>& std) {
  const std::size_t channels = mean.size();
  if (images.rank() != 4 || images.size(3) != static_cast<std::int64_t>(channels) ||
      std.size() != channels) {
    throw ShapeError(
        formatted("denormalised: images must be [N,H,W,C] with a mean and a std for each of C, got "
                  "{}, {} means, {} stds",
                  images.shape(), channels, std.size()));
  }
  const std::vector<float> values = images.to_vector<float>();
  Tensor bytes = Tensor::empty(images.shape(), DType::uint8);
  auto* out = bytes.data_as<std::uint8_t>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float value = 255.0F * (values[i] * std[i % channels] + mean[i % channels]);
    // A NaN becomes black.
    out[i] = value > 0.0F ? static_cast<std::uint8_t>(std::lround(std::min(value, 255.0F))) : 0;
  }
  return bytes;
}

}  // namespace cks::apps
