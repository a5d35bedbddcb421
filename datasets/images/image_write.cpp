#include "cks/datasets/images/image_write.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "cks/core/error.h"
#include "cks/core/io/file.h"
#include "cks/core/ops/rearrange.h"
#include "cks/core/tensor/check.h"
#include "cks/kernels/common/formatted_impl.h"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>

namespace cks {
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

std::string encode_png(const Tensor& image, const char* operation) {
  require_bytes(operation, "image", image, 3);
  const std::int64_t height = image.size(0), width = image.size(1), channels = image.size(2);
  if (channels != 1 && channels != 3) {
    throw ShapeError(
        formatted("{}: image must have 1 or 3 channels, got {}", operation, image.shape()));
  }
  constexpr std::int64_t kLongest = 1 << 14;  // stb counts bytes in int
  if (height > kLongest || width > kLongest) {
    throw ShapeError(formatted("{}: image must have at most {} rows and columns, got {}", operation,
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
    throw Error(formatted("{}: cannot encode {}", operation, image.shape()));
  }
  return png;
}

void write_png(const std::string& path, const Tensor& image) {
  write_file_atomically(path, encode_png(image, "write_png"));
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
  const Tensor tiles = pad(images, {{0, rows * columns - count}, {0, gap}, {0, gap}, {}}, 255.0)
                           .reshape({rows, columns, height + gap, width + gap, channels});
  const Tensor grid = permute(tiles, {0, 2, 1, 3, 4})
                          .reshape({rows * (height + gap), columns * (width + gap), channels});
  return slice(slice(grid, 0, 0, grid.size(0) - gap), 1, 0, grid.size(1) - gap);
}

void save_image(const std::string& path, const Tensor& images, const SaveImageOptions& options) {
  const char* name = "save_image";
  if (images.rank() == 3) {
    const Shape& one = images.shape();
    return save_image(path, images.reshape({1, one[0], one[1], one[2]}), options);
  }
  if (images.rank() != 4 || images.numel() == 0) {
    throw ShapeError(formatted("{}: images must be [H,W,C] or [N,H,W,C] with a pixel, got {}", name,
                               images.shape()));
  }
  if (!(options.low < options.high)) {
    throw Error(formatted("{}: high must be above low, got low {}, high {}", name, options.low,
                          options.high));
  }
  Tensor bytes = images.detach().to(Device::cpu());
  if (bytes.dtype() != DType::uint8) {
    ops::require_real(name, {"images", images});
    std::vector<std::uint8_t> pixels;
    for (const double value : bytes.to(DType::float64).to_vector<double>()) {
      const double level = 255.0 * (value - options.low) / (options.high - options.low);
      // A NaN compares false.
      pixels.push_back(level > 0.0 ? static_cast<std::uint8_t>(std::lround(std::min(level, 255.0)))
                                   : 0);
    }
    bytes = Tensor::from_vector(pixels, images.shape());
  }
  write_png(path, picture_grid(bytes, std::min(options.columns, images.size(0)), options.gap));
}

}  // namespace cks
