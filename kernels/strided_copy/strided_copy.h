#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "cks/kernels/common/entry_point.h"

namespace cks::kernels {

/// Moves elements between two strided arrays: permutation, slice with a step, expansion (source
/// stride 0), a piece of a concatenation, the inside of a padding. Extents of 1 are dropped and
/// axes that both sides walk alike are joined.
struct CopyProblem {
  static constexpr int kMaxRank = 8;

  int rank = 0;
  std::int64_t count = 1;
  std::int64_t extents[kMaxRank] = {};
  std::int64_t source_strides[kMaxRank] = {};  // in elements, >= 0
  std::int64_t target_strides[kMaxRank] = {};  // in elements, > 0: no element is written twice
};

/// Throws ShapeError if the spans differ in length or have more than kMaxRank axes.
CopyProblem make_copy(std::span<const std::int64_t> extents,
                      std::span<const std::int64_t> source_strides,
                      std::span<const std::int64_t> target_strides);

/// Whether the copy turns the fastest axis (NHWC to NCHW), so that it goes tile by tile. Then the
/// axis along which the source runs becomes the last but one; the others keep their order.
bool turn_for_tiles(CopyProblem& problem);

/// Copies; both pointers name the element of index 0 on every axis, and the arrays are disjoint.
/// element_bytes is 1, 2, 4 or 8 (Error otherwise).
CKS_ENTRY_POINT(void, strided_copy,
                (const CopyProblem& problem, std::size_t element_bytes, const void* source,
                 void* target));

}  // namespace cks::kernels
