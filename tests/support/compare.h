#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

/// The project's one comparer of numbers. Every test of every room compares through it.
namespace cks::testing {

/// What may differ. Both bounds hold at once; the default compares exactly.
struct Tolerance {
  double absolute = 0.0;                                         // of each element
  double relative_l2 = std::numeric_limits<double>::infinity();  // |got - expected| / |expected|
};

/// The outcome. `message` is empty where ok; otherwise it says what differs, where, and by how
/// much.
struct Comparison {
  bool ok = false;
  double max_error = 0.0;
  double relative_l2 = 0.0;
  std::int64_t worst = -1;  // flat index of the element with the largest error, -1 if there is none
  double got = 0.0;         // both values at `worst`
  double expected = 0.0;
  std::string message;

  explicit operator bool() const { return ok; }
};

using Extents = std::vector<std::int64_t>;

inline std::string print_extents(const Extents& extents) {
  std::string text = "[";
  for (std::size_t i = 0; i < extents.size(); ++i) {
    text += i == 0 ? "" : ",";
    text += std::to_string(extents[i]);
  }
  return text + "]";
}

/// "[n,h,w,c]" of a flat row-major index.
inline std::string print_index(std::int64_t flat, const Extents& extents) {
  Extents index(extents.size(), 0);
  for (std::size_t i = extents.size(); i-- > 0;) {
    index[i] = flat % extents[i];
    flat /= extents[i];
  }
  return print_extents(index);
}

/// A number as float64; also types that convert to float only, such as bfloat16.
template <class T>
double as_double(const T& value) {
  if constexpr (std::is_arithmetic_v<T>) {
    return static_cast<double>(value);
  } else {
    return static_cast<double>(static_cast<float>(value));
  }
}

/// The other way round, rounded to the nearest.
template <class T>
T from_double(double value) {
  if constexpr (std::is_arithmetic_v<T>) {
    return static_cast<T>(value);
  } else {
    return T(static_cast<float>(value));
  }
}

/// Compares two contiguous ranges with the shapes they stand for.
///
/// Fails if the shapes differ, a range has not as many elements as its shape, any element of either
/// is NaN or infinite, an error exceeds the absolute tolerance, or the relative L2 norm of the
/// errors exceeds its own. Every bound is tested as !(error <= bound), so that NaN fails.
template <class Got, class Expected>
Comparison compare(const Got& got, const Extents& got_shape, const Expected& expected,
                   const Extents& expected_shape, Tolerance tolerance = {}) {
  Comparison result;
  const auto elements = [](const Extents& extents) {
    std::int64_t product = 1;
    for (const std::int64_t extent : extents) {
      product *= extent;
    }
    return product;
  };
  const auto got_size = static_cast<std::int64_t>(std::size(got));
  const auto expected_size = static_cast<std::int64_t>(std::size(expected));
  if (got_shape != expected_shape || got_size != elements(got_shape) ||
      expected_size != elements(expected_shape)) {
    result.message = "shapes differ: got " + print_extents(got_shape) + " with " +
                     std::to_string(got_size) + " elements, expected " +
                     print_extents(expected_shape) + " with " + std::to_string(expected_size);
    return result;
  }

  double error_squares = 0.0;
  double expected_squares = 0.0;
  std::int64_t not_finite = 0;
  std::int64_t too_far = 0;
  for (std::int64_t i = 0; i < got_size; ++i) {
    const double a = as_double(std::data(got)[i]);
    const double b = as_double(std::data(expected)[i]);
    const double error = std::abs(a - b);
    const bool finite = std::isfinite(a) && std::isfinite(b);
    if (!(error <= tolerance.absolute)) {
      ++too_far;
    }
    if (!finite) {
      ++not_finite;
    }
    // The first non-finite element is the worst; otherwise the largest error is.
    if ((!finite && not_finite == 1) || (not_finite == 0 && !(error <= result.max_error)) ||
        result.worst < 0) {
      result.max_error = error;
      result.worst = i;
      result.got = a;
      result.expected = b;
    }
    error_squares += error * error;
    expected_squares += b * b;
  }
  result.relative_l2 = error_squares == 0.0 ? 0.0 : std::sqrt(error_squares / expected_squares);
  result.ok = not_finite == 0 && too_far == 0 && result.relative_l2 <= tolerance.relative_l2;
  if (!result.ok) {
    std::ostringstream text;
    text.precision(17);
    text << "worst at " << print_index(result.worst, got_shape) << ": got " << result.got
         << ", expected " << result.expected << ", error " << result.max_error << " (tolerance "
         << tolerance.absolute << "); " << too_far << " of " << got_size << " too far, "
         << not_finite << " not finite; relative L2 " << result.relative_l2 << " (tolerance "
         << tolerance.relative_l2 << "); shape " << print_extents(got_shape);
    result.message = text.str();
  }
  return result;
}

/// As above for flat ranges.
template <class Got, class Expected>
Comparison compare(const Got& got, const Expected& expected, Tolerance tolerance = {}) {
  return compare(got, {static_cast<std::int64_t>(std::size(got))}, expected,
                 {static_cast<std::int64_t>(std::size(expected))}, tolerance);
}

}  // namespace cks::testing
