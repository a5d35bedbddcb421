#include "cks/datasets/readers/idx.h"

#include <array>
#include <vector>

#include "cks/core/error.h"
#include "cks/core/io/foreign_format_impl.h"
#include "cks/datasets/readers/byte_source.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {

namespace {

constexpr std::uint32_t kImagesMagic = 0x803;
constexpr std::uint32_t kLabelsMagic = 0x801;
constexpr std::int64_t kMaxCount = 0x7fffffff;
constexpr std::int64_t kMaxSide = 65535;

/// Reads one IDX file from the front; every error names the file and an offset.
class IdxReader {
 public:
  IdxReader(const char* op, const std::string& path) : op_(op), source_(path) {}

  [[noreturn]] void fail(std::uint64_t offset, const std::string& what) const {
    throw IoError(formatted("{}: '{}' at byte {}{}: {}", op_, source_.path(), offset,
                            source_.compressed() ? " (uncompressed)" : "", what));
  }

  std::uint32_t header_word(const char* field) {
    const std::uint64_t at = source_.offset();
    std::array<std::uint8_t, 4> b{};
    const std::size_t got = source_.read(b.data(), b.size());
    if (got < b.size()) {
      fail(at, formatted("the file ends inside the header: expected 4 bytes of {}, got {}", field,
                         got));
    }
    return static_cast<std::uint32_t>(b[0]) << 24 | static_cast<std::uint32_t>(b[1]) << 16 |
           static_cast<std::uint32_t>(b[2]) << 8 | static_cast<std::uint32_t>(b[3]);
  }

  void expect_magic(std::uint32_t expected, const char* kind) {
    const std::uint32_t magic = header_word("the magic number");
    if (magic != expected) {
      fail(0, formatted("magic number is {:#010x}, expected {:#010x} of a file of {}{}", magic,
                        expected, kind, describe_magic(magic)));
    }
  }

  std::int64_t extent(const char* field, std::int64_t most) {
    const std::uint64_t at = source_.offset();
    const std::int64_t value = header_word(field);
    if (value < 1 || value > most) {
      fail(at, formatted("{} is {}, expected 1 to {}", field, value, most));
    }
    return value;
  }

  /// The rest of the file, which must have exactly this many bytes.
  std::vector<std::uint8_t> body(std::int64_t bytes, const std::string& meaning) {
    const std::uint64_t at = source_.offset();
    const auto expected = static_cast<std::size_t>(bytes);
    std::vector<std::uint8_t> data = source_.read_bytes(expected);
    if (data.size() < expected) {
      const std::uint64_t end = at + data.size();
      fail(end, formatted("the file ends after {} bytes, expected {} ({})", end, at + expected,
                          meaning));
    }
    std::uint8_t extra = 0;
    if (source_.read(&extra, 1) != 0) {
      fail(at + expected,
           formatted("more bytes follow, expected the end of the file after {} bytes ({})",
                     at + expected, meaning));
    }
    return data;
  }

  IdxFile result(Tensor values) const {
    return {std::move(values), source_.path(), source_.offset(), source_.crc32(),
            source_.file_bytes()};
  }

 private:
  /// What the file is instead, where that can be told.
  std::string describe_magic(std::uint32_t magic) {
    switch (magic) {
      case kImagesMagic:
        return "; this is an image file";
      case kLabelsMagic:
        return "; this is a label file";
      case __builtin_bswap32(kImagesMagic):
      case __builtin_bswap32(kLabelsMagic):
        return "; its numbers are byte-swapped (little-endian), the format has the highest byte "
               "first";
      default:
        break;
    }
    constexpr std::size_t kStart = 60;
    std::string head;
    for (int shift = 24; shift >= 0; shift -= 8) {
      head += static_cast<char>(magic >> shift);
    }
    const std::vector<std::uint8_t> rest = source_.read_bytes(kStart);
    return describe_foreign(head.append(rest.begin(), rest.end()));
  }

  const char* op_;
  ByteSource source_;
};

}  // namespace

IdxFile read_idx_images(const std::string& path) {
  IdxReader reader("read_idx_images", path);
  reader.expect_magic(kImagesMagic, "images");
  const std::int64_t count = reader.extent("the number of images", kMaxCount);
  const std::int64_t height = reader.extent("the image height", kMaxSide);
  const std::int64_t width = reader.extent("the image width", kMaxSide);
  const Shape shape{count, height, width, 1};
  const std::vector<std::uint8_t> bytes = reader.body(
      shape.numel(), formatted("header of 16 and {} images of {} x {}", count, width, height));
  return reader.result(Tensor::from_vector(bytes, shape));
}

IdxFile read_idx_labels(const std::string& path, std::int64_t classes, std::int64_t first) {
  if (classes < 1 || first < 0 || classes > 256 - first) {
    throw ShapeError(formatted(
        "read_idx_labels: classes is {} from {} on, expected 1 to 256 in all", classes, first));
  }
  IdxReader reader("read_idx_labels", path);
  reader.expect_magic(kLabelsMagic, "labels");
  const std::int64_t count = reader.extent("the number of labels", kMaxCount);
  const std::vector<std::uint8_t> bytes =
      reader.body(count, formatted("header of 8 and {} labels", count));
  Tensor values = Tensor::empty({count}, DType::int64);
  auto* labels = values.data_as<std::int64_t>();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    labels[i] = bytes[i] - first;
    if (labels[i] < 0 || labels[i] >= classes) {
      reader.fail(8 + i, formatted("label {} is {}, expected {} to {}", i, bytes[i], first,
                                   first + classes - 1));
    }
  }
  return reader.result(std::move(values));
}

}  // namespace cks
