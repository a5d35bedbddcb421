#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <functional>
#include <numeric>
#include <span>
#include <vector>

#include "cks/kernels/elementwise/elementwise.h"
#include "tests/support/device_buffer.h"
#include "tests/support/fill.h"

/// What the tests of CUDA kernels on tensors of more than 2^31 elements share, and of more than
/// 2^32 where the GPU has the memory: they check positions around these numbers, the first, the
/// last and some drawn ones. All values are small integers, so that every sum is exact in any
/// order.
namespace cks::testing {

inline constexpr std::int64_t kSide = 32;
inline constexpr std::int64_t kWide = 1024;  // channels; an image has 2^20 elements
inline constexpr std::int64_t kNarrow = 8;

// Images of a batch just beyond 2^31 and 2^32 elements.
inline constexpr std::array<std::int64_t, 2> kBatches = {(1 << 11) + 1, (1 << 12) + 1};

inline std::size_t bytes_of(std::int64_t elements) {
  return static_cast<std::size_t>(elements) * sizeof(float);
}

/// Counts cases for which the GPU has too little memory, and says so when the program ends.
class Skipped {
 public:
  ~Skipped() {
    if (count_ > 0) {
      std::printf("%d cases skipped: too little free GPU memory, one needs %.0f GB\n", count_,
                  1e-9 * static_cast<double>(most_));
    }
  }
  void add(std::size_t bytes) {
    ++count_;
    most_ = std::max(most_, bytes);
  }

 private:
  int count_ = 0;
  std::size_t most_ = 0;
};

/// Whether `elements` float32 and some workspace fit into the GPU's memory.
inline bool fits(std::int64_t elements) {
  static Skipped skipped;
  constexpr std::size_t kReserve = std::size_t{2} << 30;
  std::size_t free_bytes = 0;
  std::size_t total_bytes = 0;
  CKS_CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total_bytes));
  const std::size_t wanted = bytes_of(elements) + kReserve;
  if (free_bytes < wanted) {
    skipped.add(wanted);
    return false;
  }
  return true;
}

/// A matrix of integers in [-2, 2] that the host can compute anywhere: element (i, j) is the sum of
/// an integer of the row and one of the column.
class Matrix {
 public:
  Matrix(std::int64_t rows, std::int64_t columns, std::uint64_t seed)
      : of_row_(draw(rows, seed)), of_column_(draw(columns, seed + 1)) {}

  std::int64_t rows() const { return static_cast<std::int64_t>(of_row_.size()); }
  std::int64_t columns() const { return static_cast<std::int64_t>(of_column_.size()); }
  std::int64_t size() const { return rows() * columns(); }
  double at(std::int64_t row, std::int64_t column) const {
    return static_cast<double>(of_row_[static_cast<std::size_t>(row)]) + of_column(column);
  }
  double operator[](std::int64_t i) const { return at(i / columns(), i % columns()); }
  double of_column(std::int64_t j) const {
    return static_cast<double>(of_column_[static_cast<std::size_t>(j)]);
  }
  /// Of the rows' integers.
  double sum_of_rows() const { return std::accumulate(of_row_.begin(), of_row_.end(), 0.0); }
  double sum() const {
    return sum_of_rows() * static_cast<double>(columns()) +
           std::accumulate(of_column_.begin(), of_column_.end(), 0.0) * static_cast<double>(rows());
  }

  /// Writes all elements: a broadcast sum.
  void write_to(DeviceBuffer& target) const {
    DeviceBuffer row_values(bytes_of(rows()));
    DeviceBuffer column_values(bytes_of(columns()));
    row_values.upload(of_row_.data());
    column_values.upload(of_column_.data());
    const std::array<std::int64_t, 2> result = {rows(), columns()};
    const std::array<std::int64_t, 2> a = {rows(), 1};
    const std::array<std::int64_t, 2> b = {1, columns()};
    const std::array<std::span<const std::int64_t>, 2> operands = {a, b};
    kernels::cuda::binary_forward(kernels::BinaryOp::add, DType::float32,
                                  kernels::make_broadcast(result, operands), row_values.data(),
                                  column_values.data(), target.data());
    CKS_CUDA_CHECK(cudaDeviceSynchronize());
  }

 private:
  static std::vector<float> draw(std::int64_t count, std::uint64_t seed) {
    std::vector<float> values;
    for (std::int64_t i = 0; i < count; ++i) {
      values.push_back(
          static_cast<float>(random_integer(seed, static_cast<std::uint64_t>(i), -1, 1)));
    }
    return values;
  }
  std::vector<float> of_row_, of_column_;
};

template <class T>
T element_of(const DeviceBuffer& buffer, std::int64_t i) {
  T value{};
  CKS_CUDA_CHECK(cudaMemcpy(&value, static_cast<const T*>(buffer.data()) + i, sizeof(T),
                            cudaMemcpyDeviceToHost));
  return value;
}

/// The first, the last, those around 2^31 and 2^32, and `drawn` others of `count`.
inline std::vector<std::int64_t> positions(std::int64_t count, int drawn) {
  std::vector<std::int64_t> list = {0, count - 1};
  for (const std::int64_t power : {std::int64_t{1} << 31, std::int64_t{1} << 32}) {
    for (std::int64_t i = power - 1; i <= power + 1; ++i) {
      if (i < count) {
        list.push_back(i);
      }
    }
  }
  for (int i = 0; i < drawn; ++i) {
    list.push_back(static_cast<std::int64_t>(random_bits(77, static_cast<std::uint64_t>(i)) %
                                             static_cast<std::uint64_t>(count)));
  }
  return list;
}

/// Compares float32 elements with what the host computes for each position.
inline void check_positions(const DeviceBuffer& result, std::int64_t count, int drawn,
                            const std::function<double(std::int64_t)>& expected,
                            double tolerance = 0.0) {
  CKS_CUDA_CHECK(cudaDeviceSynchronize());
  int wrong = 0;
  for (const std::int64_t i : positions(count, drawn)) {
    const auto got = static_cast<double>(element_of<float>(result, i));
    const double want = expected(i);
    if (!(std::abs(got - want) <= tolerance) && ++wrong <= 5) {
      CAPTURE(i);
      CHECK(got == want);
    }
  }
  CHECK(wrong == 0);
  CHECK(result.intact());
}

}  // namespace cks::testing
