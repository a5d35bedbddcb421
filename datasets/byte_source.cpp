#include "cks/datasets/byte_source.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "cks/core/error.h"
#include "cks/datasets/checksum.h"

namespace cks {

namespace {

constexpr std::size_t kBufferBytes = 1U << 16;
constexpr std::size_t kFirstChunk = 1U << 20;
constexpr int kGzipWindow = 15 + 16;  // the largest window; + 16: with gzip's header and CRC

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

}  // namespace

struct ByteSource::State {
  std::unique_ptr<std::FILE, CloseFile> file;
  std::array<std::uint8_t, kBufferBytes> buffer{};
  std::size_t begin = 0;  // unread bytes of the buffer: [begin, end)
  std::size_t end = 0;
  z_stream zlib{};
  bool member_open = false;  // inside a gzip member
  bool finished = false;     // nothing follows
  Md5 content_sum;
  Md5 file_sum;

  ~State() {
    if (zlib.state != nullptr) {
      inflateEnd(&zlib);
    }
  }
};

ByteSource::ByteSource(const std::string& path) : path_(path), state_(std::make_unique<State>()) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    throw IoError("read: '" + path + "' is a folder, expected a file");
  }
  state_->file.reset(std::fopen(path.c_str(), "rb"));
  if (!state_->file) {
    throw IoError("read: cannot open '" + path + "': " + std::strerror(errno));
  }
  refill();
  compressed_ = state_->end >= 2 && state_->buffer[0] == 0x1f && state_->buffer[1] == 0x8b;
  if (compressed_) {
    if (inflateInit2(&state_->zlib, kGzipWindow) != Z_OK) {
      throw IoError("read: zlib cannot start on '" + path + "'");
    }
    state_->member_open = true;
  }
}

ByteSource::~ByteSource() = default;

std::size_t ByteSource::refill() {
  State& s = *state_;
  if (s.begin == s.end) {
    s.begin = 0;
    s.end = std::fread(s.buffer.data(), 1, s.buffer.size(), s.file.get());
    if (s.end < s.buffer.size() && std::ferror(s.file.get()) != 0) {
      throw IoError("read: '" + path_ + "' cannot be read: " + std::strerror(errno));
    }
    s.file_sum.update(s.buffer.data(), s.end);
  }
  return s.end - s.begin;
}

void ByteSource::fail_gzip(const std::string& what) const {
  throw IoError("read: '" + path_ + "': " + what + " after " + std::to_string(offset_) +
                " uncompressed bytes");
}

std::size_t ByteSource::inflate_into(std::uint8_t* out, std::size_t bytes) {
  State& s = *state_;
  const std::size_t available = refill();
  if (!s.member_open) {
    if (available == 0) {
      s.finished = true;
      return 0;
    }
    if (s.buffer[s.begin] != 0x1f) {
      fail_gzip("other bytes follow the end of the gzip stream");
    }
    inflateReset(&s.zlib);
    s.member_open = true;
  }
  if (available == 0) {
    fail_gzip("gzip stream is cut short");
  }
  s.zlib.next_in = s.buffer.data() + s.begin;
  s.zlib.avail_in = static_cast<uInt>(available);
  s.zlib.next_out = out;
  s.zlib.avail_out = static_cast<uInt>(std::min<std::size_t>(bytes, 1U << 30));
  const uInt asked = s.zlib.avail_out;
  const int status = inflate(&s.zlib, Z_NO_FLUSH);
  s.begin = s.end - s.zlib.avail_in;
  const std::size_t got = asked - s.zlib.avail_out;
  if (status == Z_STREAM_END) {
    s.member_open = false;
  } else if (status != Z_OK) {
    const char* reason = s.zlib.msg == nullptr ? zError(status) : s.zlib.msg;
    fail_gzip(std::string("gzip stream is damaged (") + reason + ")");
  }
  return got;
}

std::size_t ByteSource::read(void* out, std::size_t bytes) {
  State& s = *state_;
  auto* next = static_cast<std::uint8_t*>(out);
  std::size_t done = 0;
  while (done < bytes && !s.finished) {
    std::size_t got = 0;
    if (compressed_) {
      got = inflate_into(next + done, bytes - done);
    } else {
      got = std::min(refill(), bytes - done);
      std::memcpy(next + done, s.buffer.data() + s.begin, got);
      s.begin += got;
      s.finished = got == 0;
    }
    s.content_sum.update(next + done, got);
    done += got;
    offset_ += got;
  }
  return done;
}

std::vector<std::uint8_t> ByteSource::read_bytes(std::size_t most) {
  std::vector<std::uint8_t> bytes;
  std::size_t filled = 0;
  while (filled < most) {
    bytes.resize(std::min(most, std::max(kFirstChunk, 2 * bytes.size())));
    filled += read(bytes.data() + filled, bytes.size() - filled);
    if (filled < bytes.size()) {
      bytes.resize(filled);
      break;
    }
  }
  return bytes;
}

std::uint64_t ByteSource::skip(std::uint64_t bytes) {
  std::vector<std::uint8_t> passed(kBufferBytes);
  std::uint64_t done = 0;
  while (done < bytes) {
    const auto asked =
        static_cast<std::size_t>(std::min<std::uint64_t>(kBufferBytes, bytes - done));
    const std::size_t got = read(passed.data(), asked);
    done += got;
    if (got < asked) {
      break;
    }
  }
  return done;
}

std::string ByteSource::content_md5() const { return state_->content_sum.hex(); }
std::string ByteSource::file_md5() const { return state_->file_sum.hex(); }

}  // namespace cks
