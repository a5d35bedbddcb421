// Sk-dilated: each tap's gradient is a sum over the outputs that it takes part in, of dY times
// every stride-th pixel of X.
#include <algorithm>

#include "example.h"

using namespace book;

struct Range {
  std::int64_t begin, end;
};

/// The outputs o of tap f with 0 <= o*stride - pad + f < in.
Range outputs_of(const Axis& a, std::int64_t f) {
  const std::int64_t shift = a.pad - f;
  const std::int64_t begin = shift > 0 ? (shift + a.stride - 1) / a.stride : 0;
  const std::int64_t room = a.in - 1 + shift;  // of the last output, before it is divided
  const std::int64_t end = room < 0 ? 0 : room / a.stride + 1;
  return {begin, std::min(end, a.out())};
}

int main() {
  const Axis a{4, 3, 2, 1};
  Numbers dW(square(a.filter)), pairs(square(a.filter));
  std::int64_t products = 0;
  for (std::int64_t fh = 0; fh < a.filter; ++fh) {
    for (std::int64_t fw = 0; fw < a.filter; ++fw) {
      const Range rows = outputs_of(a, fh);
      const Range columns = outputs_of(a, fw);
      float sum = 0;  // a tap without outputs has the gradient 0
      for (std::int64_t oh = rows.begin; oh < rows.end; ++oh) {
        for (std::int64_t ow = columns.begin; ow < columns.end; ++ow) {
          const std::int64_t ih = oh * a.stride - a.pad + fh;
          const std::int64_t iw = ow * a.stride - a.pad + fw;
          sum += dY[at(oh, ow, a.out())] * X[at(ih, iw, a.in)];
          pairs[at(fh, fw, a.filter)] += 1;
          ++products;
        }
      }
      dW[at(fh, fw, a.filter)] = sum;
    }
  }
  print("dW", dW, a.filter);
  print("pairs", pairs, a.filter);
  std::printf("%d products instead of %d\n", static_cast<int>(products),
              static_cast<int>(square(a.filter) * square(a.out())));
  cks::Tensor w = tensor(W, 3).set_requires_grad();
  cks::conv2d(tensor(X, 4), w, {}, {.stride = 2, .padding = 1}).backward(tensor(dY, 2));
  return w.grad().to_vector<float>() == dW && products == 25 ? 0 : 1;
}
