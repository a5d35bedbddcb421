#pragma once
#include <algorithm>
#include <cstdint>

#include "cks/datasets/dataset.h"

namespace cks::apps {

/// Options for drawing images that draw no more than the limits of `data` ask for; 0: no limit.
template <class Options, class Data>
Options within_limits(Options options, const Data& data) {
  if (data.limit_train > 0) {
    options.train_count = std::min(options.train_count, data.limit_train);
  }
  if (data.limit_test > 0) {
    options.test_count = std::min(options.test_count, data.limit_test);
  }
  return options;
}

/// The first `count` images; all of them if 0, or if there are fewer.
inline ImageDataset first(const ImageDataset& dataset, std::int64_t count) {
  return count == 0 ? dataset : dataset.limit(count);
}

}  // namespace cks::apps
