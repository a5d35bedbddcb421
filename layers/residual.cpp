#include "cks/layers/residual.h"

#include "cks/core/ops/elementwise.h"

namespace cks {

Tensor Residual::forward(const Tensor& input) {
  const Tensor a = main(input);
  const Tensor b = shortcut(input);
  if (!(a.shape() == b.shape())) {  // the sum itself would broadcast
    throw ShapeError("Residual: main gives " + a.shape().to_string() + ", shortcut gives " +
                     b.shape().to_string() + " (input " + input.shape().to_string() + ")");
  }
  return a + b;
}

}  // namespace cks
