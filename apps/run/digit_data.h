#pragma once
#include <cstdint>
#include <string>

#include "cks/datasets/dataset.h"

namespace cks::apps {

/// Which digits a program works on.
struct DigitData {
  std::string dataset = "auto";  // auto, mnist, drawn or emnist-<split>; auto is mnist, with hints
  std::string data_dir;          // of MNIST; empty: where load_mnist() looks by itself
  std::int64_t limit_train = 0;  // the first so many; 0: all
  std::int64_t limit_test = 0;
  std::int64_t classes = 0;       // as in MnistOptions
  std::int64_t first_label = -1;  // likewise
};

/// Reads MNIST's format or draws digits, no more of them than the limits ask for. Throws what
/// load_mnist() throws.
TrainTest load_digits(const DigitData& data);

}  // namespace cks::apps
