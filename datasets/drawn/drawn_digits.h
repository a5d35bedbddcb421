#pragma once
#include <cstdint>

#include "cks/datasets/dataset.h"
#include "cks/datasets/drawn/drawn_split.h"

namespace cks {

struct DrawnDigitsOptions {
  std::uint64_t seed = 1;
  std::int64_t train_count = 60000;
  std::int64_t test_count = 10000;
};

constexpr std::int64_t kDrawnDigitSide = 28;

/// Draws one digit and returns its label, 0 to 9.
///
/// What        a way of writing the digit (digit_strokes.h), the pen's tremor, slant, rotation,
///             size, place, thickness and pressure, all random, with a soft pen on an empty 28 x 28
///             page, in MNIST's manner: 0 is paper, 255 is ink.
/// Determinism a function of (seed, split, index) alone and the same bytes on every machine. The
///             two splits never share a random number.
/// Balance     each ten images from a multiple of ten on hold every digit once.
/// Shapes      pixels has 28 * 28 bytes, row by row. index >= 0 (Error otherwise).
std::int64_t draw_digit(std::uint64_t seed, DrawnSplit split, std::int64_t index,
                        std::uint8_t* pixels);

/// A dataset of drawn digits that needs no file and no network. Throws Error for a count below 1.
TrainTest drawn_digits(DrawnDigitsOptions options = {});

}  // namespace cks
