// Reads the shapes of bench_conv: parse_shapes().
// Dictionary: shapes
// Covers: apps/bench/conv_shapes.cpp
// Covers: kernels/conv2d/problem.cpp:SizeCheck|complete|19make_conv2d_problem
#include "apps/bench/conv_shapes.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(cks::fuzz::text_of(data, size));
  cks::fuzz::takes([&] {
    for (const cks::apps::NamedShape& shape : cks::apps::parse_shapes(text)) {
      const std::string again = cks::apps::text_of(shape.problem);
      cks::fuzz::require(cks::apps::parse_shapes(again).front().problem == shape.problem);
    }
  });
  return 0;
}
