#pragma once
#include <cstdint>

#include "cks/datasets/dataset.h"
#include "cks/datasets/drawn/drawn_split.h"

namespace cks {

struct DrawnPicturesOptions {
  std::uint64_t seed = 1;
  std::int64_t train_count = 50000;
  std::int64_t test_count = 10000;
};

constexpr std::int64_t kDrawnPictureSide = 32;

/// Draws one picture and returns its label, 0 to 9.
///
/// What        a disc, ring, square, triangle or cross, with stripes or spots on it: ten classes.
///             Colours, place, size, proportions and the pattern's spacing and direction are random
///             and say nothing about the class, nor does the shape's small rotation. The shape is
///             brighter than the shaded background; small blobs lie behind it, at times a bar lies
///             across it, and noise over all.
/// Determinism a function of (seed, split, index) alone and the same bytes on every machine. The
///             two splits never share a random number.
/// Balance     each ten images from a multiple of ten on hold every class once.
/// Shapes      pixels has 32 * 32 * 3 bytes: rows of red, green, blue. index >= 0, else Error.
std::int64_t draw_picture(std::uint64_t seed, DrawnSplit split, std::int64_t index,
                          std::uint8_t* pixels);

/// A dataset of drawn colour pictures, of CIFAR-10's shape, that needs no file and no network.
/// Throws Error for a count below 1.
TrainTest drawn_pictures(DrawnPicturesOptions options = {});

}  // namespace cks
