#include "cks/kernels/random/philox.h"

#include <doctest/doctest.h>

namespace cks::kernels {
namespace {

void check(PhiloxBlock counter, std::uint32_t low, std::uint32_t high, PhiloxBlock expected) {
  const PhiloxBlock got = philox4x32(counter, low, high);
  for (int i = 0; i < 4; ++i) {
    CHECK(got.word[i] == expected.word[i]);
  }
}

TEST_CASE("philox4x32 gives the known answers of its authors (Random123, kat_vectors)") {
  check({{0, 0, 0, 0}}, 0, 0, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}});
  check({{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}}, 0xffffffff, 0xffffffff,
        {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}});
  check({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0,
        {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}});
}

TEST_CASE("random_word reads the words of random_block in order, key and step in both halves") {
  const std::uint64_t key = 0x123456789abcdef0ULL;
  const std::uint64_t step = 0xfedcba9876543210ULL;
  const std::uint64_t block = 0x100000002ULL;
  const PhiloxBlock words = random_block(key, step, block);
  for (std::uint64_t i = 0; i < 4; ++i) {
    CHECK(random_word(key, step, block * 4 + i) == words.word[i]);
  }
  CHECK(random_word(key, step, 0) != random_word(key, step ^ (1ULL << 40), 0));
  CHECK(random_word(key, step, 0) != random_word(key ^ (1ULL << 40), step, 0));
  CHECK(random_word(key, step, 0) != random_word(key, step, 1ULL << 40));
}

TEST_CASE("to_unit_interval covers [0, 1) without reaching 1") {
  CHECK(to_unit_interval(0) == 0.0F);
  CHECK(to_unit_interval(0xffffffffU) == 1.0F - 0x1p-24F);
  CHECK(to_unit_interval(0x80000000U) == 0.5F);
}

}  // namespace
}  // namespace cks::kernels
