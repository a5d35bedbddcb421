#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace cks {

/// MD5 of a stream of bytes (RFC 1321). It tells published data files from damaged ones; it is no
/// protection against an attacker.
class Md5 {
 public:
  void update(const void* data, std::size_t bytes);
  /// The sum of everything so far as 32 lower-case hexadecimal digits; further updates may follow.
  std::string hex() const;

 private:
  void process_block(const std::uint8_t* block);

  std::array<std::uint32_t, 4> state_{0x67452301U, 0xefcdab89U, 0x98badcfeU, 0x10325476U};
  std::array<std::uint8_t, 64> pending_{};  // the last bytes, fewer than a block
  std::uint64_t bytes_ = 0;
};

/// MD5 of one piece of memory.
std::string md5_hex(const void* data, std::size_t bytes);

}  // namespace cks
