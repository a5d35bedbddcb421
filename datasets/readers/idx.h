#pragma once
#include <cstdint>
#include <string>

#include "cks/core/tensor/tensor.h"

namespace cks {

/// What an IDX file held, and what identifies it.
struct IdxFile {
  Tensor values;  // uint8 [N,H,W,1] of an image file, int64 [N] of a label file
  std::string path;
  std::uint64_t content_bytes;  // uncompressed
  std::uint32_t content_crc32;  // of them
  std::uint64_t file_bytes;     // of the file as it lies on the disk
};

/// Reads the images of an IDX file of the MNIST format, plain or gzip.
///
/// Format   big-endian 32-bit numbers: magic 0x00000803, N, H, W; then N*H*W bytes, nothing after.
/// Throws   IoError, naming the file, the byte offset, what was expected and what came: another
///          magic, an extent of 0 or beyond 65535 (N: 2^31 - 1), too few or too many bytes, a
///          damaged gzip stream. Memory grows with the bytes that come, not with what the header
///          claims.
IdxFile read_idx_images(const std::string& path);

/// Reads labels: magic 0x00000801, N, then N bytes of first, first + 1, ..., which become 0, 1, ...
/// Throws as above, and for a label outside of the classes.
IdxFile read_idx_labels(const std::string& path, std::int64_t classes, std::int64_t first = 0);

}  // namespace cks
