#pragma once
#include <cstdint>

#include "cks/datasets/dataset.h"

namespace cks {

struct ValidationOptions {
  double share = 0.1;      // of each class
  std::uint64_t seed = 1;  // of the choice
};

/// Moves a share of the training half into a validation half, on which the best epoch can be chosen
/// without a look at the test half.
///
/// Which       of each class round(share * count) images, at least one and not all; a class of one
///             image stays in the training half. They depend on the seed and on that class alone.
/// Order       of both parts as it was.
/// Statistics  all halves are normalised by what is left of the training half.
/// Throws      Error unless 0 < share < 1, the data have no validation half yet, and some class has
///             two images or more.
TrainTest cut_validation(TrainTest data, const ValidationOptions& options = {});

}  // namespace cks
