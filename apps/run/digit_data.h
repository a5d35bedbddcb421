#pragma once
#include <cstdint>
#include <string>

#include "cks/datasets/mnist.h"

namespace cks::apps {

/// Which digits a program works on.
struct DigitData {
  std::string dataset = "auto";  // auto, mnist, drawn or emnist-<split>; auto is mnist, with hints
  std::string data_dir;          // of MNIST; empty: where load_mnist() looks by itself
  std::int64_t limit_train = 0;  // the first so many; 0: all
  std::int64_t limit_test = 0;
  MnistOptions options{};  // of MNIST's format; `dataset` says which split of EMNIST
};

/// Reads MNIST's format or draws digits, no more of them than the limits ask for. Throws what
/// load_mnist() throws.
TrainTest load_digits(const DigitData& data);

}  // namespace cks::apps
