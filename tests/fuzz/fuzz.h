#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cks/core/error.h"

/// What the fuzzers share. Each is one reader of bytes from outside, one file: its first line names
/// what it reads, its second, behind "Covers:", the sources whose lines scripts/fuzz.sh counts.
namespace cks::fuzz {

/// A file in memory that is opened by its path, as one on a disk is.
class MemoryFile {
 public:
  MemoryFile();
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  const std::string& path() const { return path_; }
  void fill(std::string_view bytes);

 private:
  int descriptor_ = -1;
  std::string path_;
};

/// A folder in memory, removed at the end of the process unless that crashes.
const std::string& memory_folder();

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// Runs a reader. It may take the bytes or refuse them by an error of ours with a message; any
/// other exception ends the process, as a crash does. Returns whether it took them.
template <class Body>
bool takes(Body&& body) {
  try {
    body();
    return true;
  } catch (const Error& error) {
    if (std::string_view(error.what()).empty()) {
      __builtin_trap();
    }
    return false;
  }
}

/// Ends the process, as a crash does, unless it holds.
inline void require(bool holds) {
  if (!holds) {
    __builtin_trap();
  }
}

/// Small numbers that a fuzzer's first bytes choose, the rest being the reader's.
class Choices {
 public:
  Choices(const std::uint8_t* data, std::size_t size) : rest_(text_of(data, size)) {}
  std::size_t below(std::size_t count) { return byte() % count; }
  std::size_t byte() {
    const std::size_t value = rest_.empty() ? 0 : static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(rest_.empty() ? 0 : 1);
    return value;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

/// An archive of one file after the other, with right checksums.
std::string tar_of(const std::vector<std::pair<std::string, std::string>>& files);

// Mutators. Each changes bytes as libFuzzer does and then, most of the time, makes right again what
// would stop a reader at once; `seed` decides.

/// Of PNG files among others: the CRCs of the chunks.
std::size_t mutate_image(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed);
/// Of tar archives: the checksums of the headers.
std::size_t mutate_tar(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed);
/// Of what is compressed with gzip: changes what is inside.
std::size_t mutate_gzip(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed);
/// Of safetensors files: the header's length, at times the ranges of bytes, and the checksum.
std::size_t mutate_safetensors(std::uint8_t* data, std::size_t size, std::size_t most,
                               unsigned seed);

}  // namespace cks::fuzz

extern "C" {
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most,
                                    unsigned seed);
}
