#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cks/datasets/dataset.h"

namespace cks {

/// The four files of a dataset in the MNIST format, by absolute path.
struct MnistFiles {
  std::string folder;
  std::string train_images;
  std::string train_labels;
  std::string test_images;
  std::string test_labels;
  std::string emnist{};  // which split of EMNIST: "letters"; empty: MNIST's names
};

/// Splits of EMNIST: balanced, byclass, bymerge, digits, letters, mnist.
std::vector<std::string> emnist_splits();

/// Where load_mnist(dir) would read, or nothing if no folder holds all four files.
///
/// Folders  dir, dir/mnist, dir/MNIST/raw; with an empty dir those of the environment's
///          CKS_DATA_DIR if it is set, then those of ./data. For EMNIST also their folders emnist,
///          EMNIST/raw and gzip.
/// Names    train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte,
///          t10k-labels-idx1-ubyte, each also with ".idx" for "-idx", and each also with ".gz";
///          where there are none, those of EMNIST, emnist-letters-train-images-idx3-ubyte and so on
///          (with "test" for "t10k"), of the split `emnist` or, if that is empty, of the only one.
/// Throws   IoError where a folder has several splits and none is named; Error for one that there
///          is not.
std::optional<MnistFiles> find_mnist(const std::string& dir = "", const std::string& emnist = "");

struct MnistOptions {
  std::int64_t classes = 0;       // 0: 10, or those of EMNIST's split
  std::int64_t first_label = -1;  // of the first class in the files; -1: 0, of EMNIST's letters 1
  std::string emnist{};           // which split of EMNIST; empty: see find_mnist()
};

/// Reads a dataset in the MNIST format: MNIST, Fashion-MNIST or one's own, of any image size.
///
/// Checksums  where all four files are those published as MNIST or Fashion-MNIST (size and
///            CRC-32 of the uncompressed bytes; for Fashion-MNIST's images the size of the .gz as
///            published, whose own CRC is right), the source says `verified`, and name and class
///            names are that dataset's. Otherwise it says `unknown`, with a warning.
/// EMNIST     is turned upright: its files have rows and columns exchanged. Its name is
///            "emnist-letters", say, its classes are digits and letters; nobody's checksums are
///            known.
/// Throws     IoError  no folder holds all four files: lists the names, the absolute folders, what
///                     was found there, and the command that fetches them; a file is damaged (see
///                     read_idx_images); images and labels differ in number, or the halves in image
///                     size.
TrainTest load_mnist(const std::string& dir = "", MnistOptions options = {});

/// As above from four files that find_mnist() found or the caller names.
TrainTest load_mnist(const MnistFiles& files, MnistOptions options = {});

}  // namespace cks
