// Where the elements of a tensor lie, and what shares them.
#include <set>
#include <string>

#include "cks/cks.h"
#include "drawing.h"

namespace {

/// The elements in the order of memory.
std::string memory_of(const cks::Tensor& tensor) {
  std::string text;
  for (const float value : tensor.to_vector<float>()) {
    text += (text.empty() ? "" : " ") + book::Drawing::number(value, 0);
  }
  return text;
}

/// The cache lines, of 16 floats, that a 3x3 window over 64 channels of a 32x32 image touches,
/// given how far apart its rows, columns and channels lie.
std::size_t lines_of_window(std::int64_t row_step, std::int64_t column_step,
                            std::int64_t channel_step) {
  std::set<std::int64_t> lines;
  for (std::int64_t h = 10; h < 13; ++h) {
    for (std::int64_t w = 10; w < 13; ++w) {
      for (std::int64_t c = 0; c < 64; ++c) {
        lines.insert((h * row_step + w * column_step + c * channel_step) / 16);
      }
    }
  }
  return lines.size();
}

}  // namespace

int main(int argc, char** argv) {
  // One image of 2 x 3 pixels and 3 channels; each element says where it belongs: 10*pixel +
  // channel.
  std::vector<float> values;
  for (int pixel = 0; pixel < 6; ++pixel) {
    for (int channel = 0; channel < 3; ++channel) {
      values.push_back(static_cast<float>(10 * pixel + channel));
    }
  }
  const cks::Tensor nhwc = cks::Tensor::from_vector(values, {1, 2, 3, 3});
  const cks::Tensor nchw = cks::permute(nhwc, {0, 3, 1, 2});
  std::printf("NHWC %s: %s\n", nhwc.shape().to_string().c_str(), memory_of(nhwc).c_str());
  std::printf("NCHW %s: %s\n", nchw.shape().to_string().c_str(), memory_of(nchw).c_str());

  book::Drawing drawing(640, 210);
  const char* colours[] = {"fill-a", "fill-b", "fill-c"};
  for (int c = 0; c < 3; ++c) {
    drawing.text(212.0 * c, 14, "channel " + std::to_string(c));
    for (int pixel = 0; pixel < 6; ++pixel) {
      drawing.cell(212.0 * c + 40.0 * (pixel % 3), pixel < 3 ? 22 : 52, 38, 28,
                   book::Drawing::number(nchw[0][c].data_as<float>()[pixel], 0), colours[c]);
    }
  }
  int row = 0;
  for (const auto& [name, tensor] : cks::NamedTensors{{"NHWC", nhwc}, {"NCHW", nchw}}) {
    const double y = 112 + 54.0 * row++;
    drawing.text(0, y, name + " in memory");
    for (int i = 0; i < 18; ++i) {
      const float value = tensor.data_as<float>()[i];
      drawing.cell(35.2 * i, y + 8, 33, 26, book::Drawing::number(value, 0),
                   colours[static_cast<int>(value) % 10]);
    }
  }
  drawing.save(
      argc, argv,
      "An image of 2 by 3 pixels and 3 channels, and its 18 numbers in memory in two orders");

  // Element (n,h,w,c) lies at ((n*H + h)*W + w)*C + c.
  const cks::Tensor batch = cks::Tensor::arange(120).reshape({2, 4, 5, 3});
  const double found = batch[1][2][3][1].item();
  std::printf("element (1,2,3,1) of [2,4,5,3] lies at %.0f\n", found);
  bool right = found == ((1 * 4 + 2) * 5 + 3) * 3 + 1;

  // A slice and a new shape are views: the same memory. A clone has its own.
  cks::Tensor images = cks::Tensor::zeros({2, 4, 5, 3});
  cks::Tensor copy = images.clone();
  images.slice(1, 2).fill_(7);
  const cks::Tensor flat = images.reshape({2, 60});
  std::printf("after writing into image 1: image 0 has %.0f, image 1 has %.0f, the copy has %.0f\n",
              flat[0][0].item(), flat[1][0].item(), copy[1][0][0][0].item());
  right =
      right && flat[1][59].item() == 7 && flat[0][59].item() == 0 && copy[1][0][0][0].item() == 0;

  constexpr std::int64_t kSide = 32;
  constexpr std::int64_t kChannels = 64;
  const std::size_t ours = lines_of_window(kSide * kChannels, kChannels, 1);
  const std::size_t planes = lines_of_window(kSide, 1, kSide * kSide);
  std::printf("cache lines of a 3x3 window over 64 channels: %zu in NHWC, %zu in NCHW\n", ours,
              planes);
  return right && ours == 36 && planes == 192 ? 0 : 1;
}
