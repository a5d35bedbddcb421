#include "cks/datasets/checksum.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace cks {

namespace {

constexpr std::size_t kBlock = 64;

// floor(2^32 * |sin(i + 1)|), the additive constants of RFC 1321.
constexpr std::array<std::uint32_t, 64> kSines{
    0xd76aa478U, 0xe8c7b756U, 0x242070dbU, 0xc1bdceeeU, 0xf57c0fafU, 0x4787c62aU, 0xa8304613U,
    0xfd469501U, 0x698098d8U, 0x8b44f7afU, 0xffff5bb1U, 0x895cd7beU, 0x6b901122U, 0xfd987193U,
    0xa679438eU, 0x49b40821U, 0xf61e2562U, 0xc040b340U, 0x265e5a51U, 0xe9b6c7aaU, 0xd62f105dU,
    0x02441453U, 0xd8a1e681U, 0xe7d3fbc8U, 0x21e1cde6U, 0xc33707d6U, 0xf4d50d87U, 0x455a14edU,
    0xa9e3e905U, 0xfcefa3f8U, 0x676f02d9U, 0x8d2a4c8aU, 0xfffa3942U, 0x8771f681U, 0x6d9d6122U,
    0xfde5380cU, 0xa4beea44U, 0x4bdecfa9U, 0xf6bb4b60U, 0xbebfbc70U, 0x289b7ec6U, 0xeaa127faU,
    0xd4ef3085U, 0x04881d05U, 0xd9d4d039U, 0xe6db99e5U, 0x1fa27cf8U, 0xc4ac5665U, 0xf4292244U,
    0x432aff97U, 0xab9423a7U, 0xfc93a039U, 0x655b59c3U, 0x8f0ccc92U, 0xffeff47dU, 0x85845dd1U,
    0x6fa87e4fU, 0xfe2ce6e0U, 0xa3014314U, 0x4e0811a1U, 0xf7537e82U, 0xbd3af235U, 0x2ad7d2bbU,
    0xeb86d391U};
constexpr std::array<std::array<int, 4>, 4> kRotations{
    {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}}};

std::uint32_t load_little_endian(const std::uint8_t* bytes) {
  return static_cast<std::uint32_t>(bytes[0]) | static_cast<std::uint32_t>(bytes[1]) << 8 |
         static_cast<std::uint32_t>(bytes[2]) << 16 | static_cast<std::uint32_t>(bytes[3]) << 24;
}

}  // namespace

void Md5::process_block(const std::uint8_t* block) {
  std::array<std::uint32_t, 16> words{};
  for (std::size_t i = 0; i < words.size(); ++i) {
    words[i] = load_little_endian(block + 4 * i);
  }
  auto [a, b, c, d] = state_;
  for (std::size_t i = 0; i < 64; ++i) {
    std::uint32_t mixed = 0;
    std::size_t word = 0;
    switch (i / 16) {
      case 0:
        mixed = (b & c) | (~b & d);
        word = i;
        break;
      case 1:
        mixed = (d & b) | (~d & c);
        word = (5 * i + 1) % 16;
        break;
      case 2:
        mixed = b ^ c ^ d;
        word = (3 * i + 5) % 16;
        break;
      default:
        mixed = c ^ (b | ~d);
        word = (7 * i) % 16;
        break;
    }
    const std::uint32_t sum = a + mixed + kSines[i] + words[word];
    a = d;
    d = c;
    c = b;
    b += std::rotl(sum, kRotations[i / 16][i % 4]);
  }
  state_[0] += a;
  state_[1] += b;
  state_[2] += c;
  state_[3] += d;
}

void Md5::update(const void* data, std::size_t bytes) {
  const auto* next = static_cast<const std::uint8_t*>(data);
  std::size_t filled = bytes_ % kBlock;
  bytes_ += bytes;
  while (bytes > 0) {
    if (filled == 0 && bytes >= kBlock) {
      process_block(next);
      next += kBlock;
      bytes -= kBlock;
      continue;
    }
    const std::size_t taken = std::min(bytes, kBlock - filled);
    std::memcpy(pending_.data() + filled, next, taken);
    next += taken;
    bytes -= taken;
    filled += taken;
    if (filled == kBlock) {
      process_block(pending_.data());
      filled = 0;
    }
  }
}

std::string Md5::hex() const {
  Md5 end = *this;
  const std::uint64_t bits = bytes_ * 8;
  const std::uint8_t one = 0x80;
  end.update(&one, 1);
  const std::uint8_t zero = 0;
  while (end.bytes_ % kBlock != kBlock - 8) {
    end.update(&zero, 1);
  }
  std::array<std::uint8_t, 8> length{};
  for (std::size_t i = 0; i < length.size(); ++i) {
    length[i] = static_cast<std::uint8_t>(bits >> (8 * i));
  }
  end.update(length.data(), length.size());

  std::string text;
  for (const std::uint32_t word : end.state_) {
    for (int shift = 0; shift < 32; shift += 8) {
      const std::uint32_t byte = word >> shift & 0xffU;
      text += "0123456789abcdef"[byte >> 4];
      text += "0123456789abcdef"[byte & 15U];
    }
  }
  return text;
}

std::string md5_hex(const void* data, std::size_t bytes) {
  Md5 sum;
  sum.update(data, bytes);
  return sum.hex();
}

}  // namespace cks
