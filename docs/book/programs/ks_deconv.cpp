// KS-deconv: the filter is split into one dense filter for each residue class of pixels, and each
// class is a correlation of dY at stride 1.
#include "example.h"

using namespace book;

/// A tap of class a, and the output that it reads for pixel a + stride*j: j + delta.
struct Tap {
  std::int64_t f, delta;
};

/// In the order of the outputs they read.
std::vector<Tap> taps_of_class(const Axis& axis, std::int64_t a) {
  std::vector<Tap> taps;
  for (std::int64_t f = axis.filter - 1; f >= 0; --f) {
    const std::int64_t steps = a + axis.pad - f;
    if (steps % axis.stride == 0) {  // C++ keeps the sign of the rest, but 0 is 0
      taps.push_back({f, steps / axis.stride});
    }
  }
  return taps;
}

int main() {
  const Axis axis{4, 3, 2, 1};
  Numbers dX(square(axis.in));
  std::int64_t products = 0;
  for (std::int64_t a = 0; a < axis.stride; ++a) {
    for (std::int64_t b = 0; b < axis.stride; ++b) {
      const std::vector<Tap> rows = taps_of_class(axis, a);
      const std::vector<Tap> columns = taps_of_class(axis, b);
      Numbers dense;
      for (const Tap& row : rows) {
        for (const Tap& column : columns) {
          dense.push_back(W[at(row.f, column.f, axis.filter)]);
        }
      }
      std::printf("class (%d,%d): ", static_cast<int>(a), static_cast<int>(b));
      print("its filter", dense, static_cast<std::int64_t>(columns.size()));
      for (std::int64_t j = 0; a + axis.stride * j < axis.in; ++j) {
        for (std::int64_t k = 0; b + axis.stride * k < axis.in; ++k) {
          float sum = 0;
          std::size_t next = 0;
          for (const Tap& row : rows) {
            for (const Tap& column : columns) {
              const float weight = dense[next++];
              const std::int64_t oh = j + row.delta;
              const std::int64_t ow = k + column.delta;
              if (oh >= 0 && oh < axis.out() && ow >= 0 && ow < axis.out()) {  // trimming
                sum += dY[at(oh, ow, axis.out())] * weight;
                ++products;
              }
            }
          }
          dX[at(a + axis.stride * j, b + axis.stride * k, axis.in)] = sum;
        }
      }
    }
  }
  print("dX", dX, axis.in);
  std::printf("%d products instead of %d\n", static_cast<int>(products),
              static_cast<int>(square(axis.in) * square(axis.filter)));
  cks::Tensor x = tensor(X, 4).set_requires_grad();
  cks::conv2d(x, tensor(W, 3), {}, {.stride = 2, .padding = 1}).backward(tensor(dY, 2));
  return x.grad().to_vector<float>() == dX && products == 25 ? 0 : 1;
}
