#include "cks/datasets/mnist.h"

#include <array>
#include <filesystem>
#include <fstream>
#include <utility>

#include "cks/core/error.h"
#include "cks/core/io/foreign_format_impl.h"
#include "cks/core/ops/rearrange.h"
#include "cks/datasets/readers/data_roots_impl.h"
#include "cks/datasets/readers/idx.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"

namespace cks {

namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 4> kNames{"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                            "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

/// What tells a published file: the bytes and CRC-32 of its content; or, where nobody had the file
/// at hand to compute the sum (0), the size of its .gz, whose own CRC was right when it was read.
struct PublishedFile {
  std::uint64_t content_bytes;
  std::uint32_t crc32;
  std::uint64_t gzip_bytes = 0;
};

/// A published dataset, its files in the order of kNames.
struct PublishedSet {
  const char* name;
  std::array<PublishedFile, 4> files;
  std::array<const char*, 10> classes;
};

constexpr std::array<PublishedSet, 2> kPublished{{
    {"mnist",
     {{{47040016, 0xe9f4d8b3}, {60008, 0xe0cb4ad2}, {7840016, 0x91373bdf}, {10008, 0x4ab9eff9}}},
     {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}},
    {"fashion",
     {{{47040016, 0, 26421880}, {60008, 0x741a4657}, {7840016, 0, 4422102}, {10008, 0x80142c1f}}},
     {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
      "Ankle boot"}},
}};

/// "train-images-idx3-ubyte" in every spelling that unpackers leave behind.
std::vector<std::string> spellings(const std::string& name) {
  std::string dotted = name;
  dotted[dotted.find("-idx")] = '.';
  return {name, dotted, name + ".gz", dotted + ".gz"};
}

/// EMNIST's spelling of one of kNames.
std::string emnist_name(const std::string& split, const std::string& name) {
  const std::string half = name.substr(0, name.find('-'));
  return "emnist-" + split + "-" + (half == "t10k" ? "test" : half) + name.substr(half.size());
}

/// "0" to "9", "A" to "Z" and small letters, those that look like capitals left out or not.
std::vector<std::string> emnist_classes(const std::string& split) {
  const bool has_digits = split != "letters";
  const bool has_letters = split != "digits" && split != "mnist";
  const std::string small = split == "byclass"   ? "abcdefghijklmnopqrstuvwxyz"
                            : split == "letters" ? ""
                                                 : "abdefghnqrt";
  std::vector<std::string> names;
  for (const char name : (has_digits ? std::string("0123456789") : "") +
                             (has_letters ? "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + small : "")) {
    names.emplace_back(1, name);
  }
  return names;
}

std::vector<fs::path> folders_of(const std::string& dir) {
  std::vector<fs::path> folders;
  for (const fs::path& root : data_roots(dir)) {
    folders.push_back(root);
    for (const char* inside : {"mnist", "MNIST/raw", "emnist", "EMNIST/raw", "gzip"}) {
      folders.push_back(root / inside);
    }
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

/// " (an HTML page, as servers send in place of a file)" of a file that begins as another kind
/// does.
std::string foreign_note(const std::string& path) {
  std::string head(64, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  const char* const format = head.starts_with("\x1f\x8b") ? nullptr : foreign_format(head);
  return format == nullptr ? std::string() : formatted(" ({})", format);
}

[[noreturn]] void fail_not_found(const std::string& dir, const std::string& emnist) {
  if (!emnist.empty()) {
    std::string text =
        formatted("load_mnist: no folder holds the four files of EMNIST's split {}", emnist);
    for (const fs::path& folder : folders_of(dir)) {
      text += "\n  looked in  " + folder.string();
    }
    for (const char* name : kNames) {
      text += formatted("\n  for        {}[.gz]", emnist_name(emnist, name));
    }
    throw IoError(text);
  }
  std::string text = "load_mnist: no folder holds the four files of a dataset in the MNIST format";
  for (const fs::path& folder : folders_of(dir)) {
    std::string found;
    std::string missing;
    for (const char* name : kNames) {
      const std::string file = find_file(folder, name);
      (file.empty() ? missing : found) += std::string(" ") + name + foreign_note(file);
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

/// The four files of a folder, spelt as name(one of kNames) says; nothing if one is missing.
template <class Name>
std::optional<MnistFiles> find_files(const fs::path& folder, Name&& name) {
  const auto found = mapped(kNames, [&](const char* one) { return find_file(folder, name(one)); });
  return contains(found, "")
             ? std::nullopt
             : std::optional(MnistFiles{folder.string(), found[0], found[1], found[2], found[3]});
}

/// The files of one split of EMNIST, or of the only one there is.
std::optional<MnistFiles> find_emnist(const fs::path& folder, const std::string& wanted) {
  std::optional<MnistFiles> found;
  std::string others;
  for (const std::string& split : emnist_splits()) {
    auto files =
        wanted.empty() || split == wanted
            ? find_files(folder, [&](const char* name) { return emnist_name(split, name); })
            : std::nullopt;
    if (files) {
      others += (found ? ", " : "") + split;
      found = std::move(files);
      found->emnist = split;
    }
  }
  if (found && others != found->emnist) {
    throw IoError(formatted("find_mnist: '{}' has several splits of EMNIST ({}); name one of them",
                            folder.string(), others));
  }
  return found;
}

bool is_published(const PublishedFile& published, const IdxFile& file) {
  return file.content_bytes == published.content_bytes &&
         (published.crc32 != 0 ? file.content_crc32 == published.crc32
                               : file.file_bytes == published.gzip_bytes);
}

/// Fills in name, class names and what the checksums say.
void identify(const std::array<IdxFile, 4>& files, const MnistOptions& options,
              ImageDataset& dataset) {
  if (!options.emnist.empty()) {
    dataset.name = "emnist-" + options.emnist;
    dataset.class_names = emnist_classes(options.emnist);
    if (options.classes != dataset.classes()) {
      dataset.class_names = numbered_classes(options.classes);
    }
    return;
  }
  dataset.name = "mnist-format";
  dataset.class_names = numbered_classes(options.classes);
  dataset.source.checksums = DataSource::Checksums::unknown;
  dataset.source.warning = formatted(
      "the checksums of the files in {} are neither those of MNIST nor of Fashion-MNIST; the files "
      "are whole and are used as they are",
      dataset.source.path);
  for (const PublishedSet& set : kPublished) {
    std::size_t known = 0;
    std::string others;
    for (std::size_t i = 0; i < files.size(); ++i) {
      if (is_published(set.files[i], files[i])) {
        ++known;
      } else {
        others += formatted(" '{}' (CRC-32 {:08x} of {} bytes uncompressed)", files[i].path,
                            files[i].content_crc32, files[i].content_bytes);
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
      dataset.source.warning =
          formatted("some of the four files are those published as {}, but these are not:{}",
                    set.name, others);
      return;
    }
  }
}

void check_counts(const IdxFile& images, const IdxFile& labels) {
  if (images.values.size(0) != labels.values.size(0)) {
    throw IoError(
        formatted("load_mnist: '{}' has {} images (byte 4), but '{}' has {} labels (byte 4)",
                  images.path, images.values.size(0), labels.path, labels.values.size(0)));
  }
}

}  // namespace

std::vector<std::string> emnist_splits() {
  return {"balanced", "byclass", "bymerge", "digits", "letters", "mnist"};
}

std::optional<MnistFiles> find_mnist(const std::string& dir, const std::string& emnist) {
  const std::vector<std::string> splits = emnist_splits();
  if (!emnist.empty() && !contains(splits, emnist)) {
    throw Error(formatted("find_mnist: EMNIST has no split '{}'", emnist));
  }
  for (const fs::path& folder : folders_of(dir)) {
    auto files =
        emnist.empty() ? find_files(folder, [](const char* name) { return name; }) : std::nullopt;
    if (files || (files = find_emnist(folder, emnist))) {
      return files;
    }
  }
  return std::nullopt;
}

TrainTest load_mnist(const std::string& dir, MnistOptions options) {
  const std::optional<MnistFiles> files = find_mnist(dir, options.emnist);
  if (!files) {
    fail_not_found(dir, options.emnist);
  }
  return load_mnist(*files, std::move(options));
}

TrainTest load_mnist(const MnistFiles& files, MnistOptions options) {
  options.emnist = files.emnist;
  if (options.classes == 0) {
    options.classes =
        files.emnist.empty() ? 10 : static_cast<std::int64_t>(emnist_classes(files.emnist).size());
  }
  if (options.first_label < 0) {
    options.first_label = files.emnist == "letters" ? 1 : 0;
  }
  const auto labels = [&](const std::string& path) {
    return read_idx_labels(path, options.classes, options.first_label);
  };
  std::array<IdxFile, 4> read{read_idx_images(files.train_images), labels(files.train_labels),
                              read_idx_images(files.test_images), labels(files.test_labels)};
  check_counts(read[0], read[1]);
  check_counts(read[2], read[3]);
  if (read[0].values.slice(0, 1).shape() != read[2].values.slice(0, 1).shape()) {
    throw IoError(formatted(
        "load_mnist: '{}' has images {}, but '{}' has {}, expected the same height and width",
        read[0].path, read[0].values.shape(), read[2].path, read[2].values.shape()));
  }

  ImageDataset train;
  train.source.path = files.folder.empty() ? files.train_images : files.folder;
  identify(read, options, train);
  ImageDataset test = train;
  if (!files.emnist.empty()) {  // whose images lie column by column
    read[0].values = transpose(read[0].values, 1, 2);
    read[2].values = transpose(read[2].values, 1, 2);
  }
  train.images = read[0].values;
  train.labels = read[1].values;
  test.images = read[2].values;
  test.labels = read[3].values;
  TrainTest data{std::move(train), std::move(test)};
  set_statistics(data);
  return data;
}

}  // namespace cks
