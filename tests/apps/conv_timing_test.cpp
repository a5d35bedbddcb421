#include "apps/bench/conv_timing.h"

#include <doctest/doctest.h>

#include "cks/core/error.h"
#include "cks/kernels/conv2d/plan.h"
#include "tests/support/devices.h"

namespace cks::apps {
namespace {

TEST_CASE("shapes: text and lists, and what they refuse") {
  for (const NamedShape& shape : parse_shapes("anchors")) {
    const std::vector<NamedShape> again = parse_shapes(text_of(shape.problem));
    REQUIRE(again.size() == 1);
    CHECK_MESSAGE(again[0].problem == shape.problem, shape.name);
  }
  CHECK(parse_shapes("2x4x4x3,5,k3,s1,p1;1x8x8x1,2,k1,s2,p0").size() == 2);
  CHECK_THROWS_WITH_AS(parse_shapes("0x4x4x3,5,k3,s1,p1"), doctest::Contains("N must be"), Error);
  CHECK_THROWS_AS(parse_shapes("2x4x4x3,5,k7,s1,p0"), ShapeError);
  CHECK_THROWS_AS(parse_shapes("2x4x4x3,5,k3,s1,p1 "), Error);
  CHECK_THROWS_AS(parse_shapes("lennet"), Error);
  CHECK_THROWS_AS(parse_shapes(""), Error);
}

TEST_CASE("ConvTiming: every plan of every pass, correct and timed, as often as asked") {
  for (const Device device : testing::test_devices()) {
    const ConvTimingOptions options{
        .algorithm = "all", .device = device, .seconds = 0.0, .check = true};
    ConvTiming bench(parse_shapes("2x7x6x3,8,k3,s2,p1").at(0), options);
    CHECK(bench.name() == "2x7x6x3,8,k3,s2,p1");
    for (int repetition = 0; repetition < 2; ++repetition) {
      const std::vector<ConvTimingRow> rows = bench.run();
      CHECK(rows.size() >= 6);  // at least the method and the reference for each pass
      for (const ConvTimingRow& row : rows) {
        CHECK(row.times.min_us > 0.0);
        CHECK(row.times.min_us <= row.times.median_us);
        CHECK(row.times.median_us <= row.times.max_us);
        CHECK(row.executed >= row.exact);
        CHECK(row.plain > row.exact);
        REQUIRE(row.error.has_value());
        CHECK(*row.error < 1e-5);
        CHECK(!row.cudnn);
      }
    }
  }
}

TEST_CASE("ConvTiming: an algorithm that no pass has is refused before anything runs") {
  const NamedShape shape = parse_shapes("2x7x6x3,8,k3,s2,p1").at(0);
  CHECK_THROWS_AS(ConvTiming(shape, {.algorithm = "fastest"}), PlanError);
  // convv2 computes the forward pass alone.
  CHECK_THROWS_AS(ConvTiming(shape, {.algorithm = "convv2"}), PlanError);
  CHECK_NOTHROW(ConvTiming(shape, {.pass = "forward", .algorithm = "convv2"}));
}

}  // namespace
}  // namespace cks::apps
