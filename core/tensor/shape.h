#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace cks {

/// Extents of a dense row-major tensor, last index fastest. Rank 0 is a scalar of one element;
/// an extent may be 0.
class Shape {
 public:
  static constexpr int kMaxRank = 8;

  Shape() = default;
  /// Throws ShapeError if there are more than kMaxRank extents, one is negative, or the number of
  /// elements does not fit into 63 bits.
  Shape(std::initializer_list<std::int64_t> extents);
  explicit Shape(const std::vector<std::int64_t>& extents);

  int rank() const { return rank_; }
  /// Product of the extents; 1 for rank 0.
  std::int64_t numel() const { return numel_; }
  /// Extent of an axis; -1 is the last. Throws ShapeError outside [-rank, rank).
  std::int64_t operator[](int axis) const {
    return extents_[static_cast<std::size_t>(index_of(axis))];
  }
  /// The axis as a number in [0, rank). Throws ShapeError outside [-rank, rank).
  int index_of(int axis) const;
  /// This shape with one extent replaced.
  Shape with(int axis, std::int64_t extent) const;

  const std::int64_t* begin() const { return extents_.data(); }
  const std::int64_t* end() const { return extents_.data() + rank_; }
  std::vector<std::int64_t> to_vector() const { return {begin(), end()}; }
  /// "[8,32,32,3]".
  std::string to_string() const;
  friend bool operator==(const Shape& a, const Shape& b) {
    return a.rank_ == b.rank_ && a.extents_ == b.extents_;
  }

 private:
  void assign(const std::int64_t* extents, std::size_t count);

  std::array<std::int64_t, kMaxRank> extents_{};  // zero beyond rank_
  int rank_ = 0;
  std::int64_t numel_ = 1;
};

/// NumPy's rule: aligned at the last axis, extents are equal or one of them is 1.
/// Throws ShapeError, naming the operation and both shapes, if they do not fit.
Shape broadcast_shapes(const char* operation, const Shape& a, const Shape& b);

}  // namespace cks
