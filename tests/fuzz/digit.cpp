// Lays out anybody's pictures as digits of MNIST: prepare_digit(). The input's first bytes choose
// the size, the rest are pixels.
// Covers: datasets/images/prepare_digit.cpp
#include <algorithm>

#include "cks/datasets/images/prepare_digit.h"
#include "cks/kernels/common/parallel_for.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bool is_alone = [] {
    cks::kernels::set_num_threads(1);
    return true;
  }();
  static_cast<void>(is_alone);
  constexpr std::size_t kMostSide = 41;
  cks::fuzz::Choices choices(data, size);
  const auto height = static_cast<std::int64_t>(1 + choices.below(kMostSide));
  const auto width = static_cast<std::int64_t>(1 + choices.below(kMostSide));
  const bool is_opaque = choices.below(2) == 0;
  const std::string_view pixels = choices.rest();
  cks::Tensor picture = cks::Tensor::full({height, width, 2}, 255.0, cks::DType::uint8);
  auto* to = picture.data_as<std::uint8_t>();
  for (std::size_t i = 0; i < std::min(pixels.size(), picture.nbytes() / 2); ++i) {
    to[2 * i] = static_cast<std::uint8_t>(pixels[i]);
    to[2 * i + 1] = is_opaque ? 255 : static_cast<std::uint8_t>(~pixels[i]);
  }
  const cks::PreparedDigit digit = cks::prepare_digit(picture);
  cks::fuzz::require(digit.image.shape() == cks::Shape({28, 28, 1}));
  return 0;
}
