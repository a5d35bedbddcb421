#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "cks/datasets/image_folder.h"

namespace cks::apps {

/// Which colour pictures a program works on.
struct PictureData {
  /// auto, cifar10, cifar100, folder or drawn; auto is cifar10, with hints if it is missing.
  std::string dataset = "auto";
  std::string data_dir{};  // of CIFAR, empty: where load_cifar10() looks by itself; of a folder
  std::int64_t limit_train = 0;  // so many of them, 0: all; the first, of a folder evenly spread
  std::int64_t limit_test = 0;
  // Of a folder alone, as ImageFolderOptions:
  std::int64_t image_size = 0;  // rows and columns of all pictures; 0: their own
  double test_share = 0.2;
  bool test_share_given = false;  // then a folder that has halves of its own is refused
  bool skip_broken = false;
  std::string fit = "stretch";
  std::string cache_dir{};  // keeps decoded pictures from one start to the next; empty: none
  std::function<void(const ReadingProgress&)> on_progress{};
};

/// Reads or draws them. Throws what load_cifar10(), load_cifar100() and load_image_folder() throw,
/// with the flags that help; UsageError for flags of a folder without one.
TrainTest load_pictures(const PictureData& data);

}  // namespace cks::apps
