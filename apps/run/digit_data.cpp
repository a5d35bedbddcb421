#include "apps/run/digit_data.h"

#include <string_view>

#include "apps/run/limits.h"
#include "cks/core/error.h"
#include "cks/datasets/drawn/drawn_digits.h"

namespace cks::apps {
namespace {

constexpr std::string_view kEmnist = "emnist-";

TrainTest read_or_draw(const DigitData& data) {
  if (data.dataset == "drawn") {
    return drawn_digits(within_limits(DrawnDigitsOptions(), data));
  }
  try {
    MnistOptions options = data.options;
    if (data.dataset.starts_with(kEmnist)) {
      options.emnist = data.dataset.substr(kEmnist.size());
    }
    return load_mnist(data.data_dir, options);
  } catch (IoError& error) {
    if (std::string(error.what()).starts_with("find_mnist")) {
      error.append(": --dataset emnist-letters, say");
    } else if (data.dataset == "auto" && !find_mnist(data.data_dir)) {
      error.append("\n  or: train on digits that need no file, with --dataset drawn");
    }
    throw;
  }
}

}  // namespace

TrainTest load_digits(const DigitData& data) {
  const TrainTest all = read_or_draw(data);
  return {first(all.train, data.limit_train), first(all.test, data.limit_test)};
}

}  // namespace cks::apps
