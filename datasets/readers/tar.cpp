#include "cks/datasets/readers/tar.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>
#include <string_view>

#include "cks/core/error.h"
#include "cks/core/io/foreign_format_impl.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {

namespace {

constexpr std::size_t kBlock = 512;
constexpr std::uint64_t kMaxSize = std::uint64_t{1} << 40;

using Block = std::array<std::uint8_t, kBlock>;

/// A field of the header: its place and length.
struct Field {
  std::size_t begin;
  std::size_t bytes;
};

constexpr Field kName{0, 100};
constexpr Field kSize{124, 12};
constexpr Field kChecksum{148, 8};
constexpr std::size_t kKind = 156;
constexpr Field kMagic{257, 6};  // "ustar" and a zero; GNU's own has a space there
constexpr Field kPrefix{345, 155};

/// A field's characters up to the first zero byte.
std::string text_of(const Block& header, Field field) {
  const auto begin = header.begin() + static_cast<std::ptrdiff_t>(field.begin);
  const auto end = begin + static_cast<std::ptrdiff_t>(field.bytes);
  return {begin, std::find(begin, end, std::uint8_t{0})};
}

/// Octal digits with spaces before and after; nothing for anything else.
std::optional<std::uint64_t> number_of(const Block& header, Field field) {
  const std::string stored = text_of(header, field);
  std::string_view text = stored;
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  text = text.substr(0, text.find(' '));
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value)
                                                                  : std::nullopt;
}

/// Sum of the header's bytes, those of the checksum itself as spaces.
std::uint64_t checksum_of(Block header) {
  std::fill_n(header.begin() + kChecksum.begin, kChecksum.bytes, std::uint8_t{' '});
  return std::accumulate(header.begin(), header.end(), std::uint64_t{0});
}

/// What the file is instead, where its first bytes tell.
std::string describe_start(std::uint64_t at, const Block& block) {
  return at == 0 ? describe_foreign({reinterpret_cast<const char*>(block.data()), kBlock}) : "";
}

bool is_zero(const std::uint8_t* bytes, std::size_t count) {
  return std::all_of(bytes, bytes + count, [](std::uint8_t byte) { return byte == 0; });
}

}  // namespace

void TarReader::fail(std::uint64_t offset, const std::string& what) const {
  throw IoError(formatted("read_tar: '{}' at byte {}{}: {}", source_.path(), offset,
                          source_.compressed() ? " (uncompressed)" : "", what));
}

void TarReader::fail_inside() const {
  fail(source_.offset(),
       formatted("the archive ends inside '{}' of {} bytes", entry_.name, entry_.size));
}

void TarReader::finish() {
  finished_ = true;
  Block block{};
  std::size_t got = kBlock;
  while (got == kBlock) {
    const std::uint64_t at = source_.offset();
    got = source_.read(block.data(), kBlock);
    if (!is_zero(block.data(), got)) {
      fail(at, "other bytes follow, expected zeros after the end of the archive");
    }
  }
}

std::optional<TarEntry> TarReader::next() {
  if (finished_) {
    return std::nullopt;
  }
  const std::uint64_t skipped = source_.skip(left_ + padding_);
  if (skipped < left_ + padding_) {
    fail_inside();
  }
  const std::uint64_t at = source_.offset();
  Block header{};
  const std::size_t got = source_.read(header.data(), kBlock);
  if (got < kBlock) {
    fail(at, formatted("the archive is cut short: expected a header or the end mark of {} bytes, "
                       "got {}{}",
                       kBlock, got, describe_start(at, header)));
  }
  if (is_zero(header.data(), kBlock)) {
    finish();
    return std::nullopt;
  }
  const std::uint64_t sum = checksum_of(header);
  if (number_of(header, kChecksum) != sum) {
    fail(at + kChecksum.begin,
         formatted("header has checksum '{}', expected octal {:o}; not a tar archive, or damaged{}",
                   text_of(header, kChecksum), sum, describe_start(at, header)));
  }
  const std::optional<std::uint64_t> size = number_of(header, kSize);
  if (!size || *size > kMaxSize) {
    fail(at + kSize.begin, formatted("size is '{}', expected an octal number up to {:o}",
                                     text_of(header, kSize), kMaxSize));
  }
  const bool has_prefix = text_of(header, kMagic) == "ustar" && header[kPrefix.begin] != 0;
  entry_.name = (has_prefix ? text_of(header, kPrefix) + "/" : "") + text_of(header, kName);
  entry_.is_file = header[kKind] == '0' || header[kKind] == 0;
  entry_.size = *size;
  entry_.offset = source_.offset();
  left_ = *size;
  padding_ = (kBlock - *size % kBlock) % kBlock;
  return entry_;
}

std::vector<std::uint8_t> TarReader::content(std::uint64_t most) {
  if (left_ > most) {
    fail(entry_.offset,
         formatted("'{}' has {} bytes, expected at most {}", entry_.name, entry_.size, most));
  }
  std::vector<std::uint8_t> bytes = source_.read_bytes(static_cast<std::size_t>(left_));
  if (bytes.size() < left_) {
    fail_inside();
  }
  left_ = 0;
  return bytes;
}

}  // namespace cks
