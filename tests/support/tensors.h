#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cks/core/tensor/tensor.h"
#include "tests/support/compare.h"
#include "tests/support/fill.h"

/// Tensors of test data, and comparison of tensors through the project's comparer.
namespace cks::testing {

/// Elements random_real(seed, i), exact in float32 and float64.
inline Tensor random_tensor(const Shape& shape, std::uint64_t seed, DType dtype = DType::float64) {
  std::vector<double> values(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = random_real(seed, i);
  }
  return Tensor::from_vector(values, shape).to(dtype);
}

/// The elements as float64, off the tape.
inline std::vector<double> doubles(const Tensor& tensor) {
  return tensor.detach().to(DType::float64).to_vector<double>();
}

inline Comparison compare(const Tensor& got, const Tensor& expected, Tolerance tolerance = {}) {
  return compare(doubles(got), got.shape().to_vector(), doubles(expected),
                 expected.shape().to_vector(), tolerance);
}
/// Of as many tensors; the message says which one differs first.
inline Comparison compare_all(const std::vector<Tensor>& got, const std::vector<Tensor>& expected,
                              Tolerance tolerance = {}) {
  Comparison result{};
  result.ok = got.size() == expected.size();
  result.message = result.ok ? "" : "other numbers of tensors";
  for (std::size_t i = 0; i < got.size() && result.ok; ++i) {
    result = compare(got[i], expected[i], tolerance);
    result.message = "tensor " + std::to_string(i) + ": " + result.message;
  }
  return result;
}

/// What an exception of the given kind says; empty if `body` throws none.
template <class Exception, class Body>
std::string message_of(Body&& body) {
  try {
    body();
  } catch (const Exception& error) {
    return error.what();
  }
  return {};
}

}  // namespace cks::testing
