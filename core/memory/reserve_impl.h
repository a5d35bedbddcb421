#pragma once
#include <cstdint>
#include <exception>
#include <vector>

#include "cks/core/error.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {

/// Reserves memory of the host for a number of elements that a user gave; throws OutOfMemoryError,
/// naming the operation, where a vector would throw an exception of the standard library's.
template <class T>
void reserve(const char* operation, std::vector<T>& elements, std::int64_t count) {
  try {
    elements.reserve(static_cast<std::size_t>(count));
  } catch (const std::exception&) {  // length_error or bad_alloc
    throw OutOfMemoryError(formatted("{}: {} elements do not fit into memory", operation, count));
  }
}

}  // namespace cks
