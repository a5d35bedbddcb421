#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <vector>

#include "cks/core/io/checksum_impl.h"
#include "cks/core/io/safetensors.h"
#include "cks/kernels/common/formatted_impl.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

// A check of fmt's headers, which nothing but clang without optimisation leaves in.
FMT_BEGIN_NAMESPACE
namespace detail {
void assert_fail(const char* /*file*/, int /*line*/, const char* /*message*/) { std::abort(); }
}  // namespace detail
FMT_END_NAMESPACE

namespace cks::fuzz {
namespace {

using Json = nlohmann::ordered_json;

constexpr unsigned kAsItIs = 8;  // one of so many mutations is left as it is

std::uint32_t big_endian(const std::uint8_t* bytes) {
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 |
         std::uint32_t{bytes[2]} << 8 | std::uint32_t{bytes[3]};
}

void mend_png(std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kSignature = 8;
  constexpr std::size_t kFrame = 12;
  for (std::size_t at = kSignature; at + kFrame <= size;) {
    const std::size_t length = big_endian(data + at);
    if (length > size - at - kFrame) {
      return;
    }
    const auto sum =
        static_cast<std::uint32_t>(crc32(0, data + at + 4, static_cast<uInt>(4 + length)));
    for (std::size_t i = 0; i < 4; ++i) {
      data[at + 8 + length + i] = static_cast<std::uint8_t>(sum >> (24 - 8 * i));
    }
    at += kFrame + length;
  }
}

void mend_tar(std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kBlock = 512;
  for (std::size_t at = 0; at + kBlock <= size;) {
    std::uint8_t* const header = data + at;
    if (std::all_of(header, header + kBlock, [](std::uint8_t byte) { return byte == 0; })) {
      return;
    }
    std::fill_n(header + 148, 8, std::uint8_t{' '});
    const unsigned sum = std::accumulate(header, header + kBlock, 0U);
    std::array<char, 8> text{};
    std::snprintf(text.data(), text.size(), "%06o", sum);
    std::copy_n(text.begin(), 7, header + 148);
    const std::string bytes(reinterpret_cast<const char*>(header) + 124, 12);
    const std::size_t content = std::strtoull(bytes.c_str(), nullptr, 8);
    if (content > size) {
      return;
    }
    at += kBlock + (content + kBlock - 1) / kBlock * kBlock;
  }
}

/// At most `most` bytes of a gzip stream's content; nothing if it is not whole.
std::optional<std::string> inflated(const std::uint8_t* data, std::size_t size, std::size_t most) {
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 16) != Z_OK) {
    return std::nullopt;
  }
  std::string content(most, '\0');
  stream.next_in = const_cast<std::uint8_t*>(data);
  stream.avail_in = static_cast<uInt>(size);
  stream.next_out = reinterpret_cast<std::uint8_t*>(content.data());
  stream.avail_out = static_cast<uInt>(most);
  const bool is_whole = inflate(&stream, Z_FINISH) == Z_STREAM_END;
  content.resize(most - stream.avail_out);
  inflateEnd(&stream);
  return is_whole ? std::optional(std::move(content)) : std::nullopt;
}

/// Its size; 0 if it takes more than `most` bytes.
std::size_t deflated(const std::string& content, std::uint8_t* data, std::size_t most, int level) {
  z_stream stream{};
  if (deflateInit2(&stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    return 0;
  }
  stream.next_in = reinterpret_cast<std::uint8_t*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = data;
  stream.avail_out = static_cast<uInt>(most);
  const bool is_whole = deflate(&stream, Z_FINISH) == Z_STREAM_END;
  deflateEnd(&stream);
  return is_whole ? most - stream.avail_out : 0;
}

/// A safetensors file in its two parts.
struct Parts {
  std::string header;
  std::string data;
};

std::optional<Parts> parts_of(const std::uint8_t* bytes, std::size_t size) {
  std::uint64_t length = 0;
  if (size < sizeof length) {
    return std::nullopt;
  }
  std::memcpy(&length, bytes, sizeof length);
  const std::string_view rest = text_of(bytes + sizeof length, size - sizeof length);
  if (length > rest.size()) {
    return std::nullopt;
  }
  return Parts{std::string(rest.substr(0, length)), std::string(rest.substr(length))};
}

std::uint64_t bits_of(const Json& type) {
  constexpr std::array<std::pair<std::string_view, std::uint64_t>, 4> kOther{
      {{"BOOL", 8}, {"BF16", 16}, {"F4", 4}, {"C64", 64}}};
  const std::string text = type.is_string() ? type.get<std::string>() : "";
  for (const auto& [name, bits] : kOther) {
    if (text == name) {
      return bits;
    }
  }
  const std::size_t digit = text.find_first_of("0123456789");
  return digit == std::string::npos ? 0 : std::strtoull(text.c_str() + digit, nullptr, 10);
}

/// Gives each tensor the bytes that its shape asks for, one behind the other.
void lay_out(Parts& parts) {
  constexpr std::uint64_t kMostBytes = 4096;
  Json json = Json::parse(parts.header, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return;
  }
  std::uint64_t end = 0;
  for (auto& [name, entry] : json.items()) {
    if (name == "__metadata__" || !entry.is_object() || !entry.contains("shape") ||
        !entry["shape"].is_array()) {
      continue;
    }
    std::uint64_t bits = bits_of(entry.value("dtype", Json()));
    for (const Json& extent : entry["shape"]) {
      const bool is_small =
          extent.is_number_unsigned() && extent.get<std::uint64_t>() <= kMostBytes;
      bits *= is_small && bits <= 8 * kMostBytes ? extent.get<std::uint64_t>() : 1;
    }
    if (bits > 8 * kMostBytes) {
      return;
    }
    entry["data_offsets"] = {end, end + bits / 8};
    end += bits / 8;
  }
  const std::string pattern = parts.data.empty() ? std::string(1, '\0') : parts.data;
  while (parts.data.size() < end) {
    parts.data += pattern;
  }
  parts.data.resize(end);
  parts.header = json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Where the checksum of a file stands in its header, made right.
void seal(Parts& parts) {
  const std::string key = formatted("\"{}\":\"", kSafetensorsChecksum);
  const std::size_t digits = 16;
  const std::size_t at = parts.header.find(key);
  if (at == std::string::npos || at + key.size() + digits > parts.header.size()) {
    return;
  }
  const Json json = Json::parse(parts.header, nullptr, /*allow_exceptions=*/false);
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  for (const auto& [name, entry] : json.items()) {
    if (name != "__metadata__" && entry.is_object() && entry.contains("data_offsets") &&
        entry["data_offsets"].is_array() && entry["data_offsets"].size() == 2 &&
        entry["data_offsets"][0].is_number_unsigned() &&
        entry["data_offsets"][1].is_number_unsigned()) {
      ranges.emplace_back(entry["data_offsets"][0].get<std::uint64_t>(),
                          entry["data_offsets"][1].get<std::uint64_t>());
    }
  }
  std::sort(ranges.begin(), ranges.end());
  parts.header.replace(at + key.size(), digits, std::string(digits, '0'));
  Checksum sum;
  sum.add(parts.header.data(), parts.header.size());
  for (const auto& [begin, end] : ranges) {
    if (begin <= end && end <= parts.data.size()) {
      sum.add(parts.data.data() + begin, end - begin);
    }
  }
  parts.header.replace(at + key.size(), digits, sum.text());
}

}  // namespace

MemoryFile::MemoryFile()
    : descriptor_(memfd_create("fuzz", MFD_CLOEXEC)),
      path_(formatted("/proc/self/fd/{}", descriptor_)) {
  require(descriptor_ >= 0);
}

MemoryFile::~MemoryFile() { ::close(descriptor_); }

void MemoryFile::fill(std::string_view bytes) {
  require(::ftruncate(descriptor_, static_cast<off_t>(bytes.size())) == 0 &&
          ::pwrite(descriptor_, bytes.data(), bytes.size(), 0) ==
              static_cast<ssize_t>(bytes.size()));
}

const std::string& memory_folder() {
  struct Folder {
    std::string path = "/dev/shm/cks-fuzz-XXXXXX";
    Folder() { require(mkdtemp(path.data()) != nullptr); }
    ~Folder() {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }
  };
  static const Folder folder;
  return folder.path;
}

std::string tar_of(const std::vector<std::pair<std::string, std::string>>& files) {
  constexpr std::size_t kBlock = 512;
  std::string archive;
  for (const auto& [name, content] : files) {
    std::string header = name;
    header.resize(124);
    header += formatted("{:011o}", content.size());
    header.resize(kBlock);
    header[156] = '0';
    archive += header + content + std::string((kBlock - content.size() % kBlock) % kBlock, '\0');
  }
  archive.resize(archive.size() + 2 * kBlock);
  mend_tar(reinterpret_cast<std::uint8_t*>(archive.data()), archive.size());
  return archive;
}

std::size_t mutate_image(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, most);
  if (seed % kAsItIs != 0 && text_of(data, size).starts_with("\x89PNG")) {
    mend_png(data, size);
  }
  return size;
}

std::size_t mutate_tar(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, most);
  if (seed % kAsItIs != 0) {
    mend_tar(data, size);
  }
  return size;
}

std::size_t mutate_gzip(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed) {
  std::optional<std::string> content =
      seed % kAsItIs == 0 ? std::nullopt : inflated(data, size, most);
  if (!content) {
    return LLVMFuzzerMutate(data, size, most);
  }
  const std::size_t before = content->size();
  content->resize(most);
  content->resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(content->data()), before, most));
  const std::size_t packed = deflated(*content, data, most, static_cast<int>(seed / kAsItIs % 10));
  return packed == 0 ? size : packed;
}

std::size_t mutate_safetensors(std::uint8_t* data, std::size_t size, std::size_t most,
                               unsigned seed) {
  std::optional<Parts> parts = seed % kAsItIs == 0 ? std::nullopt : parts_of(data, size);
  if (!parts) {
    return LLVMFuzzerMutate(data, size, most);
  }
  const unsigned choice = seed / kAsItIs;
  std::string& changed = choice % 4 == 0 ? parts->data : parts->header;
  const std::size_t before = changed.size();
  changed.resize(most);
  changed.resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(changed.data()), before, most));
  if (choice / 4 % 2 == 0) {
    lay_out(*parts);
  }
  if (choice / 8 % 4 != 0) {
    seal(*parts);
  }
  const std::uint64_t length = parts->header.size();
  const std::size_t total = sizeof length + parts->header.size() + parts->data.size();
  if (total > most) {
    return size;
  }
  std::memcpy(data, &length, sizeof length);
  std::copy(parts->header.begin(), parts->header.end(), data + sizeof length);
  std::copy(parts->data.begin(), parts->data.end(), data + sizeof length + length);
  return total;
}

}  // namespace cks::fuzz
