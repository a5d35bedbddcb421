#include "cks/kernels/counter/counter.h"

#include <doctest/doctest.h>

#include <vector>

#include "tests/support/run_kernel.h"

TEST_CASE("count_up: one counter, or a list longer than a launch takes") {
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < 300; ++i) {
    values.push_back(i * i);
  }
  TargetBuffer counters(values.size() * sizeof(std::int64_t));
  auto* first = counters.as<std::int64_t>();
  write_to(first, values);
  std::vector<std::int64_t*> list;
  for (std::size_t i = 0; i < values.size(); i += 1) {
    if (i != 7) {
      list.push_back(first + i);
      ++values[i];
    }
  }
  target::count_up(list.data(), static_cast<std::int64_t>(list.size()));
  CHECK(read_from<std::int64_t>(counters) == values);
  target::count_up(first + 7);
  ++values[7];
  target::count_up(list.data(), 0);
  CHECK(read_from<std::int64_t>(counters) == values);
  CHECK(counters.intact());
}
