#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cks/datasets/readers/byte_source.h"

namespace cks {

/// One entry of a tar archive.
struct TarEntry {
  std::string name;  // as stored, at most 255 characters
  bool is_file = false;
  std::uint64_t size = 0;    // bytes of content
  std::uint64_t offset = 0;  // of the content in the archive, in uncompressed bytes
};

/// Reads a tar archive, plain or gzip, from front to back without unpacking it to the disk.
///
///   TarReader tar(path);
///   while (const std::optional<TarEntry> entry = tar.next()) {
///     if (entry->name == ...) { bytes = tar.content(); }
///   }
///
/// Format  POSIX ustar and what came before it. Extended headers (pax, GNU long names) are passed
///         over: an entry that needs one shows under its short name.
/// Throws  IoError, naming the file, the byte and what was expected, for a header whose checksum is
///         wrong, for a size that is no number, for an archive without its end mark or with bytes
///         other than zeros after it, and for what ByteSource throws.
class TarReader {
 public:
  explicit TarReader(const std::string& path) : source_(path) {}

  /// The next entry, passing over what is left of the last one; nothing at the end, and then the
  /// whole file was read.
  std::optional<TarEntry> next();
  /// The bytes of the entry that next() returned last, once. Memory grows with the bytes that come.
  /// Throws IoError if it has more than `most`.
  std::vector<std::uint8_t> content(std::uint64_t most);

  /// Bytes of the archive as it lies on the disk, once next() came to the end.
  std::uint64_t file_bytes() const { return source_.file_bytes(); }
  bool compressed() const { return source_.compressed(); }

 private:
  [[noreturn]] void fail(std::uint64_t offset, const std::string& what) const;
  [[noreturn]] void fail_inside() const;
  void finish();

  ByteSource source_;
  TarEntry entry_;
  std::uint64_t left_ = 0;     // unread bytes of the entry
  std::uint64_t padding_ = 0;  // from its end to the next header
  bool finished_ = false;
};

}  // namespace cks
