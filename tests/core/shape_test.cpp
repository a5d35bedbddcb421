#include "cks/core/tensor/shape.h"

#include <doctest/doctest.h>

#include "tests/core/test_ops.h"

namespace cks {
namespace {

using testing::contains;
using testing::message_of;

TEST_CASE("Shape: extents, elements, rank, text") {
  const Shape shape{2, 3, 4};
  CHECK(shape.rank() == 3);
  CHECK(shape.numel() == 24);
  CHECK(shape[0] == 2);
  CHECK(shape[-1] == 4);
  CHECK(shape.to_string() == "[2,3,4]");
  CHECK(Shape().rank() == 0);
  CHECK(Shape().numel() == 1);
  CHECK(Shape().to_string() == "[]");
  CHECK(Shape{3, 0, 2}.numel() == 0);
  CHECK(shape.to_vector() == std::vector<std::int64_t>{2, 3, 4});
}

TEST_CASE("Shape: equality looks at rank and extents") {
  CHECK(Shape{2, 3} == Shape(std::vector<std::int64_t>{2, 3}));
  CHECK_FALSE(Shape{2, 3} == Shape{3, 2});
  CHECK_FALSE(Shape{2} == Shape{2, 0});
  CHECK_FALSE(Shape{0} == Shape());
}

TEST_CASE("Shape: with() replaces one extent and leaves the original") {
  const Shape shape{2, 3, 4};
  CHECK(shape.with(-1, 7) == Shape{2, 3, 7});
  CHECK(shape == Shape{2, 3, 4});
  CHECK_THROWS_AS(shape.with(3, 1), ShapeError);
}

TEST_CASE("Shape: refuses negative extents, high ranks, and products beyond 63 bits") {
  CHECK_THROWS_AS(Shape({2, -1}), ShapeError);
  CHECK_NOTHROW(Shape({1, 1, 1, 1, 1, 1, 1, 1}));
  CHECK_THROWS_AS(Shape({1, 1, 1, 1, 1, 1, 1, 1, 1}), ShapeError);
  const std::int64_t big = std::int64_t{1} << 32;
  CHECK_THROWS_AS(Shape({big, big}), ShapeError);
  CHECK(Shape{big, big / 4}.numel() == std::int64_t{1} << 62);
  CHECK_THROWS_AS(Shape({big, 0, big}), ShapeError);  // a part of it would overflow
  CHECK(contains(message_of<ShapeError>([] { Shape({3, -2}); }), "[3,-2]"));
}

TEST_CASE("Shape: an axis outside of [-rank, rank) is named") {
  const Shape shape{2, 3};
  CHECK(shape.index_of(-2) == 0);
  CHECK_THROWS_AS(shape[2], ShapeError);
  CHECK_THROWS_AS(shape[-3], ShapeError);
  CHECK_THROWS_AS(Shape()[0], ShapeError);
  const std::string message = message_of<ShapeError>([&] { shape.index_of(5); });
  CHECK(contains(message, "axis 5"));
  CHECK(contains(message, "[2,3]"));
}

TEST_CASE("broadcast_shapes follows NumPy") {
  CHECK(broadcast_shapes("add", {2, 3}, {3}) == Shape{2, 3});
  CHECK(broadcast_shapes("add", {2, 1, 4}, {3, 1}) == Shape{2, 3, 4});
  CHECK(broadcast_shapes("add", {}, {5}) == Shape{5});
  CHECK(broadcast_shapes("add", {}, {}) == Shape());
  CHECK(broadcast_shapes("add", {0, 3}, {1, 3}) == Shape{0, 3});
  CHECK(broadcast_shapes("add", {1}, {0}) == Shape{0});
  const std::string message = message_of<ShapeError>([] {
    broadcast_shapes("add", {2, 3}, {2, 4});
  });
  CHECK(contains(message, "add"));
  CHECK(contains(message, "[2,3]"));
  CHECK(contains(message, "[2,4]"));
  CHECK(contains(message, "axis -1"));
  CHECK_THROWS_AS(broadcast_shapes("add", {0}, {2}), ShapeError);
}

}  // namespace
}  // namespace cks
