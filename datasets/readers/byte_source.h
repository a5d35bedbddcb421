#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace cks {

/// Reads a file that may be compressed with gzip, from its first byte to its last, in one pass.
///
/// Whether it is compressed is told by its first two bytes, not by its name. Several gzip members
/// one after the other read as one stream. Offsets count uncompressed bytes.
class ByteSource {
 public:
  /// Throws IoError if the file cannot be opened or is a folder.
  explicit ByteSource(const std::string& path);
  ~ByteSource();
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  /// Fills `out` with up to `bytes` bytes; fewer only where the file ends. Throws IoError if the
  /// disk fails or the compressed stream is damaged, cut short or followed by other bytes.
  std::size_t read(void* out, std::size_t bytes);
  /// Up to `most` bytes; fewer only where the file ends. Memory grows with the bytes that come, not
  /// with `most`. Throws as read().
  std::vector<std::uint8_t> read_bytes(std::size_t most);
  /// Reads over up to `bytes` bytes and returns how many there were. Throws as read().
  std::uint64_t skip(std::uint64_t bytes);

  const std::string& path() const { return path_; }
  std::uint64_t offset() const { return offset_; }
  bool compressed() const { return compressed_; }
  /// CRC-32, as gzip's, of the uncompressed bytes read so far.
  std::uint32_t crc32() const { return crc32_; }
  /// Bytes taken from the disk so far; the file's own size once read() came to its end.
  std::uint64_t file_bytes() const { return file_bytes_; }

 private:
  struct State;

  bool has_more();
  std::size_t read_some(std::uint8_t* out, std::size_t bytes);
  [[noreturn]] void fail_gzip(const std::string& what) const;

  std::string path_;
  std::uint64_t offset_ = 0;
  std::uint64_t file_bytes_ = 0;
  std::uint32_t crc32_ = 0;
  bool compressed_ = false;
  std::unique_ptr<State> state_;  // keeps zlib out of this header
};

}  // namespace cks
