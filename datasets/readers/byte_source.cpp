#include "cks/datasets/readers/byte_source.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "cks/core/error.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {

namespace {

constexpr std::size_t kBufferBytes = 1U << 16;
constexpr std::size_t kFirstChunk = 1U << 16;
constexpr std::size_t kMostAtOnce = 1U << 30;  // zlib counts in 32 bits
constexpr int kGzipWindow = 15 + 16;  // the largest window; + 16: with gzip's header and CRC

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

}  // namespace

struct ByteSource::State {
  std::unique_ptr<std::FILE, CloseFile> file;
  std::array<std::uint8_t, kBufferBytes> buffer{};
  z_stream zlib{};  // next_in and avail_in: unread bytes of the buffer, of a plain file too
  bool member_open = false;  // inside a gzip member

  ~State() {
    if (zlib.state != nullptr) {
      inflateEnd(&zlib);
    }
  }
};

ByteSource::ByteSource(const std::string& path) : path_(path), state_(std::make_unique<State>()) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    throw IoError(formatted("read: '{}' is a folder, expected a file", path));
  }
  state_->file.reset(std::fopen(path.c_str(), "rb"));
  if (!state_->file) {
    throw IoError(formatted("read: cannot open '{}': {}", path, std::strerror(errno)));
  }
  has_more();
  compressed_ =
      state_->zlib.avail_in >= 2 && state_->buffer[0] == 0x1f && state_->buffer[1] == 0x8b;
  if (compressed_) {
    if (inflateInit2(&state_->zlib, kGzipWindow) != Z_OK) {
      throw IoError(formatted("read: zlib cannot start on '{}'", path));
    }
    state_->member_open = true;
  }
}

ByteSource::~ByteSource() = default;

void ByteSource::fail_gzip(const std::string& what) const {
  throw IoError(formatted("read: '{}': {} after {} uncompressed bytes", path_, what, offset_));
}

/// Whether the file goes on, with at least a byte of it in the buffer.
bool ByteSource::has_more() {
  State& s = *state_;
  if (s.zlib.avail_in == 0) {
    const std::size_t got = std::fread(s.buffer.data(), 1, s.buffer.size(), s.file.get());
    if (got < s.buffer.size() && std::ferror(s.file.get()) != 0) {
      throw IoError(formatted("read: '{}' cannot be read: {}", path_, std::strerror(errno)));
    }
    s.zlib.next_in = s.buffer.data();
    s.zlib.avail_in = static_cast<uInt>(got);
    file_bytes_ += got;
    if (got == 0 && s.member_open) {
      fail_gzip("gzip stream is cut short");
    }
  }
  return s.zlib.avail_in > 0;
}

/// Up to `bytes` bytes from the buffer; may be none although the file goes on.
std::size_t ByteSource::read_some(std::uint8_t* out, std::size_t bytes) {
  z_stream& z = state_->zlib;
  if (!compressed_) {
    const std::size_t got = std::min<std::size_t>(z.avail_in, bytes);
    std::memcpy(out, z.next_in, got);
    z.next_in += got;
    z.avail_in -= static_cast<uInt>(got);
    return got;
  }
  if (!state_->member_open) {
    if (*z.next_in != 0x1f) {
      fail_gzip("other bytes follow the end of the gzip stream");
    }
    inflateReset(&z);
    state_->member_open = true;
  }
  const auto asked = static_cast<uInt>(std::min(bytes, kMostAtOnce));
  z.next_out = out;
  z.avail_out = asked;
  const int status = inflate(&z, Z_NO_FLUSH);
  if (status == Z_STREAM_END) {
    state_->member_open = false;
  } else if (status != Z_OK) {
    fail_gzip(formatted("gzip stream is damaged ({})", z.msg == nullptr ? zError(status) : z.msg));
  }
  return asked - z.avail_out;
}

std::size_t ByteSource::read(void* out, std::size_t bytes) {
  auto* next = static_cast<std::uint8_t*>(out);
  std::size_t done = 0;
  while (done < bytes && has_more()) {
    const std::size_t got = read_some(next + done, bytes - done);
    crc32_ = static_cast<std::uint32_t>(::crc32(crc32_, next + done, static_cast<uInt>(got)));
    done += got;
    offset_ += got;
  }
  return done;
}

std::vector<std::uint8_t> ByteSource::read_bytes(std::size_t most) {
  std::vector<std::uint8_t> bytes;
  std::size_t filled = 0;
  while (filled < most && filled == bytes.size()) {
    bytes.resize(std::min(most, std::max(kFirstChunk, 2 * bytes.size())));
    filled += read(bytes.data() + filled, bytes.size() - filled);
  }
  bytes.resize(filled);
  return bytes;
}

std::uint64_t ByteSource::skip(std::uint64_t bytes) {
  std::array<std::uint8_t, kBufferBytes> passed;
  const std::uint64_t begin = offset_;
  while (offset_ - begin < bytes && has_more()) {
    read(passed.data(), static_cast<std::size_t>(
                            std::min<std::uint64_t>(passed.size(), bytes - (offset_ - begin))));
  }
  return offset_ - begin;
}

}  // namespace cks
