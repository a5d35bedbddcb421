// Both gradients of a convolution, in one walk over its products; checked three ways.
#include "example.h"

using namespace book;

float sum_of_products(const Numbers& a, const Numbers& b) {
  float sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum += a[i] * b[i];
  }
  return sum;
}

int main() {
  const Axis a{4, 3, 2, 1};
  Numbers Y(square(a.out())), dX(square(a.in)), dW(square(a.filter));
  for (std::int64_t oh = 0; oh < a.out(); ++oh) {
    for (std::int64_t ow = 0; ow < a.out(); ++ow) {
      for (std::int64_t fh = 0; fh < a.filter; ++fh) {
        for (std::int64_t fw = 0; fw < a.filter; ++fw) {
          const std::int64_t ih = oh * a.stride - a.pad + fh;
          const std::int64_t iw = ow * a.stride - a.pad + fw;
          if (ih < 0 || ih >= a.in || iw < 0 || iw >= a.in) {
            continue;
          }
          const std::size_t y = at(oh, ow, a.out());
          const std::size_t x = at(ih, iw, a.in);
          const std::size_t w = at(fh, fw, a.filter);
          Y[y] += X[x] * W[w];    // forward
          dX[x] += dY[y] * W[w];  // the product's derivative by X, times dY
          dW[w] += dY[y] * X[x];  // and by W
        }
      }
    }
  }
  print("dX", dX, a.in);
  print("dW", dW, a.filter);

  // 1. A convolution is linear in X and in W, so three sums are one number.
  const float yy = sum_of_products(dY, Y);
  std::printf("dY*Y = %.0f, dX*X = %.0f, dW*W = %.0f\n", static_cast<double>(yy),
              static_cast<double>(sum_of_products(dX, X)),
              static_cast<double>(sum_of_products(dW, W)));
  bool right = sum_of_products(dX, X) == yy && sum_of_products(dW, W) == yy;

  // 2. The library's tape.
  cks::Tensor x = tensor(X, 4).set_requires_grad();
  cks::Tensor w = tensor(W, 3).set_requires_grad();
  cks::conv2d(x, w, {}, {.stride = 2, .padding = 1}).backward(tensor(dY, 2));
  right = right && x.grad().to_vector<float>() == dX && w.grad().to_vector<float>() == dW;

  // 3. Finite differences, in float64: each element moved a little up and down.
  const auto convolution = [](const std::vector<cks::Tensor>& in) {
    return cks::conv2d(in[0], in[1], {}, {.stride = 2, .padding = 1});
  };
  right = right &&
          static_cast<bool>(cks::grad_check(convolution, {x.detach().to(cks::DType::float64),
                                                          w.detach().to(cks::DType::float64)}));
  std::printf("tape and finite differences agree: %s\n", right ? "yes" : "no");
  return right ? 0 : 1;
}
