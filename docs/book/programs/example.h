#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "cks/cks.h"

/// The convolution that the chapters compute by hand: a 4x4 image, a 3x3 filter, padding 1; with
/// stride 2 its output, and so dY, is 2x2.
namespace book {

using Numbers = std::vector<float>;

inline const Numbers X{1, 2, 0, 1,   //
                       3, 1, 1, 0,   //
                       0, 2, 1, 3,   //
                       2, 0, 1, 1};  //
inline const Numbers W{1,  0, 2,     //
                       -1, 3, 1,     //
                       2,  1, -1};   //
inline const Numbers dY{1, 2,        //
                        -1, 3};      //

/// Rows and columns alike: output o reads pixel o*stride - pad + f through tap f.
struct Axis {
  std::int64_t in, filter, stride, pad;
  std::int64_t out() const { return (in + 2 * pad - filter) / stride + 1; }
};

/// Element (r, c) of a matrix that lies row by row.
inline std::size_t at(std::int64_t r, std::int64_t c, std::int64_t columns) {
  return static_cast<std::size_t>(r * columns + c);
}

inline std::size_t square(std::int64_t side) { return at(side, 0, side); }

inline void print(const char* name, const Numbers& numbers, std::int64_t columns) {
  std::printf("%s\n", name);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const bool ends = (i + 1) % static_cast<std::size_t>(columns) == 0;
    std::printf("%4.0f%s", static_cast<double>(numbers[i]), ends ? "\n" : "");
  }
}

/// One image and one channel as the library's tensor, NHWC; a filter likewise.
inline cks::Tensor tensor(const Numbers& numbers, std::int64_t side) {
  return cks::Tensor::from_vector(numbers, {1, side, side, 1});
}

}  // namespace book
