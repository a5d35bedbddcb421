#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "apps/ladder/rungs.h"

// The ladder's kernels for GPUs, run by a CPU (support/cuda_on_cpu), against the definition.
// Operands are small whole numbers: all sums are exact, also those of tensor cores.
namespace {

using namespace cks::ladder;

std::vector<float> draw(int count, int seed) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>((i * 37 + static_cast<std::size_t>(seed) * 11 + i / 7) % 7) - 3;
  }
  return values;
}

/// All rungs of a pass with a result of `count` elements, whose V is v.
template <class Pass>
void check(const char* name, const Pass& pass, std::size_t count, std::int64_t v) {
  std::vector<float> expected(count);
  const std::int64_t plain = cpu_rungs<Pass>()[0].run(pass, expected.data());
  for (const auto& rungs : {cpu_rungs<Pass>(), gpu_rungs<Pass>()}) {
    for (const Rung<Pass>& rung : rungs) {
      CAPTURE(name);
      CAPTURE(rung.name);
      std::vector<float> got(count, std::numeric_limits<float>::quiet_NaN());
      const std::int64_t executed = rung.run(pass, got.data());
      CHECK(got == expected);
      const std::string rung_name = rung.name;
      const bool skips = rung_name.starts_with("zeros") || rung_name.starts_with("tensor");
      CHECK(executed >= (skips ? v : plain));
    }
  }
  std::vector<float> got(count);
  CHECK(cpu_rungs<Pass>()[1].run(pass, got.data()) == v);
}

struct Layer {
  int images, height, width, in, out, filter, stride, pad;
};

TEST_CASE(
    "ladder: every rung of every pass computes the definition, on tiles that are not full too") {
  for (const Layer& l : {Layer{3, 7, 5, 2, 3, 3, 2, 1}, Layer{2, 4, 4, 20, 5, 3, 1, 1},
                         Layer{66, 3, 3, 3, 67, 3, 1, 1}, Layer{2, 9, 9, 4, 4, 5, 3, 2},
                         Layer{2, 2, 2, 3, 3, 5, 1, 3}, Layer{2, 7, 7, 2, 3, 1, 2, 0}}) {
    const auto out = [&](int size) { return (size + 2 * l.pad - l.filter) / l.stride + 1; };
    const Sizes s{l.images,      l.height,     l.width,  l.in,     l.out, l.filter, l.filter,
                  out(l.height), out(l.width), l.stride, l.stride, l.pad, l.pad};
    const std::vector<float> x = draw(s.N * s.IH * s.IW * s.IC, 1);
    const std::vector<float> w = draw(s.OC * s.FH * s.FW * s.IC, 2);
    const std::vector<float> dy = draw(s.N * s.OH * s.OW * s.OC, 3);
    const auto pairs = [&](int in, int outs) {
      std::int64_t count = 0;
      for (int o = 0; o < outs; ++o) {
        for (int f = 0; f < l.filter; ++f) {
          const int i = o * l.stride - l.pad + f;
          count += i >= 0 && i < in ? 1 : 0;
        }
      }
      return count;
    };
    const std::int64_t v = s.N * pairs(s.IH, s.OH) * pairs(s.IW, s.OW) * s.IC * s.OC;
    check("forward", Forward{s, x.data(), w.data()}, dy.size(), v);
    check("backward_data", BackwardData{s, dy.data(), w.data()}, x.size(), v);
    check("backward_filter", BackwardFilter{s, dy.data(), x.data()}, w.size(), v);
  }
}

}  // namespace
