#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "cks/kernels/common/formatted_impl.h"

namespace cks {

/// Of 64-bit words, each step a bijection of what was there before: any word that is another one is
/// noticed, and of larger damage all but one in 2^64.
class Checksum {
 public:
  /// The last word of each call is filled up with zeros.
  void add(const void* bytes, std::size_t count) {
    const char* next = static_cast<const char*>(bytes);
    for (std::size_t rest = count; rest > 0;) {
      std::uint64_t word = 0;
      const std::size_t taken = std::min(rest, sizeof word);
      std::memcpy(&word, next, taken);
      sum_ = (sum_ ^ word) * 0x9e3779b97f4a7c15U;
      sum_ ^= sum_ >> 32U;
      next += taken;
      rest -= taken;
    }
  }
  std::uint64_t value() const { return sum_; }
  std::string text() const { return formatted("{:016x}", sum_); }

 private:
  std::uint64_t sum_ = 0;
};

}  // namespace cks
