#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

// Constants that a compiler has got wrong; cmake/warnings.cmake says which and why it no longer
// does.

namespace cks::testing {
namespace {

template <class T>
[[gnu::noinline]] std::vector<T> short_constant() {
  return {2, 2, 2, 0};
}

template <class T>
[[gnu::noinline]] std::vector<T> long_constant() {
  return {2, 2, 2, 2, 2, 2, 0, 0};
}

template <class T>
void check(const std::vector<T>& values, std::size_t zeros) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    CHECK(values[i] == (i < values.size() - zeros ? T(2) : T(0)));
  }
}

TEST_CASE_TEMPLATE("constants that end in zeros", T, float, double, std::int32_t, std::int64_t) {
  check(short_constant<T>(), 1);
  check(long_constant<T>(), 2);
}

}  // namespace
}  // namespace cks::testing
