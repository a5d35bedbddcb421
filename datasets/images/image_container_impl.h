#pragma once
#include <cstdint>
#include <span>
#include <string>

namespace cks {

/// Checks the frame of a PNG or JPEG file before its pixels are decoded, as stb_image forgives what
/// a dataset must not: a PNG's chunks must have the right CRC up to IEND, a JPEG's segments must
/// lead to its end mark. Bytes after that end may follow. The sides that it tells must be in
/// [1, kMaxImageSide]. Throws IoError that names file and byte.
void check_image_container(std::span<const std::uint8_t> file, const std::string& path);

}  // namespace cks
