// ConvV2: each output with the taps that meet the image, and no test inside the loops.
#include <algorithm>

#include "example.h"

using namespace book;

struct Range {
  std::int64_t begin, end;
};

/// The taps f of output o with 0 <= o*stride - pad + f < in.
Range live_taps(const Axis& a, std::int64_t o) {
  const std::int64_t first = o * a.stride - a.pad;  // the pixel of tap 0
  return {std::max<std::int64_t>(0, -first), std::min(a.filter, a.in - first)};
}

int main() {
  const Axis a{4, 3, 1, 1};
  Numbers y(square(a.out())), costs(square(a.out()));
  std::int64_t products = 0;
  for (std::int64_t oh = 0; oh < a.out(); ++oh) {
    const Range rows = live_taps(a, oh);
    for (std::int64_t ow = 0; ow < a.out(); ++ow) {
      const Range columns = live_taps(a, ow);
      float sum = 0;  // where no tap is live it is written all the same
      for (std::int64_t fh = rows.begin; fh < rows.end; ++fh) {
        for (std::int64_t fw = columns.begin; fw < columns.end; ++fw) {
          sum += X[at(oh - a.pad + fh, ow - a.pad + fw, a.in)] * W[at(fh, fw, a.filter)];
          costs[at(oh, ow, a.out())] += 1;
          ++products;
        }
      }
      y[at(oh, ow, a.out())] = sum;
    }
  }
  print("Y", y, a.out());
  print("live taps", costs, a.out());
  std::printf("%d products instead of %d\n", static_cast<int>(products),
              static_cast<int>(square(a.out()) * square(a.filter)));
  const cks::Tensor theirs = cks::conv2d(tensor(X, 4), tensor(W, 3), {}, {.padding = 1});
  return theirs.to_vector<float>() == y && products == 100 ? 0 : 1;
}
