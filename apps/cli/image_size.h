#pragma once
#include <string>

#include "cks/core/tensor/shape.h"

namespace cks::apps {

/// [H,W,C] of "28x28x1", the value of --input. Throws Error unless it has that form, each number is
/// in [1, 999999] and the image is square, as the registered models take it.
Shape parse_image_size(const std::string& text);

}  // namespace cks::apps
