// Reads picture files: the frames of PNG, JPEG, BMP and GIF, EXIF's orientation, pixels:
// decode_image(), load_image().
// Dictionary: image
// Covers: datasets/images/image_container.cpp
// Covers: datasets/images/jpeg_container.cpp
// Covers: datasets/images/image_io.cpp
#include <string>

#include "cks/datasets/images/image_io.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // So small that a million of them take minutes; the limit itself is image_io_test's.
  constexpr std::int64_t kMostPixels = 1 << 12;
  std::string note;
  const cks::ImageReadOptions options{.channels = 1 + static_cast<std::int64_t>(size % 3),
                                      .max_pixels = kMostPixels,
                                      .note = &note};
  static cks::fuzz::MemoryFile file;
  const bool is_file = size % 32 == 0;
  if (is_file) {
    file.fill(cks::fuzz::text_of(data, size));
  }
  cks::fuzz::takes([&] {
    const cks::Tensor image = is_file ? cks::load_image(file.path(), options)
                                      : cks::decode_image({data, size}, "input", options);
    cks::fuzz::require(image.rank() == 3 && image.size(2) == options.channels &&
                       image.size(0) * image.size(1) <= kMostPixels);
  });
  return 0;
}

std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most,
                                    unsigned seed) {
  return cks::fuzz::mutate_image(data, size, most, seed);
}
