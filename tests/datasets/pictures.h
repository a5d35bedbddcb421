#pragma once
#include <string>
#include <utility>
#include <vector>

#include "cks/core/tensor/tensor.h"
#include "tests/datasets/support.h"

/// Archives and picture files for tests.
namespace cks::testing {

/// A ustar archive of regular files.
Bytes tar(const std::vector<std::pair<std::string, Bytes>>& files);
/// One 512-byte header of it, with the right checksum.
Bytes tar_header(const std::string& name, std::size_t size, char kind = '0');

/// PNG's colour types.
enum class PngColour : std::uint8_t { grey = 0, rgb = 2, palette = 3, grey_alpha = 4, rgba = 6 };

/// A PNG file from rows of samples as they lie in the file, without their filter bytes; `palette`
/// has three bytes an entry.
Bytes png(std::uint32_t height, std::uint32_t width, PngColour colour, const Bytes& samples,
          std::uint8_t bit_depth = 8, const Bytes& palette = {});
/// One chunk of it, with the right CRC.
Bytes png_chunk(const std::string& kind, const Bytes& data);
/// Of a tensor uint8 [H,W,1] or [H,W,3].
Bytes png(const Tensor& image);
Bytes jpeg(const Tensor& image, int quality = 95);

/// `bytes` bytes of a number, the lowest first or last.
Bytes number(std::uint32_t value, int bytes, bool little = true);
/// An EXIF block with the width and the orientation.
Bytes exif(std::uint32_t orientation, bool little);
/// A JPEG with an EXIF segment behind its first mark.
Bytes with_exif(const Bytes& photo, const Bytes& block);
/// As EXIF describes the orientations, 1 to 8: what is stored, as it is to be seen.
Tensor turned(const Tensor& stored, int orientation);

/// Random bytes of the seed, uint8 [height,width,channels].
Tensor noise_image(std::int64_t height, std::int64_t width, std::int64_t channels,
                   std::uint64_t seed = 1);
/// A smooth image, which survives a JPEG nearly unchanged.
Tensor smooth_image(std::int64_t height, std::int64_t width, std::int64_t channels,
                    std::uint64_t seed = 1);

Bytes operator+(Bytes a, const Bytes& b);
/// The first `count` bytes.
Bytes cut(const Bytes& bytes, std::size_t count);
/// With bit `bit` (0 is the lowest of the first byte) changed.
Bytes flipped(Bytes bytes, std::uint64_t bit);

}  // namespace cks::testing
