#pragma once
#include <cstdint>
#include <string>

namespace cks::apps {

/// Of the images that a model takes.
struct ImageSize {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;
};

/// Reads "28x28x1", the value of --input. Throws Error unless it has that form, each number is in
/// [1, 999999] and the image is square, as the registered models take it.
ImageSize parse_image_size(const std::string& text);

}  // namespace cks::apps
