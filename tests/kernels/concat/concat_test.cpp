#include "cks/kernels/concat/concat.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

#include "cks/kernels/common/activation.h"
#include "tests/support/fill.h"
#include "tests/support/run_kernel.h"

namespace cks::kernels {
namespace {

using Extents = std::vector<std::int64_t>;

/// Memory of the target with these elements; T may be of any type.
template <class T>
std::unique_ptr<TargetBuffer> buffer_of(const std::vector<T>& values) {
  auto buffer = std::make_unique<TargetBuffer>(values.size() * sizeof(T));
  if (!values.empty()) {
    write_to(buffer->template as<T>(), values);
  }
  return buffer;
}

std::int64_t width_of(const Extents& widths) {
  return std::accumulate(widths.begin(), widths.end(), std::int64_t{0});
}

/// Numbers that a byte holds, and bfloat16 a sum of four of them.
template <class T>
std::vector<T> drawn(std::int64_t count, std::uint64_t seed) {
  std::vector<T> values;
  for (std::int64_t i = 0; i < count; ++i) {
    const double number = std::floor(32.0 * random_real(seed, static_cast<std::uint64_t>(i)));
    if constexpr (std::is_same_v<T, bfloat16>) {
      values.push_back(bfloat16(static_cast<float>(number)));
    } else {
      values.push_back(static_cast<T>(static_cast<std::int64_t>(number)));
    }
  }
  return values;
}

const std::vector<std::pair<std::int64_t, Extents>>& cases() {
  static const std::vector<std::pair<std::int64_t, Extents>> list{
      {1, {1}},
      {7, {3, 5}},
      {40, {8, 16, 24, 8}},
      {1000, {16, 0, 48}},
      {50, {12, 20}},
      {2, {30000, 50001}},
      {33, {4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4}},  // more than a launch takes
      {33, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1, 1, 1, 1, 5, 2}},
      {20000, {64, 128, 32, 32}},
      {3, {100000, 7}},
      {5, {0, 0}},
      {0, {3, 4}}};
  return list;
}

template <class T>
void check_join(std::int64_t rows, const Extents& widths) {
  CAPTURE(rows);
  CAPTURE(widths.size());
  CAPTURE(sizeof(T));
  const std::int64_t pitch = width_of(widths);
  const std::vector<T> expected = drawn<T>(rows * pitch, 1);
  const ConcatProblem problem{rows, widths, dtype_of<T>()};
  std::vector<std::vector<T>> parts;
  std::int64_t begin = 0;
  for (const std::int64_t width : widths) {
    std::vector<T>& part = parts.emplace_back();
    for (std::int64_t row = 0; row < rows; ++row) {
      const auto from = expected.begin() + row * pitch + begin;
      part.insert(part.end(), from, from + width);
    }
    begin += width;
  }
  const auto equal = [](const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
  };
  const std::vector<T> got = run_kernel<T>(rows * pitch, [&](T* whole) {
    std::vector<std::unique_ptr<TargetBuffer>> buffers;
    std::vector<const void*> pointers;
    for (const auto& part : parts) {
      pointers.push_back(buffers.emplace_back(buffer_of(part))->data());
    }
    target::concat(problem, pointers, whole);
  });
  CHECK(equal(got, expected));
  if (!is_floating(dtype_of<T>()) && kTestsCuda) {
    return;
  }
  // Every other part alone.
  for (const std::size_t first : {0U, 1U}) {
    std::vector<std::unique_ptr<TargetBuffer>> buffers;
    std::vector<SplitPart> split_parts;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      buffers.push_back(std::make_unique<TargetBuffer>(parts[i].size() * sizeof(T)));
      split_parts.push_back({i % 2 == first ? buffers[i]->data() : nullptr, nullptr, 1.0});
    }
    const auto whole = buffer_of(expected);
    const void* const term = whole->data();
    target::split(problem, {&term, 1}, split_parts);
    for (std::size_t i = first; i < parts.size(); i += 2) {
      CAPTURE(i);
      CHECK(equal(read_from<T>(*buffers[i]), parts[i]));
      CHECK(buffers[i]->intact());
    }
  }
}

#ifdef CKS_TEST_CUDA
/// Sums of small integers, exact in every order and type, and slopes that are exact as well.
template <class T>
void check_sum(std::int64_t rows, const Extents& widths, std::size_t term_count) {
  CAPTURE(rows);
  CAPTURE(widths.size());
  CAPTURE(sizeof(T));
  CAPTURE(term_count);
  const std::int64_t pitch = width_of(widths);
  const ConcatProblem problem{rows, widths, dtype_of<T>()};
  std::vector<std::unique_ptr<TargetBuffer>> buffers;
  std::vector<const void*> terms;
  std::vector<double> sum(static_cast<std::size_t>(rows * pitch));
  for (std::size_t i = 0; i < term_count; ++i) {
    const std::vector<T> term = drawn<T>(rows * pitch, 10 + i);
    for (std::size_t at = 0; at < sum.size(); ++at) {
      sum[at] += widen<double>(term[at]);
    }
    terms.push_back(buffers.emplace_back(buffer_of(term))->data());
  }
  std::vector<SplitPart> parts;
  std::vector<TargetBuffer*> results;
  std::vector<std::vector<double>> expected;
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < widths.size(); ++i) {
    const double slope = i % 3 == 0 ? 0.0 : (i % 3 == 1 ? 0.25 : 1.0);
    std::vector<T> y = drawn<T>(rows * widths[i], 20 + i);
    std::vector<double>& part = expected.emplace_back();
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t c = 0; c < widths[i]; ++c) {
        const auto at = static_cast<std::size_t>(row * widths[i] + c);
        y[at] = narrowed<T>(static_cast<float>(widen<double>(y[at]) - 16.0));  // of both signs
        if (at % 97 == 5) {
          y[at] = narrowed<T>(std::numeric_limits<float>::quiet_NaN());
        }
        const double value = sum[static_cast<std::size_t>(row * pitch + begin + c)];
        part.push_back(slope == 1.0 ? value : masked(value, widen<double>(y[at]), slope));
      }
    }
    begin += widths[i];
    results.push_back(
        buffers.emplace_back(std::make_unique<TargetBuffer>(part.size() * sizeof(T))).get());
    const void* const result_of_activation = buffers.emplace_back(buffer_of(y))->data();
    parts.push_back({results.back()->data(), slope == 1.0 ? nullptr : result_of_activation, slope});
  }
  target::split(problem, terms, parts);
  for (std::size_t i = 0; i < widths.size(); ++i) {
    CAPTURE(i);
    const std::vector<T> got = read_from<T>(*results[i]);
    CHECK(std::equal(got.begin(), got.end(), expected[i].begin(), expected[i].end(),
                     [](T a, double b) { return widen<double>(a) == b; }));
    CHECK(results[i]->intact());
  }
}
#endif

}  // namespace

TEST_CASE("concat: the whole of parts, and its parts again") {
  for (const auto& [rows, widths] : cases()) {
    check_join<float>(rows, widths);
    check_join<double>(rows, widths);
    check_join<bfloat16>(rows, widths);
    check_join<std::uint8_t>(rows, widths);
    check_join<std::int64_t>(rows, widths);
  }
}

#ifdef CKS_TEST_CUDA
TEST_CASE("split: sums of terms, masked by what activations left") {
  for (const auto& [rows, widths] : cases()) {
    for (const std::size_t terms : {1U, 2U, 3U, 4U}) {
      check_sum<float>(rows, widths, terms);
      check_sum<double>(rows, widths, terms);
      check_sum<bfloat16>(rows, widths, terms);
    }
  }
}
#endif

}  // namespace cks::kernels
