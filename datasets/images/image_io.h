#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "cks/core/tensor/tensor.h"

namespace cks {

constexpr std::int64_t kMaxImageSide = 16384;

struct ImageReadOptions {
  std::int64_t channels = 3;                        // 1: grey, 2: grey, alpha; 3: red, green, blue
  std::int64_t max_pixels = std::int64_t{1} << 26;  // width * height
  /// Unless null, is set to what is odd about a file that is read all the same; names the file.
  std::string* note = nullptr;
};

/// Reads a PNG, JPEG, BMP or GIF file (its first picture) of any size as uint8 [H,W,C].
///
/// Pixels  as stored, 16 bits rounded down to 8. Grey becomes colour by repeating it, colour
///         becomes grey as 0.299 R + 0.587 G + 0.114 B, rounded. What is transparent shows white
///         through, unless alpha is asked for. A JPEG is turned and mirrored as its EXIF
///         orientation, 1 to 8, says; a damaged EXIF block counts as none.
/// Checks  which format it is, is told by its first bytes. A PNG's checksums, a GIF's end mark, a
///         BMP's last row must be there and right, width and height in [1, kMaxImageSide], width *
///         height at most max_pixels, and no more than the file's bytes can hold (8256 each). A
///         JPEG or GIF that is whole but for its end mark is read with a note, one whose pixels end
///         too early is not. A JPEG has no checksums: one whose coded pixels were changed may show
///         other pixels.
/// Throws  IoError, naming the file and, where one is known, the byte; Error for channels other
///         than 1, 2 or 3 or max_pixels below 1. Messages give the width first.
Tensor load_image(const std::string& path, ImageReadOptions options = {});

/// As above from the bytes of a file; errors name it as `path`.
Tensor decode_image(std::span<const std::uint8_t> file, const std::string& path,
                    ImageReadOptions options = {});

/// How a picture of another aspect ratio becomes one of height x width: both axes scaled for
/// themselves; the middle of it that has the aspect ratio; or all of it, with black beside it.
enum class ImageFit : std::uint8_t { stretch, crop, letterbox };
inline constexpr std::array kImageFits{ImageFit::stretch, ImageFit::crop, ImageFit::letterbox};
/// "stretch", "crop", "letterbox".
const char* name_of(ImageFit fit);
/// Throws Error, listing all names, for another one.
ImageFit parse_image_fit(const std::string& name);

/// Resizes uint8 [H,W,C] to [height,width,C].
///
/// What        bilinear interpolation; where it shrinks, each new pixel is the mean of all the
///             pixels under a triangle twice as wide as itself (as torchvision's antialias=True).
///             First along rows, then along columns, each rounded to the nearest: 1/256 of a step
///             in between.
/// Determinism integers alone: the same bytes on every machine.
/// Throws      ShapeError, DtypeError, DeviceError; Error for a side outside [1, kMaxImageSide].
Tensor resize_image(const Tensor& image, std::int64_t height, std::int64_t width,
                    ImageFit fit = ImageFit::stretch);

}  // namespace cks
