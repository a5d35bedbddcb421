#pragma once
#include <cstdint>

#include "cks/kernels/common/host_device.h"

/// Counter-based random numbers: a number is a pure function of (key, step, index), so it does not
/// depend on the order of drawing, the number of threads or the device.
namespace cks::kernels {

/// Four random words.
struct PhiloxBlock {
  std::uint32_t word[4];
};

/// Philox4x32-10: ten rounds on a counter of four words with a key of two.
/// Source     Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
/// Tested by  tests/kernels/random/philox_test.cpp, with the authors' known answers.
CKS_HOST_DEVICE inline PhiloxBlock philox4x32(PhiloxBlock counter, std::uint32_t key_low,
                                              std::uint32_t key_high) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53U} * counter.word[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57U} * counter.word[2];
    counter = {{static_cast<std::uint32_t>(product1 >> 32) ^ counter.word[1] ^ key_low,
                static_cast<std::uint32_t>(product1),
                static_cast<std::uint32_t>(product0 >> 32) ^ counter.word[3] ^ key_high,
                static_cast<std::uint32_t>(product0)}};
    key_low += 0x9E3779B9U;
    key_high += 0xBB67AE85U;
  }
  return counter;
}

/// Words 4 * block ... 4 * block + 3 of the stream of (key, step).
CKS_HOST_DEVICE inline PhiloxBlock random_block(std::uint64_t key, std::uint64_t step,
                                                std::uint64_t block) {
  const PhiloxBlock counter{
      {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32),
       static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(step >> 32)}};
  return philox4x32(counter, static_cast<std::uint32_t>(key),
                    static_cast<std::uint32_t>(key >> 32));
}

/// Word `index` of the stream. Neighbours share a block: loops over many take random_block().
CKS_HOST_DEVICE inline std::uint32_t random_word(std::uint64_t key, std::uint64_t step,
                                                 std::uint64_t index) {
  return random_block(key, step, index >> 2).word[index & 3U];
}

/// A word as a real number in [0, 1), a multiple of 2^-24 and thus exact in float32.
CKS_HOST_DEVICE inline float to_unit_interval(std::uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1p-24F;
}

}  // namespace cks::kernels
