#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cks/core/tensor/tensor.h"

namespace cks::apps {

/// Writes an image as a PNG file; the file is replaced at once.
///
/// Shapes  uint8 [H,W,C] on the CPU, C = 1 (grey) or 3 (red, green, blue), at least one pixel.
/// Throws  ShapeError, DtypeError, DeviceError; IoError if the file cannot be written.
void write_png(const std::string& path, const Tensor& image);
/// The bytes of such a file.
std::string png_bytes(const Tensor& image);

/// Images side by side in rows, on white, with white lines between them.
///
/// Shapes  uint8 [N,H,W,C] on the CPU, N at least 1; the result is [rows,width,C] with
///         rows = ceil(N/columns) * (H+gap) - gap and width = columns * (W+gap) - gap.
/// Units   gap in pixels.
/// Throws  ShapeError, DtypeError, DeviceError; Error if columns < 1 or gap < 0.
Tensor picture_grid(const Tensor& images, std::int64_t columns, std::int64_t gap = 2);

/// Images of a batch as bytes again: 255 * (x * std + mean), rounded and cut to [0, 255].
///
/// Shapes  images float32 [N,H,W,C], a mean and a std for each channel.
/// Throws  ShapeError, DtypeError.
Tensor denormalised(const Tensor& images, const std::vector<float>& mean,
                    const std::vector<float>& std);

}  // namespace cks::apps
