#include "cks/datasets/images/ascii_art.h"

#include <algorithm>

#include "cks/core/error.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {

namespace {

constexpr char kRamp[] = " .:-=+*#%@";  // from paper to ink
constexpr std::int64_t kShades = sizeof(kRamp) - 1;

}  // namespace

std::vector<std::string> ascii_art(const Tensor& image) {
  const bool batched = image.rank() == 4 && image.size(0) == 1;
  if ((image.rank() != 2 && image.rank() != 3 && !batched) || image.numel() == 0) {
    throw ShapeError(
        formatted("ascii_art: image is {}, expected [H,W], [H,W,C] or [1,H,W,C] without a zero",
                  image.shape()));
  }
  const std::uint8_t* bytes = image.data_as<std::uint8_t>();
  const int first = batched ? 1 : 0;
  const std::int64_t height = image.size(first);
  const std::int64_t width = image.size(first + 1);
  const std::int64_t channels = image.rank() == 2 ? 1 : image.size(-1);
  std::vector<std::string> lines;
  for (std::int64_t top = 0; top < height; top += 2) {
    const std::int64_t rows = std::min<std::int64_t>(2, height - top);
    std::string line;
    for (std::int64_t x = 0; x < width; ++x) {
      std::int64_t sum = 0;
      for (std::int64_t y = top; y < top + rows; ++y) {
        for (std::int64_t c = 0; c < channels; ++c) {
          sum += bytes[(y * width + x) * channels + c];
        }
      }
      line += kRamp[sum * kShades / (256 * rows * channels)];
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string beside(const std::vector<std::vector<std::string>>& pictures,
                   const std::vector<std::string>& captions, int gap) {
  if (pictures.size() != captions.size()) {
    throw Error(
        formatted("beside: {} pictures, but {} captions", pictures.size(), captions.size()));
  }
  std::size_t height = 0;
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    height = std::max(height, pictures[i].size());
    std::size_t width = captions[i].size();
    for (const std::string& line : pictures[i]) {
      width = std::max(width, line.size());
    }
    widths.push_back(width + static_cast<std::size_t>(std::max(gap, 0)));
  }
  std::string text;
  for (std::size_t row = 0; row <= height; ++row) {
    std::string line;
    for (std::size_t i = 0; i < pictures.size(); ++i) {
      const bool is_filled = row < pictures[i].size();
      const std::string part = row == height ? captions[i] : is_filled ? pictures[i][row] : "";
      line += part + std::string(widths[i] - part.size(), ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  }
  return text;
}

}  // namespace cks
