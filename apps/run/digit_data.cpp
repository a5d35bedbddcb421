#include "apps/run/digit_data.h"

#include <string_view>

#include "apps/run/drawn_counts.h"
#include "cks/core/error.h"
#include "cks/datasets/drawn/drawn_digits.h"
#include "cks/datasets/mnist.h"

namespace cks::apps {
namespace {

constexpr std::string_view kEmnist = "emnist-";

TrainTest read_or_draw(const DigitData& data) {
  if (data.dataset == "drawn") {
    return drawn_digits(within_limits(DrawnDigitsOptions(), data));
  }
  try {
    const bool is_emnist = data.dataset.starts_with(kEmnist);
    return load_mnist(data.data_dir,
                      {.classes = data.classes,
                       .first_label = data.first_label,
                       .emnist = is_emnist ? data.dataset.substr(kEmnist.size()) : ""});
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
  TrainTest digits = read_or_draw(data);
  if (data.limit_train > 0) {
    digits.train = digits.train.limit(data.limit_train);
  }
  if (data.limit_test > 0) {
    digits.test = digits.test.limit(data.limit_test);
  }
  return digits;
}

}  // namespace cks::apps
