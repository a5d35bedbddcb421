#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cks/kernels/conv2d/problem.h"

/// The list of convolutions that every plan of every pass is tested on.
namespace cks::testing {

/// One legal convolution and how its tensors lie in memory.
struct ListedProblem {
  std::string name;
  kernels::Conv2dSizes sizes;
  bool transposed = false;  // sizes are those of a transposed convolution
  Size2 output_padding = 0;
  std::int64_t x_gap = 0;  // elements between the channels of one pixel and the next pixel
  std::int64_t y_gap = 0;
  bool odd_bases = false;  // every tensor starts one element behind a 64-byte boundary

  /// The problem with the dtype given for all tensors, pitches included.
  kernels::Conv2dProblem at(DType dtype) const;
};

/// Sizes that must be refused, and what the message must contain.
struct IllegalProblem {
  std::string name;
  kernels::Conv2dSizes sizes;
  bool transposed = false;
  Size2 output_padding = 0;
  std::vector<std::string> message_parts;
};

/// Cases written by hand: every map, batch, channel count, filter, stride, padding, dilation and
/// group count of interest, layers of known networks, and the corners where convolutions break.
std::vector<ListedProblem> named_conv2d_problems();

/// Any two of the listed values of any two parameters occur together in at least one of these, as
/// far as a legal problem within the limit of work holds both. `left_out` receives the number of
/// pairs that none can hold. Deterministic.
std::vector<ListedProblem> pairwise_conv2d_problems(std::int64_t* left_out = nullptr);

/// 500 drawn ones, a quarter of them transposed. Deterministic.
std::vector<ListedProblem> random_conv2d_problems();

/// All of the above.
std::vector<ListedProblem> conv2d_problems();

std::vector<IllegalProblem> illegal_conv2d_problems();

/// The least number of multiply-adds, counted by walking over all (output, tap) pairs of rows and
/// of columns and testing each for being inside.
std::int64_t counted_multiply_adds(const kernels::Conv2dProblem& problem);

}  // namespace cks::testing
