// How many products of a convolution are with a zero, pass by pass.
#include "example.h"

using namespace book;

/// The (output, tap) pairs of one axis whose pixel exists.
std::int64_t pairs(const Axis& a) {
  std::int64_t count = 0;
  for (std::int64_t o = 0; o < a.out(); ++o) {
    for (std::int64_t f = 0; f < a.filter; ++f) {
      const std::int64_t i = o * a.stride - a.pad + f;
      count += i >= 0 && i < a.in ? 1 : 0;
    }
  }
  return count;
}

int main() {
  bool right = true;
  std::printf(" map filter stride pad |   V  forward      dX      dW\n");
  for (const Axis& a : {Axis{4, 3, 1, 1}, Axis{4, 3, 2, 1}, Axis{8, 3, 1, 1}, Axis{8, 3, 2, 1},
                        Axis{28, 5, 1, 2}, Axis{32, 3, 2, 1}}) {
    const std::int64_t v = pairs(a) * pairs(a);
    // What the library executes, counted where it multiplies.
    cks::Tensor x = cks::Tensor::ones({1, a.in, a.in, 1}).set_requires_grad();
    cks::Tensor w = cks::Tensor::ones({1, a.filter, a.filter, 1}).set_requires_grad();
    const cks::ConvRecorder recorder;
    const cks::Tensor y = cks::conv2d(x, w, {}, {.stride = a.stride, .padding = a.pad});
    y.backward(cks::Tensor::ones(y.shape()));
    std::printf("%4d %6d %6d %3d |%6d", static_cast<int>(a.in), static_cast<int>(a.filter),
                static_cast<int>(a.stride), static_cast<int>(a.pad), static_cast<int>(v));
    for (const auto pass : cks::kernels::kConv2dPasses) {
      for (const cks::ConvRecord& record : recorder.records()) {
        if (record.pass == pass) {
          right = right && record.executed == v;
          std::printf("  %4.1f %%", 100.0 * (1.0 - static_cast<double>(record.executed) /
                                                       static_cast<double>(record.plain)));
        }
      }
    }
    std::printf("\n");
  }
  std::printf("each pass executes V products: %s\n", right ? "yes" : "no");
  return right ? 0 : 1;
}
