#include "cks/layers/activation.h"

#include "cks/kernels/common/formatted_impl.h"

namespace cks {

std::string LeakyReLU::description() const {
  return formatted("slope {:g}", options().negative_slope);
}

}  // namespace cks
