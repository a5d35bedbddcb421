#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "cks/datasets/dataset.h"

namespace cks {

enum class CifarKind : std::uint8_t { cifar10, cifar100 };  // 10 or 100 classes

/// Where a CIFAR dataset lies: an unpacked folder or an archive, by absolute path.
struct CifarFiles {
  CifarKind kind = CifarKind::cifar10;
  std::string folder;   // with the .bin files, or empty
  std::string archive;  // the .tar.gz or .tar, or empty
};

/// Where load_cifar10(dir) or load_cifar100(dir) would read, or nothing.
///
/// `dir` may be an archive itself. Otherwise the first of these that has all of the dataset's .bin
/// files or its archive, in dir, or with an empty dir in the environment's CKS_DATA_DIR if it is
/// set, then in ./data:
///
///   CIFAR-10   DIR, DIR/cifar-10-batches-bin, DIR/cifar10, DIR/cifar10/cifar-10-batches-bin with
///              data_batch_1.bin ... data_batch_5.bin and test_batch.bin;
///              cifar-10-binary.tar.gz or .tar in DIR or DIR/cifar10
///   CIFAR-100  likewise cifar-100-binary and cifar100 with train.bin and test.bin;
///              cifar-100-binary.tar.gz or .tar in DIR or DIR/cifar100
std::optional<CifarFiles> find_cifar(CifarKind kind, const std::string& dir = "");

struct CifarOptions {
  /// CIFAR-100's 20 coarse labels instead of its 100 fine ones.
  bool coarse = false;
  /// Takes files with another number of images than the published ones, at least one: sets of one's
  /// own in this format. Otherwise a file of another size is an error, as it was cut or is
  /// another's.
  bool any_count = false;
};

/// Reads CIFAR-10's binary version: 50,000 and 10,000 images of 32 x 32 x 3 in 10 classes.
///
/// Format      records of 1 label and 3072 bytes: 32 rows of 32 red values, then green, then blue.
///             An archive is read in memory, nothing is unpacked to the disk.
/// Classes     from batches.meta.txt where it lies beside the files, otherwise the published names.
/// Checksums   `verified` for a .tar.gz of the published size whose own CRC is right; `unknown`,
///             with a warning, for another archive and for a folder, as no sums of the single files
///             are published. (The archive's published MD5 is checked by scripts/get_data.sh.)
/// Throws      IoError  nothing found: lists the folders, the names and the command that fetches
///                      them; a file of another size than 10,000 records, a label beyond the
///                      classes, class names that are not 10 lines, a damaged archive (see
///                      TarReader): names file, byte, what came and what was expected.
TrainTest load_cifar10(const std::string& dir = "", CifarOptions options = {});

/// Reads CIFAR-100's binary version: as above with records of a coarse label, a fine label and 3072
/// bytes, and names from fine_label_names.txt or coarse_label_names.txt.
TrainTest load_cifar100(const std::string& dir = "", CifarOptions options = {});

/// As above from what find_cifar() found or the caller names. Throws Error unless either the folder
/// or the archive is named, and for coarse labels of CIFAR-10.
TrainTest load_cifar(const CifarFiles& files, CifarOptions options = {});

}  // namespace cks
