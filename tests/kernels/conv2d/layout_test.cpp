#include "cks/kernels/conv2d/cpu/layout.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

using cks::DType;
using cks::kernels::CKS_CPU::ChannelBlocks;

namespace {

/// The widths of all blocks, which follow each other without gaps and hold all channels.
std::vector<std::int64_t> widths(std::int64_t channels, int simd_bytes, DType dtype) {
  const ChannelBlocks blocks(channels, simd_bytes, dtype);
  std::vector<std::int64_t> all;
  std::int64_t end = 0;
  for (std::int64_t block = 0; block < blocks.count(); ++block) {
    CHECK(blocks.begin(block) == end);
    CHECK(end < channels);
    all.push_back(blocks.width(block));
    end += all.back();
  }
  CHECK(end >= channels);
  CHECK(end == blocks.padded());
  return all;
}

}  // namespace

TEST_CASE("layout: channels are cut into the widest vectors that leave few lanes empty") {
  using Widths = std::vector<std::int64_t>;
  // Vectors of 16 floats: those of 8 take what needs no more.
  CHECK(widths(8, 64, DType::float32) == Widths{8});
  CHECK(widths(9, 64, DType::float32) == Widths{16});
  CHECK(widths(16, 64, DType::float32) == Widths{16});
  CHECK(widths(17, 64, DType::float32) == Widths{16, 8});
  CHECK(widths(24, 64, DType::float32) == Widths{16, 8});
  CHECK(widths(25, 64, DType::float32) == Widths{32});
  CHECK(widths(33, 64, DType::float32) == Widths{32, 8});
  CHECK(widths(81, 64, DType::float32) == Widths{32, 32, 16, 8});
  CHECK(widths(13, 64, DType::float64) == Widths{16});
  CHECK(widths(11, 64, DType::float64) == Widths{8, 4});
  // Vectors of 4 floats have no halves: two side by side share what is loaded for both.
  CHECK(widths(1, 16, DType::float32) == Widths{4});
  CHECK(widths(4, 16, DType::float32) == Widths{4});
  CHECK(widths(5, 16, DType::float32) == Widths{8});
  CHECK(widths(8, 16, DType::float32) == Widths{8});
  CHECK(widths(9, 16, DType::float32) == Widths{8, 4});
  CHECK(widths(3, 16, DType::float64) == Widths{4});
}

TEST_CASE("layout: blocks hold every channel once, whatever the vectors") {
  for (const int simd_bytes : {16, 32, 64}) {
    for (const DType dtype : {DType::float32, DType::float64}) {
      const auto least = std::max(16, simd_bytes / 2) / static_cast<std::int64_t>(size_of(dtype));
      for (std::int64_t channels = 1; channels <= 100; ++channels) {
        CAPTURE(simd_bytes);
        CAPTURE(channels);
        std::int64_t lanes = 0;
        for (const std::int64_t width : widths(channels, simd_bytes, dtype)) {
          lanes += width;
        }
        CHECK(lanes - channels < least);  // no whole vector is empty
      }
    }
  }
}
