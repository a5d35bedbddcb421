#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cks/core/error.h"

/// Files of the MNIST format for tests, in a folder that goes away with the test.
namespace cks::testing {

using Bytes = std::vector<std::uint8_t>;

/// A new empty folder, removed with all it holds at the end of the scope.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// Sets an environment variable, or removes it for nullptr, until the end of the scope.
class EnvironmentScope {
 public:
  EnvironmentScope(std::string name, const char* value);
  ~EnvironmentScope();
  EnvironmentScope(const EnvironmentScope&) = delete;
  EnvironmentScope& operator=(const EnvironmentScope&) = delete;

 private:
  std::string name_;
  std::string before_;
  bool was_set_ = false;
};

/// Makes the folders that are missing, too.
void write_file(const std::string& path, const Bytes& bytes);
/// As zlib computes it.
std::uint32_t crc32_of(const void* data, std::size_t bytes);
/// As gzip does, CRC included.
Bytes gzip(const Bytes& bytes);

/// Pixels are random bytes of the seed.
Bytes idx_images(std::uint32_t count, std::uint32_t height, std::uint32_t width,
                 std::uint64_t seed = 1);
/// Label i is i % classes.
Bytes idx_labels(std::uint32_t count, std::uint32_t classes = 10);
/// Overwrites the big-endian word at `offset`.
Bytes with_word(Bytes bytes, std::size_t offset, std::uint32_t value);

/// The message of the IoError that `body` throws; "no IoError" if it throws none.
template <class Body>
std::string io_error(Body&& body) {
  try {
    body();
  } catch (const IoError& error) {
    return error.what();
  }
  return "no IoError";
}

bool contains(const std::string& text, const std::string& part);

}  // namespace cks::testing
