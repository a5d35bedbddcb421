#pragma once
#include <string>
#include <vector>

#include "cks/core/tensor/tensor.h"

namespace cks {

/// An image as lines of characters for a terminal, whose characters are twice as high as wide: one
/// character stands for one pixel of the width and two of the height. Bright pixels get dense
/// characters, so that MNIST's ink shows as ink. All lines are equally long.
///
/// Shapes  image is uint8 [H,W], [H,W,C] or [1,H,W,C]; channels are averaged.
/// Throws  ShapeError, DtypeError.
std::vector<std::string> ascii_art(const Tensor& image);

/// Pictures of any size beside each other, tops aligned, with a caption under each, as one text
/// that ends with a line break. Throws Error unless there is one caption a picture.
std::string beside(const std::vector<std::vector<std::string>>& pictures,
                   const std::vector<std::string>& captions, int gap = 2);

}  // namespace cks
