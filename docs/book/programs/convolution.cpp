// A convolution by its definition, and by the library.
#include "example.h"

using namespace book;

Numbers convolve(const Numbers& x, const Numbers& w, const Axis& a) {
  Numbers y(square(a.out()));
  for (std::int64_t oh = 0; oh < a.out(); ++oh) {
    for (std::int64_t ow = 0; ow < a.out(); ++ow) {
      float sum = 0;
      for (std::int64_t fh = 0; fh < a.filter; ++fh) {
        for (std::int64_t fw = 0; fw < a.filter; ++fw) {
          const std::int64_t ih = oh * a.stride - a.pad + fh;
          const std::int64_t iw = ow * a.stride - a.pad + fw;
          const bool inside = ih >= 0 && ih < a.in && iw >= 0 && iw < a.in;
          sum += (inside ? x[at(ih, iw, a.in)] : 0.0F) * w[at(fh, fw, a.filter)];
        }
      }
      y[at(oh, ow, a.out())] = sum;
    }
  }
  return y;
}

int main() {
  bool agree = true;
  for (const std::int64_t stride : {1, 2}) {
    const Axis axis{4, 3, stride, 1};
    const Numbers y = convolve(X, W, axis);
    print(stride == 1 ? "Y at stride 1" : "Y at stride 2", y, axis.out());
    const cks::Tensor theirs =
        cks::conv2d(tensor(X, 4), tensor(W, 3), {}, {.stride = stride, .padding = 1});
    agree = agree && theirs.to_vector<float>() == y;
  }
  std::printf("the library agrees: %s\n", agree ? "yes" : "no");
  return agree ? 0 : 1;
}
