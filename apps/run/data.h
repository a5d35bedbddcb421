#pragma once
#include <cstdint>
#include <string>

#include "cks/datasets/image_folder.h"
#include "cks/datasets/mnist.h"

/// What programs train on, as their flags say it.
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

/// Which colour pictures a program works on.
struct PictureData {
  /// auto, cifar10, cifar100, folder or drawn; auto is cifar10, with hints if it is missing.
  std::string dataset = "auto";
  std::string data_dir{};  // of CIFAR, empty: where load_cifar10() looks by itself; of a folder
  std::int64_t limit_train = 0;  // so many of them, 0: all; the first, of a folder evenly spread
  std::int64_t limit_test = 0;
  // Of a folder alone:
  std::int64_t image_size = 0;  // rows and columns of all pictures; 0: their own
  std::string fit = "stretch";
  bool test_share_given = false;  // then a folder that has halves of its own is refused
  ImageFolderOptions folder{};    // but for size and fit
};

/// Reads or draws them. Throws what load_cifar10(), load_cifar100() and load_image_folder() throw,
/// with the flags that help; UsageError for flags of a folder without one.
TrainTest load_pictures(const PictureData& data);

}  // namespace cks::apps
