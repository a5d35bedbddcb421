#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "cks/datasets/dataset.h"

namespace cks {

/// The four files of a dataset in the MNIST format, by absolute path.
struct MnistFiles {
  std::string folder;
  std::string train_images;
  std::string train_labels;
  std::string test_images;
  std::string test_labels;
};

/// Where load_mnist(dir) would read, or nothing if no folder holds all four files.
///
/// Folders  dir, dir/mnist, dir/MNIST/raw; with an empty dir those of the environment's
/// CKS_DATA_DIR
///          if it is set, then those of ./data.
/// Names    train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte,
///          t10k-labels-idx1-ubyte, each also with ".idx" for "-idx", and each also with ".gz".
std::optional<MnistFiles> find_mnist(const std::string& dir = "");

struct MnistOptions {
  std::int64_t classes = 10;  // labels lie in [0, classes)
};

/// Reads a dataset in the MNIST format: MNIST, Fashion-MNIST or one's own, of any image size.
///
/// Checksums  where all four files are those published as MNIST or Fashion-MNIST (size and
///            CRC-32 of the uncompressed bytes; for Fashion-MNIST's images the size of the .gz as
///            published, whose own CRC is right), the source says `verified`, and name and class
///            names are that dataset's. Otherwise it says `unknown`, with a warning.
/// Throws     IoError  no folder holds all four files: lists the names, the absolute folders, what
///                     was found there, and the command that fetches them; a file is damaged (see
///                     read_idx_images); images and labels differ in number, or the halves in image
///                     size.
TrainTest load_mnist(const std::string& dir = "", MnistOptions options = {});

/// As above from four files that find_mnist() found or the caller names.
TrainTest load_mnist(const MnistFiles& files, MnistOptions options = {});

}  // namespace cks
