#include "tests/datasets/support.h"

#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "tests/support/fill.h"

namespace cks::testing {

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "cks_test_XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) {
    throw std::runtime_error("cannot make a temporary folder " + pattern);
  }
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

EnvironmentScope::EnvironmentScope(std::string name, const char* value) : name_(std::move(name)) {
  if (const char* before = std::getenv(name_.c_str())) {
    before_ = before;
    was_set_ = true;
  }
  if (value == nullptr) {
    unsetenv(name_.c_str());
  } else {
    setenv(name_.c_str(), value, 1);
  }
}

EnvironmentScope::~EnvironmentScope() {
  if (was_set_) {
    setenv(name_.c_str(), before_.c_str(), 1);
  } else {
    unsetenv(name_.c_str());
  }
}

void write_file(const std::string& path, const Bytes& bytes) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  // A new file each time: some file systems wait for the disk where an old one is cut to nothing.
  std::filesystem::remove(path);
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  if (!file.flush()) {
    throw std::runtime_error("cannot write " + path);
  }
}

std::uint32_t crc32_of(const void* data, std::size_t bytes) {
  return static_cast<std::uint32_t>(
      crc32(0, static_cast<const Bytef*>(data), static_cast<uInt>(bytes)));
}

Bytes gzip(const Bytes& bytes) {
  z_stream stream{};
  if (deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::runtime_error("deflateInit2 failed");
  }
  Bytes out(deflateBound(&stream, bytes.size()));
  stream.next_in = const_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  const int status = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (status != Z_STREAM_END) {
    throw std::runtime_error("deflate failed");
  }
  return out;
}

Bytes with_word(Bytes bytes, std::size_t offset, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i) {
    bytes.at(offset + i) = static_cast<std::uint8_t>(value >> (24 - 8 * i));
  }
  return bytes;
}

Bytes idx_images(std::uint32_t count, std::uint32_t height, std::uint32_t width,
                 std::uint64_t seed) {
  Bytes bytes(16 + std::size_t{count} * height * width);
  bytes = with_word(std::move(bytes), 0, 0x803);
  bytes = with_word(std::move(bytes), 4, count);
  bytes = with_word(std::move(bytes), 8, height);
  bytes = with_word(std::move(bytes), 12, width);
  for (std::size_t i = 16; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>(random_bits(seed, i) >> 56);
  }
  return bytes;
}

Bytes idx_labels(std::uint32_t count, std::uint32_t classes) {
  Bytes bytes(8 + std::size_t{count});
  bytes = with_word(std::move(bytes), 0, 0x801);
  bytes = with_word(std::move(bytes), 4, count);
  for (std::uint32_t i = 0; i < count; ++i) {
    bytes[8 + i] = static_cast<std::uint8_t>(i % classes);
  }
  return bytes;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace cks::testing
