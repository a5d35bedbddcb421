#include "cks/datasets/mnist.h"

#include <array>
#include <filesystem>
#include <vector>

#include "cks/core/error.h"
#include "cks/datasets/data_roots_impl.h"
#include "cks/datasets/idx.h"

namespace cks {

namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 4> kNames{"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                            "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

/// A dataset whose checksums are published, in the order of kNames. A file is known by either sum;
/// an empty one is not known.
struct PublishedSet {
  const char* name;
  std::array<const char*, 4> content_md5;
  std::array<const char*, 4> gzip_md5;
  std::array<const char*, 10> classes;
};

constexpr std::array<PublishedSet, 2> kPublished{{
    {"mnist",
     {"6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624",
      "2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637"},
     {"f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
      "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"},
     {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}},
    {"fashion",
     {"", "9018921c3c673c538a1fc5bad174d6f9", "", "15d484375f8d13e6eb1aabb0c3f46965"},
     {"8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
      "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"},
     {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
      "Ankle boot"}},
}};

/// "train-images-idx3-ubyte" in every spelling that unpackers leave behind.
std::vector<std::string> spellings(const std::string& name) {
  std::string dotted = name;
  dotted[dotted.find("-idx")] = '.';
  return {name, dotted, name + ".gz", dotted + ".gz"};
}

std::vector<fs::path> folders_of(const std::string& dir) {
  std::vector<fs::path> folders;
  for (const fs::path& root : data_roots(dir)) {
    folders.push_back(root);
    folders.push_back(root / "mnist");
    folders.push_back(root / "MNIST" / "raw");
  }
  return folders;
}

/// Path of one file in a folder, or "".
std::string find_file(const fs::path& folder, const std::string& name) {
  for (const std::string& spelling : spellings(name)) {
    std::error_code ignored;  // a folder that cannot be read counts as empty
    if (fs::is_regular_file(folder / spelling, ignored)) {
      return (folder / spelling).string();
    }
  }
  return {};
}

[[noreturn]] void fail_not_found(const std::string& dir) {
  std::string text = "load_mnist: no folder holds the four files of a dataset in the MNIST format";
  for (const fs::path& folder : folders_of(dir)) {
    std::string found;
    std::string missing;
    for (const char* name : kNames) {
      (find_file(folder, name).empty() ? missing : found) += std::string(" ") + name;
    }
    text += "\n  looked in  " + folder.string();
    if (!found.empty()) {
      text.append(": has").append(found).append(", lacks").append(missing);
    }
  }
  for (const char* name : kNames) {
    text += name == kNames[0] ? "\n  for        " : "\n             ";
    text += name + std::string("[.gz] or ") + spellings(name)[1] + "[.gz]";
  }
  throw IoError(text + how_to_fetch("mnist", dir));
}

bool is_known(const PublishedSet& set, std::size_t i, const IdxFile& file) {
  return file.content_md5 == set.content_md5[i] || file.file_md5 == set.gzip_md5[i];
}

/// Fills in name, class names and what the checksums say.
void identify(const std::array<IdxFile, 4>& files, MnistOptions options, ImageDataset& dataset) {
  dataset.name = "mnist-format";
  dataset.class_names = numbered_classes(options.classes);
  dataset.source.checksums = DataSource::Checksums::unknown;
  dataset.source.warning = "the checksums of the files in " + dataset.source.path +
                           " are neither those of MNIST nor of Fashion-MNIST; the files are whole "
                           "and are used as they are";
  for (const PublishedSet& set : kPublished) {
    std::size_t known = 0;
    std::string others;
    for (std::size_t i = 0; i < files.size(); ++i) {
      if (is_known(set, i, files[i])) {
        ++known;
      } else {
        others += " '" + files[i].path + "' (MD5 " + files[i].content_md5 + " uncompressed)";
      }
    }
    if (known == files.size()) {
      dataset.name = set.name;
      dataset.source.checksums = DataSource::Checksums::verified;
      dataset.source.warning.clear();
      if (options.classes == static_cast<std::int64_t>(set.classes.size())) {
        dataset.class_names.assign(set.classes.begin(), set.classes.end());
      }
      return;
    }
    if (known > 0) {
      dataset.source.warning = std::string("some of the four files are those published as ") +
                               set.name + ", but these are not:" + others;
      return;
    }
  }
}

void check_counts(const IdxFile& images, const IdxFile& labels) {
  if (images.values.size(0) != labels.values.size(0)) {
    throw IoError("load_mnist: '" + images.path + "' has " + std::to_string(images.values.size(0)) +
                  " images (byte 4), but '" + labels.path + "' has " +
                  std::to_string(labels.values.size(0)) + " labels (byte 4)");
  }
}

}  // namespace

std::optional<MnistFiles> find_mnist(const std::string& dir) {
  for (const fs::path& folder : folders_of(dir)) {
    const MnistFiles files{folder.string(), find_file(folder, kNames[0]),
                           find_file(folder, kNames[1]), find_file(folder, kNames[2]),
                           find_file(folder, kNames[3])};
    if (!files.train_images.empty() && !files.train_labels.empty() && !files.test_images.empty() &&
        !files.test_labels.empty()) {
      return files;
    }
  }
  return std::nullopt;
}

TrainTest load_mnist(const std::string& dir, MnistOptions options) {
  const std::optional<MnistFiles> files = find_mnist(dir);
  if (!files) {
    fail_not_found(dir);
  }
  return load_mnist(*files, options);
}

TrainTest load_mnist(const MnistFiles& files, MnistOptions options) {
  const std::array<IdxFile, 4> read{
      read_idx_images(files.train_images), read_idx_labels(files.train_labels, options.classes),
      read_idx_images(files.test_images), read_idx_labels(files.test_labels, options.classes)};
  check_counts(read[0], read[1]);
  check_counts(read[2], read[3]);
  if (read[0].values.slice(0, 1).shape() != read[2].values.slice(0, 1).shape()) {
    throw IoError("load_mnist: '" + read[0].path + "' has images " +
                  read[0].values.shape().to_string() + ", but '" + read[2].path + "' has " +
                  read[2].values.shape().to_string() + ", expected the same height and width");
  }

  ImageDataset train;
  train.source.path = files.folder.empty() ? files.train_images : files.folder;
  identify(read, options, train);
  ImageDataset test = train;
  train.images = read[0].values;
  train.labels = read[1].values;
  test.images = read[2].values;
  test.labels = read[3].values;
  TrainTest data{std::move(train), std::move(test)};
  set_statistics(data);
  return data;
}

}  // namespace cks
