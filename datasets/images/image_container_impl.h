#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace cks {

/// What the frame of a picture's file says beside its pixels.
struct ImageContainer {
  /// EXIF's, of a JPEG: 1 is as stored, 2 to 4 are mirrored or turned around, 5 to 8 have rows and
  /// columns exchanged.
  int orientation = 1;
  /// Nothing but the end mark of a JPEG or GIF is missing, as far as its frame tells.
  bool lacks_end = false;
};

/// Checks the frame of a PNG, JPEG, BMP or GIF file before its pixels are decoded, as stb_image
/// forgives what a dataset must not: a PNG's chunks must have the right CRC up to IEND, a JPEG's
/// segments and a GIF's blocks must lead to the end mark or to the place where it belongs, a BMP
/// must have all of its rows. Bytes after that end may follow. The sides that it tells must be in
/// [1, kMaxImageSide]. Throws IoError that names file and byte.
ImageContainer check_image_container(std::span<const std::uint8_t> file, const std::string& path);

/// A GIF or JPEG without its end mark as a whole one: `fill` after its coded pixels, then the mark.
/// Where nothing but the mark is missing, no decoder reads the fill.
std::string with_end_mark(std::span<const std::uint8_t> file, std::string_view fill);

namespace detail {

using ImageBytes = std::span<const std::uint8_t>;

/// check_image_container() of one format, whose signature stands at the begin.
ImageContainer check_jpeg(ImageBytes file, const std::string& path);

[[noreturn]] void fail_container(const std::string& path, std::size_t at, const std::string& what);
/// Throws IoError unless both are in [1, kMaxImageSide].
void check_sides(std::size_t height, std::size_t width, std::size_t at, const std::string& path);
bool has_at(ImageBytes file, std::size_t at, std::string_view text);
std::uint32_t big_endian(ImageBytes bytes);

}  // namespace detail

}  // namespace cks
