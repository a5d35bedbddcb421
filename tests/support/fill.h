#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#if defined(__SANITIZE_ADDRESS__)
#  include <sanitizer/asan_interface.h>
#endif

/// Test data and the memory it lies in.
namespace cks::testing {

/// A number from (seed, index) alone: the finaliser of SplitMix64.
inline std::uint64_t random_bits(std::uint64_t seed, std::uint64_t index) {
  std::uint64_t z = seed * 0xd1342543de82ef95ULL + (index + 1) * 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

/// An integer in [low, high].
inline std::int64_t random_integer(std::uint64_t seed, std::uint64_t index, std::int64_t low,
                                   std::int64_t high) {
  const auto count = static_cast<std::uint64_t>(high - low + 1);
  return low + static_cast<std::int64_t>((random_bits(seed, index) >> 16) % count);
}

/// A real in [-1, 1), never 0: an odd multiple of 2^-20. It is the same number in float32 and in
/// float64. Products of two round in float32, but are exact in float64, and so are their sums as
/// long as they stay below 2^13: a float64 reference on such numbers has no error of its own.
inline double random_real(std::uint64_t seed, std::uint64_t index) {
  const auto steps = static_cast<double>(random_bits(seed, index) >> 44);  // below 2^20
  return (2.0 * steps + 1.0) / 1048576.0 - 1.0;
}

/// Bytes between two guard bands. The bands are filled with 0xff, a NaN in every floating dtype: a
/// read beyond the buffer shows in the result, a write in `intact()`. Under address sanitizer the
/// bands are poisoned as well, so that either stops the program at once.
///
/// The payload starts 64-byte aligned plus `offset` bytes, and is 0xff as well until it is written.
class GuardedBuffer {
 public:
  explicit GuardedBuffer(std::size_t bytes, std::size_t offset = 0)
      : bytes_(bytes), begin_(kBand + offset), total_(begin_ + bytes + kBand) {
    memory_.reset(static_cast<unsigned char*>(::operator new (total_, std::align_val_t{64})));
    std::memset(memory_.get(), kFill, total_);
    protect();
  }
  ~GuardedBuffer() { unprotect(); }
  GuardedBuffer(const GuardedBuffer&) = delete;
  GuardedBuffer& operator=(const GuardedBuffer&) = delete;

  void* data() { return memory_.get() + begin_; }
  const void* data() const { return memory_.get() + begin_; }
  std::size_t bytes() const { return bytes_; }

  template <class T>
  T* as() {
    return reinterpret_cast<T*>(memory_.get() + begin_);
  }
  template <class T>
  const T* as() const {
    return reinterpret_cast<const T*>(memory_.get() + begin_);
  }

  /// Sets every byte of the payload to 0xff.
  void poison() { std::memset(data(), kFill, bytes_); }

  /// Whether the bands are as they were.
  bool intact() {
    unprotect();
    const bool result = all_filled(0, begin_) && all_filled(begin_ + bytes_, total_);
    protect();
    return result;
  }

  /// Whether bytes [begin, end) of the payload still have the value of poison().
  bool poisoned(std::size_t begin, std::size_t end) const {
    return all_filled(begin_ + begin, begin_ + end);
  }

 private:
  static constexpr std::size_t kBand = 1024;
  static constexpr unsigned char kFill = 0xff;

  struct Free {
    void operator()(unsigned char* memory) const {
      ::operator delete (memory, std::align_val_t{64});
    }
  };

  bool all_filled(std::size_t begin, std::size_t end) const {
    for (std::size_t i = begin; i < end; ++i) {
      if (memory_[i] != kFill) {
        return false;
      }
    }
    return true;
  }
  void protect() {
#if defined(__SANITIZE_ADDRESS__)
    ASAN_POISON_MEMORY_REGION(memory_.get(), begin_);
    ASAN_POISON_MEMORY_REGION(memory_.get() + begin_ + bytes_, kBand);
#endif
  }
  void unprotect() {
#if defined(__SANITIZE_ADDRESS__)
    ASAN_UNPOISON_MEMORY_REGION(memory_.get(), total_);
#endif
  }

  std::size_t bytes_;
  std::size_t begin_;
  std::size_t total_;
  std::unique_ptr<unsigned char[], Free> memory_;
};

}  // namespace cks::testing
