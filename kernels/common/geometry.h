#pragma once
#include <cstdint>

namespace cks {

/// A pair (rows, columns). One number stands for both.
struct Size2 {
  std::int64_t h = 1;
  std::int64_t w = 1;

  constexpr Size2() = default;
  constexpr Size2(std::int64_t both) : h(both), w(both) {}  // NOLINT(google-explicit-constructor)
  constexpr Size2(std::int64_t rows, std::int64_t columns) : h(rows), w(columns) {}
  friend constexpr bool operator==(const Size2&, const Size2&) = default;
};

/// Rows and columns of zeros around an image. One number stands for all four sides.
struct Padding2d {
  std::int64_t top = 0;
  std::int64_t bottom = 0;
  std::int64_t left = 0;
  std::int64_t right = 0;

  constexpr Padding2d() = default;
  constexpr Padding2d(std::int64_t all)  // NOLINT(google-explicit-constructor)
      : top(all), bottom(all), left(all), right(all) {}
  constexpr Padding2d(std::int64_t rows, std::int64_t columns)
      : top(rows), bottom(rows), left(columns), right(columns) {}
  constexpr Padding2d(std::int64_t t, std::int64_t b, std::int64_t l, std::int64_t r)
      : top(t), bottom(b), left(l), right(r) {}
  friend constexpr bool operator==(const Padding2d&, const Padding2d&) = default;
};

namespace kernels {

/// The size formula of convolution and pooling: floor((in + pad - dilation*(filter-1) - 1) /
/// stride)
/// + 1, `pad` being both sides' padding. 0 where the filter exceeds the padded image.
constexpr std::int64_t conv_output_extent(std::int64_t in, std::int64_t pad, std::int64_t filter,
                                          std::int64_t stride, std::int64_t dilation) {
  const std::int64_t room = in + pad - dilation * (filter - 1) - 1;
  return room < 0 ? 0 : room / stride + 1;
}

}  // namespace kernels
}  // namespace cks
