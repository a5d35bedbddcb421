#pragma once
#include <cstdint>

#include "cks/kernels/common/host_device.h"
#include "cks/kernels/random/philox.h"

/// A random order of 0 ... count-1, any place of which can be asked for without the others.
namespace cks::kernels {

/// What order_at() needs: a keyed bijection of the numbers below the first power of two that is at
/// least `count`.
struct RandomOrder {
  static constexpr int kRounds = 16;
  std::uint64_t count;
  int low_bits, high_bits;  // a number's two halves; at most 32 bits each
  std::uint32_t round_key[kRounds];
};

/// The order of (key, step). count lies in [1, 2^62].
CKS_HOST_DEVICE inline RandomOrder make_random_order(std::int64_t count, std::uint64_t key,
                                                     std::uint64_t step) {
  RandomOrder order{};
  order.count = static_cast<std::uint64_t>(count);
  int bits = 2;  // each half needs one
  while ((std::uint64_t{1} << bits) < order.count) {
    ++bits;
  }
  order.low_bits = bits / 2;
  order.high_bits = bits - order.low_bits;
  for (int block = 0; block < RandomOrder::kRounds / 4; ++block) {
    const PhiloxBlock words = random_block(key, step, static_cast<std::uint64_t>(block));
    for (int i = 0; i < 4; ++i) {
      order.round_key[4 * block + i] = words.word[i];
    }
  }
  return order;
}

/// The finaliser of MurmurHash3: every bit of the result depends on every bit of x.
CKS_HOST_DEVICE inline std::uint32_t mix_word(std::uint32_t x) {
  x = (x ^ (x >> 16)) * 0x85EBCA6BU;
  x = (x ^ (x >> 13)) * 0xC2B2AE35U;
  return x ^ (x >> 16);
}

/// The number at `position`, which lies in [0, count).
///
/// A Feistel network: each round changes one half of a number by a keyed function of the other, and
/// so can be undone, whatever that function is. A result of `count` or more goes in again: the
/// cycle of a position of the order leads back to one.
/// Source     Mitchell et al., "Bandwidth-Optimal Random Shuffling for GPUs", ACM Transactions on
///            Parallel Computing 9(1), 2022; with unequal halves for odd numbers of bits.
/// Tested by  tests/kernels/random/random_order_test.cpp
CKS_HOST_DEVICE inline std::int64_t order_at(const RandomOrder& order, std::int64_t position) {
  const auto low_mask = static_cast<std::uint32_t>((std::uint64_t{1} << order.low_bits) - 1);
  const auto high_mask = static_cast<std::uint32_t>((std::uint64_t{1} << order.high_bits) - 1);
  auto number = static_cast<std::uint64_t>(position);
  do {
    auto low = static_cast<std::uint32_t>(number) & low_mask;
    auto high = static_cast<std::uint32_t>(number >> order.low_bits);
    for (int round = 0; round < RandomOrder::kRounds; round += 2) {
      high ^= mix_word(low ^ order.round_key[round]) & high_mask;
      low ^= mix_word(high ^ order.round_key[round + 1]) & low_mask;
    }
    number = static_cast<std::uint64_t>(high) << order.low_bits | low;
  } while (number >= order.count);
  return static_cast<std::int64_t>(number);
}

}  // namespace cks::kernels
