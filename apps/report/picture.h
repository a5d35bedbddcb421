#pragma once
#include <vector>

#include "cks/core/tensor/tensor.h"
#include "cks/datasets/images/image_write.h"

namespace cks::apps {

/// Images of a batch as bytes again: 255 * (x * std + mean), rounded and cut to [0, 255].
///
/// Shapes  images float32 [N,H,W,C], a mean and a std for each channel.
/// Throws  ShapeError, DtypeError.
Tensor denormalised(const Tensor& images, const std::vector<float>& mean,
                    const std::vector<float>& std);

}  // namespace cks::apps
