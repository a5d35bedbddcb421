#include "cks/datasets/cifar.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <sstream>
#include <vector>

#include "cks/core/error.h"
#include "cks/core/io/foreign_format_impl.h"
#include "cks/core/io/utf8.h"
#include "cks/datasets/readers/byte_source.h"
#include "cks/datasets/readers/data_roots_impl.h"
#include "cks/datasets/readers/tar.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/kernels/common/parallel_for.h"

namespace cks {

namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kSide = 32;
constexpr std::int64_t kPlane = kSide * kSide;
constexpr std::int64_t kChannels = 3;
constexpr std::int64_t kImageBytes = kPlane * kChannels;
constexpr std::int64_t kImagesPerBlock = 512;
constexpr std::uint64_t kMaxFile = std::uint64_t{1} << 32;  // of a set of one's own

/// What distinguishes the two datasets on the disk.
struct Layout {
  const char* op;
  const char* name;
  const char* folder;
  const char* archive;
  std::uint64_t archive_bytes;  // of the .tar.gz, as published
  std::vector<std::string> train_files;
  std::string test_file;
  std::int64_t label_bytes;
  std::int64_t train_images;  // of each training file
  std::int64_t test_images;
};

const Layout& layout_of(CifarKind kind) {
  static const Layout kCifar10{"load_cifar10",
                               "cifar10",
                               "cifar-10-batches-bin",
                               "cifar-10-binary.tar",
                               170052171,
                               {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                "data_batch_4.bin", "data_batch_5.bin"},
                               "test_batch.bin",
                               1,
                               10000,
                               10000};
  static const Layout kCifar100{
      "load_cifar100", "cifar100",    "cifar-100-binary", "cifar-100-binary.tar",
      168513733,       {"train.bin"}, "test.bin",         2,
      50000,           10000};
  return kind == CifarKind::cifar10 ? kCifar10 : kCifar100;
}

// Class names as published with the datasets, in the order of their labels.

constexpr const char* kCifar10Names = "airplane automobile bird cat deer dog frog horse ship truck";
constexpr const char* kCifar100FineNames =
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus "
    "butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach "
    "couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house "
    "kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle "
    "mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck "
    "pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal "
    "shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper "
    "table tank telephone television tiger tractor train trout tulip turtle wardrobe whale "
    "willow_tree wolf woman worm";
constexpr const char* kCifar100CoarseNames =
    "aquatic_mammals fish flowers food_containers fruit_and_vegetables "
    "household_electrical_devices household_furniture insects large_carnivores "
    "large_man-made_outdoor_things large_natural_outdoor_scenes large_omnivores_and_herbivores "
    "medium_mammals non-insect_invertebrates people reptiles small_mammals trees vehicles_1 "
    "vehicles_2";

std::vector<std::string> split_words(const char* text) {
  std::istringstream words(text);
  return {std::istream_iterator<std::string>(words), {}};
}

/// Which of a record's labels is used, and its classes.
struct Labels {
  std::int64_t place = 0;
  std::string names_file;
  std::vector<std::string> names;
};

Labels labels_of(CifarKind kind, bool coarse) {
  if (kind == CifarKind::cifar10) {
    return {0, "batches.meta.txt", split_words(kCifar10Names)};
  }
  return coarse ? Labels{0, "coarse_label_names.txt", split_words(kCifar100CoarseNames)}
                : Labels{1, "fine_label_names.txt", split_words(kCifar100FineNames)};
}

bool is_file(const fs::path& path) {
  std::error_code ignored;  // what cannot be read counts as missing
  return fs::is_regular_file(path, ignored);
}

std::vector<std::string> bin_files(const Layout& layout) {
  std::vector<std::string> names = layout.train_files;
  names.push_back(layout.test_file);
  return names;
}

std::vector<fs::path> folders_of(const Layout& layout, const fs::path& root) {
  return {root, root / layout.folder, root / layout.name, root / layout.name / layout.folder};
}

[[noreturn]] void fail_not_found(const Layout& layout, const std::string& dir) {
  const std::vector<std::string> names = bin_files(layout);
  std::string text = std::string(layout.op) + ": no folder holds the files of " + layout.name;
  for (const fs::path& root : data_roots(dir)) {
    for (const fs::path& folder : folders_of(layout, root)) {
      std::string found;
      std::string missing;
      for (const std::string& name : names) {
        (is_file(folder / name) ? found : missing).append(" ").append(name);
      }
      text += "\n  looked in  " + folder.string();
      if (!found.empty()) {
        text.append(": has").append(found).append(", lacks").append(missing);
      }
    }
  }
  text += "\n  for        ";
  for (const std::string& name : names) {
    text.append(name).append(" ");
  }
  text += std::string("\n             or ") + layout.archive + "[.gz]";
  throw IoError(text + how_to_fetch(layout.name, dir));
}

/// Reads a dataset's files, those that are there; errors name the file and the byte.
class CifarReader {
 public:
  CifarReader(const CifarFiles& files, const CifarOptions& options)
      : layout_(layout_of(files.kind)),
        labels_(labels_of(files.kind, options.coarse)),
        record_(layout_.label_bytes + kImageBytes),
        any_count_(options.any_count),
        where_(files.archive.empty() ? files.folder : files.archive) {
    std::vector<std::string> names = bin_files(layout_);
    names.push_back(labels_.names_file);
    // One byte more than the largest file shows that a file is too long.
    const std::uint64_t largest =
        any_count_ ? kMaxFile : static_cast<std::uint64_t>(layout_.train_images * record_) + 1;
    files.archive.empty() ? read_folder(names, largest) : read_archive(names, largest);
    if (const auto found = members_.find(labels_.names_file); found != members_.end()) {
      labels_.names = parse_names(found->second);
    }
  }

  TrainTest read() const {
    ImageDataset train;
    train.name = layout_.name;
    train.class_names = labels_.names;
    train.source = identify();
    ImageDataset test = train;
    read_images(layout_.train_files, layout_.train_images, train);
    read_images({layout_.test_file}, layout_.test_images, test);
    TrainTest data{std::move(train), std::move(test)};
    set_statistics(data);
    return data;
  }

 private:
  /// The bytes of one file, and how errors name it.
  struct Member {
    std::string path;
    std::vector<std::uint8_t> bytes;
  };

  template <class Offset, class... Arguments>
  [[noreturn]] void fail(const Member& member, Offset at, fmt::format_string<Arguments...> what,
                         Arguments&&... arguments) const {
    const std::string_view head(reinterpret_cast<const char*>(member.bytes.data()),
                                std::min<std::size_t>(member.bytes.size(), 64));
    throw IoError(formatted("{}: '{}' at byte {}: {}{}", layout_.op, member.path, at,
                            formatted(what, std::forward<Arguments>(arguments)...),
                            describe_foreign(head)));
  }

  void read_archive(const std::vector<std::string>& names, std::uint64_t largest) {
    TarReader tar(where_);
    while (const std::optional<TarEntry> entry = tar.next()) {
      const std::string name = fs::path(entry->name).filename().string();
      if (!entry->is_file || !contains(names, name)) {
        continue;
      }
      const std::string path = where_ + "' in '" + entry->name;
      if (members_.contains(name)) {
        throw IoError(formatted("{}: '{}' at byte {}: a second {}, expected one", layout_.op, path,
                                entry->offset, name));
      }
      members_[name] = {path, tar.content(largest)};
    }
    gzip_bytes_ = tar.compressed() ? tar.file_bytes() : 0;
  }

  void read_folder(const std::vector<std::string>& names, std::uint64_t largest) {
    for (const std::string& name : names) {
      const fs::path path = fs::path(where_) / name;
      if (is_file(path)) {
        ByteSource source(path.string());
        members_[name] = {path.string(), source.read_bytes(static_cast<std::size_t>(largest))};
      }
    }
  }

  /// The lines of a file of class names, which must be as many as there are classes.
  std::vector<std::string> parse_names(const Member& member) const {
    std::vector<std::string> names;
    std::istringstream lines(std::string(member.bytes.begin(), member.bytes.end()));
    std::size_t begin = 0;
    for (std::string line; std::getline(lines, line); begin += line.size() + 1) {
      const auto is_control = [](unsigned char c) { return c < ' ' && c != '\r'; };
      if (const auto at = std::find_if(line.begin(), line.end(), is_control); at != line.end()) {
        fail(member, begin + static_cast<std::size_t>(at - line.begin()),
             "control character {}, expected a class name in each line", static_cast<int>(*at));
      }
      std::string name = line;
      std::erase(name, '\r');
      if (!is_utf8(name)) {
        fail(member, begin, "a line that is not UTF-8, expected a class name");
      }
      if (!name.empty()) {
        names.push_back(std::move(name));
      }
    }
    if (names.size() != labels_.names.size()) {
      fail(member, member.bytes.size(), "ends after {} class names, expected {}", names.size(),
           labels_.names.size());
    }
    return names;
  }

  /// What the checksums say.
  DataSource identify() const {
    if (gzip_bytes_ == layout_.archive_bytes) {
      return {.path = where_, .checksums = DataSource::Checksums::verified, .warning = {}};
    }
    return {.path = where_,
            .checksums = DataSource::Checksums::unknown,
            .warning = gzip_bytes_ == 0
                           ? formatted("no checksums are published of the files in {}; sizes and "
                                       "labels are right; give the archive {}.gz to have it "
                                       "verified",
                                       where_, layout_.archive)
                           : formatted("{} has {} bytes, published are {}; the archive is whole "
                                       "and is used as it is",
                                       where_, gzip_bytes_, layout_.archive_bytes)};
  }

  void read_images(const std::vector<std::string>& names, std::int64_t published,
                   ImageDataset& dataset) const {
    std::vector<const Member*> members;
    std::int64_t total = 0;
    for (const std::string& name : names) {
      const auto found = members_.find(name);
      if (found == members_.end()) {
        throw IoError(formatted("{}: '{}' lacks {}", layout_.op, where_, name));
      }
      members.push_back(&found->second);
      total += count_images(found->second, published);
    }
    dataset.images = Tensor::empty({total, kSide, kSide, kChannels}, DType::uint8);
    dataset.labels = Tensor::empty({total}, DType::int64);
    auto* pixels = dataset.images.data_as<std::uint8_t>();
    auto* targets = dataset.labels.data_as<std::int64_t>();
    for (const Member* member : members) {
      const std::int64_t count = static_cast<std::int64_t>(member->bytes.size()) / record_;
      unpack(*member, count, pixels, targets);
      pixels += count * kImageBytes;
      targets += count;
    }
  }

  /// Number of images of a file, whose size must be that of whole records.
  std::int64_t count_images(const Member& member, std::int64_t published) const {
    const auto bytes = static_cast<std::int64_t>(member.bytes.size());
    const std::string records =
        formatted("records of {} label bytes and {} of pixels", layout_.label_bytes, kImageBytes);
    const std::int64_t expected = published * record_;
    if (!any_count_ && bytes != expected) {
      fail(member, std::min(bytes, expected), "{} {} bytes, expected {} ({} {})",
           bytes < expected ? "ends after" : "goes on, to", bytes, expected, published, records);
    }
    if (bytes == 0 || bytes % record_ != 0) {
      fail(member, bytes - bytes % record_, "ends after {} bytes, expected whole {}, at least one",
           bytes, records);
    }
    return bytes / record_;
  }

  /// Writes a file's images, channel beside channel, and its labels.
  void unpack(const Member& member, std::int64_t count, std::uint8_t* pixels,
              std::int64_t* targets) const {
    const auto classes = static_cast<std::int64_t>(labels_.names.size());
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t at = i * record_ + labels_.place;
      targets[i] = member.bytes[static_cast<std::size_t>(at)];
      if (targets[i] >= classes) {
        fail(member, at, "label of image {} is {}, expected 0 to {}", i, targets[i], classes - 1);
      }
    }
    kernels::parallel_for_ranges(count, kImagesPerBlock, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::uint8_t* planes = member.bytes.data() + i * record_ + layout_.label_bytes;
        std::uint8_t* image = pixels + i * kImageBytes;
        for (std::int64_t p = 0; p < kPlane; ++p) {
          for (std::int64_t c = 0; c < kChannels; ++c) {
            image[p * kChannels + c] = planes[c * kPlane + p];
          }
        }
      }
    });
  }

  const Layout& layout_;
  Labels labels_;
  const std::int64_t record_;
  const bool any_count_;
  const std::string where_;
  std::uint64_t gzip_bytes_ = 0;  // of a .tar.gz, all of which was read and found whole
  std::map<std::string, Member> members_;
};

TrainTest load_found(CifarKind kind, const std::string& dir, CifarOptions options) {
  const std::optional<CifarFiles> files = find_cifar(kind, dir);
  if (!files) {
    fail_not_found(layout_of(kind), dir);
  }
  return load_cifar(*files, options);
}

}  // namespace

std::optional<CifarFiles> find_cifar(CifarKind kind, const std::string& dir) {
  const Layout& layout = layout_of(kind);
  for (const fs::path& root : data_roots(dir)) {
    if (is_file(root)) {
      return CifarFiles{kind, "", root.string()};
    }
    for (const fs::path& folder : folders_of(layout, root)) {
      const std::vector<std::string> names = bin_files(layout);
      if (all_of(names, [&](const std::string& name) { return is_file(folder / name); })) {
        return CifarFiles{kind, folder.string(), ""};
      }
    }
    for (const fs::path& folder : {root, root / layout.name}) {
      for (const char* ending : {".gz", ""}) {
        if (const std::string archive = (folder / layout.archive).string() + ending;
            is_file(archive)) {
          return CifarFiles{kind, "", archive};
        }
      }
    }
  }
  return std::nullopt;
}

TrainTest load_cifar10(const std::string& dir, CifarOptions options) {
  return load_found(CifarKind::cifar10, dir, options);
}

TrainTest load_cifar100(const std::string& dir, CifarOptions options) {
  return load_found(CifarKind::cifar100, dir, options);
}

TrainTest load_cifar(const CifarFiles& files, CifarOptions options) {
  const Layout& layout = layout_of(files.kind);
  if (files.folder.empty() == files.archive.empty()) {
    throw Error(formatted("{}: folder is '{}' and archive '{}', expected one of the two", layout.op,
                          files.folder, files.archive));
  }
  if (options.coarse && files.kind == CifarKind::cifar10) {
    throw Error(formatted("{}: CIFAR-10 has no coarse labels", layout.op));
  }
  return CifarReader(files, options).read();
}

}  // namespace cks
