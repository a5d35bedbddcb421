#pragma once
#include <cstdint>
#include <string>

#include "cks/core/tensor/tensor.h"

namespace cks {

/// An image as the bytes of a PNG file.
///
/// Shapes  uint8 [H,W,C] on the CPU, C = 1 (grey) or 3 (red, green, blue), at least one pixel and
///         at most 2^14 rows and columns.
/// Throws  ShapeError, DtypeError, DeviceError, naming `operation`.
std::string encode_png(const Tensor& image, const char* operation = "encode_png");

/// Writes an image as a PNG file; the file is replaced at once. Throws as above; IoError if the
/// file cannot be written.
void write_png(const std::string& path, const Tensor& image);

/// Images side by side in rows, on white, with white lines between them.
///
/// Shapes  uint8 [N,H,W,C] on the CPU, N at least 1; the result is [rows,width,C] with
///         rows = ceil(N/columns) * (H+gap) - gap and width = columns * (W+gap) - gap.
/// Units   gap in pixels.
/// Throws  ShapeError, DtypeError, DeviceError; Error if columns < 1 or gap < 0.
Tensor picture_grid(const Tensor& images, std::int64_t columns, std::int64_t gap = 2);

struct SaveImageOptions {
  std::int64_t columns = 8;  // of the grid, at most; of one image 1
  std::int64_t gap = 2;      // pixels between images
  double low = 0.0;          // what becomes black,
  double high = 1.0;         // and white
};

/// Writes images as one PNG file, side by side in rows: uint8 as they are, float32 and float64 with
/// low to high as 0 to 255, rounded and cut; a NaN is black.
///
/// Shapes  [H,W,C] or [N,H,W,C] on any device, C = 1 (grey) or 3 (red, green, blue).
/// Throws  ShapeError, DtypeError; Error if columns < 1, gap < 0, or high is not above low; IoError
///         if the file cannot be written.
void save_image(const std::string& path, const Tensor& images,
                const SaveImageOptions& options = {});

}  // namespace cks
