#include <zlib.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <string_view>

#include "cks/core/error.h"
#include "cks/datasets/images/image_container_impl.h"
#include "cks/datasets/images/image_io.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {

namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::array<std::uint8_t, 8> kPngSignature{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
constexpr std::array<std::uint8_t, 3> kJpegSignature{0xff, 0xd8, 0xff};
constexpr std::size_t kChunkFrame = 12;  // length, kind and CRC of a PNG chunk

// Second bytes of JPEG markers; the first is 0xff.
constexpr std::uint8_t kTemporary = 0x01;
constexpr std::uint8_t kFirstFrame = 0xc0;  // of 16, three of which are no frames
constexpr std::uint8_t kHuffmanTables = 0xc4;
constexpr std::uint8_t kReserved = 0xc8;
constexpr std::uint8_t kArithmeticTables = 0xcc;
constexpr std::uint8_t kLastFrame = 0xcf;
constexpr std::uint8_t kFirstRestart = 0xd0;
constexpr std::uint8_t kLastRestart = 0xd7;
constexpr std::uint8_t kEndOfImage = 0xd9;
constexpr std::uint8_t kStartOfScan = 0xda;
constexpr std::size_t kTableHead = 17;   // a Huffman table's class and its 16 counts of codes
constexpr std::size_t kMostCodes = 255;  // no JPEG of 8 bits uses more than 176

template <class... Arguments>
[[noreturn]] void fail(const std::string& path, std::size_t at,
                       fmt::format_string<Arguments...> what, Arguments&&... arguments) {
  throw IoError(formatted("read_image: '{}' at byte {}: {}", path, at,
                          formatted(what, std::forward<Arguments>(arguments)...)));
}

template <std::size_t kCount>
bool starts_with(Bytes file, const std::array<std::uint8_t, kCount>& signature) {
  return file.size() >= kCount && std::equal(signature.begin(), signature.end(), file.begin());
}

std::uint32_t big_endian(Bytes bytes) {
  std::uint32_t value = 0;
  for (const std::uint8_t byte : bytes) {
    value = value << 8 | byte;
  }
  return value;
}

void check_sides(std::size_t height, std::size_t width, std::size_t at, const std::string& path) {
  if (std::min(height, width) < 1 ||
      std::max(height, width) > static_cast<std::size_t>(kMaxImageSide)) {
    fail(path, at, "has {} x {} pixels, expected sides of 1 to {}", height, width, kMaxImageSide);
  }
}

void check_png(Bytes file, const std::string& path) {
  std::size_t at = kPngSignature.size();
  while (true) {
    if (file.size() - at < kChunkFrame) {
      fail(path, file.size(), "the PNG is cut short: expected its next chunk");
    }
    const std::size_t length = big_endian(file.subspan(at, 4));
    if (length > file.size() - at - kChunkFrame) {
      fail(path, file.size(), "the PNG is cut short: expected a chunk of {} bytes from byte {}",
           length, at);
    }
    const Bytes sealed = file.subspan(at + 4, 4 + length);  // the kind and the data
    const std::uint32_t stored = big_endian(file.subspan(at + 8 + length, 4));
    const auto actual =
        static_cast<std::uint32_t>(crc32(0, sealed.data(), static_cast<uInt>(sealed.size())));
    if (stored != actual) {
      fail(path, at + 8 + length, "the PNG is damaged: the CRC of a chunk is {}, expected {}",
           stored, actual);
    }
    if (std::equal(sealed.begin(), sealed.begin() + 4, "IHDR") && length >= 8) {
      check_sides(big_endian(sealed.subspan(8, 4)), big_endian(sealed.subspan(4, 4)), at + 8, path);
    }
    if (std::equal(sealed.begin(), sealed.begin() + 4, "IEND")) {
      return;
    }
    at += kChunkFrame + length;
  }
}

bool has_at(Bytes file, std::size_t at, std::string_view text) {
  return file.size() >= at + text.size() &&
         std::equal(text.begin(), text.end(), file.begin() + static_cast<std::ptrdiff_t>(at));
}

/// Why a file is neither, which its name need not tell.
std::string describe_other_format(Bytes file) {
  using namespace std::string_view_literals;
  struct Format {
    const char* name;
    std::size_t at;
    std::string_view mark;
    std::string_view start{};
  };
  constexpr std::array kFormats{Format{"GIF", 0, "GIF8"sv},
                                Format{"WebP", 8, "WEBP"sv, "RIFF"sv},
                                Format{"TIFF", 0, "II*\0"sv},
                                Format{"TIFF", 0, "MM\0*"sv},
                                Format{"BMP", 6, "\0\0\0\0"sv, "BM"sv},
                                Format{"AVIF", 4, "ftypavif"sv},
                                Format{"HEIC", 4, "ftypheic"sv}};
  for (const Format& format : kFormats) {
    if (has_at(file, 0, format.start) && has_at(file, format.at, format.mark)) {
      return formatted("the file is {}, not PNG or JPEG", format.name);
    }
  }
  return file.empty() ? "the file is empty, expected a PNG or a JPEG"
                      : "neither a PNG nor a JPEG begins like this";
}

bool stands_alone(std::uint8_t marker) {
  return marker == kTemporary || (marker >= kFirstRestart && marker <= kLastRestart);
}

/// Whether a segment tells the size of the image.
bool is_frame(std::uint8_t marker) {
  return marker >= kFirstFrame && marker <= kLastFrame && marker != kHuffmanTables &&
         marker != kReserved && marker != kArithmeticTables;
}

/// stb_image before 2.28 writes beyond its tables for more than 256 codes, and takes number 255 for
/// a mark of its own.
void check_huffman_tables(Bytes segment, std::size_t begin, const std::string& path) {
  std::size_t at = 0;
  while (at < segment.size()) {
    if (segment.size() - at < kTableHead) {
      fail(path, begin + at, "the JPEG is damaged: its Huffman tables are cut short");
    }
    const Bytes counts = segment.subspan(at + 1, kTableHead - 1);
    const std::size_t codes = std::accumulate(counts.begin(), counts.end(), std::size_t{0});
    if (codes > kMostCodes || codes > segment.size() - at - kTableHead) {
      fail(path, begin + at,
           "the JPEG is damaged: a Huffman table has {} codes, expected at most {}, within its "
           "segment",
           codes, kMostCodes);
    }
    at += kTableHead + codes;
  }
}

void check_jpeg(Bytes file, const std::string& path) {
  const auto byte_at = [&](std::size_t at) {
    if (at >= file.size()) {
      fail(path, file.size(), "the JPEG is cut short: expected its end mark");
    }
    return file[at];
  };
  std::size_t at = 2;
  while (true) {
    if (byte_at(at) != 0xff) {
      fail(path, at, "the JPEG is damaged: byte is {}, expected 255 of a marker", file[at]);
    }
    while (byte_at(at) == 0xff) {  // any number of them may stand before a marker
      ++at;
    }
    const std::uint8_t marker = file[at++];
    if (marker == kEndOfImage) {
      return;
    }
    if (stands_alone(marker)) {
      continue;
    }
    const std::size_t length = std::size_t{byte_at(at)} << 8 | byte_at(at + 1);
    if (length < 2) {
      fail(path, at, "the JPEG is damaged: a segment has {} bytes, expected at least 2", length);
    }
    if (is_frame(marker) && length >= 7 && length <= file.size() - at) {
      check_sides(big_endian(file.subspan(at + 3, 2)), big_endian(file.subspan(at + 5, 2)), at + 3,
                  path);
    }
    if (marker == kHuffmanTables && length <= file.size() - at) {
      check_huffman_tables(file.subspan(at + 2, length - 2), at + 2, path);
    }
    at += length;
    if (marker == kStartOfScan) {
      // Coded pixels, in which a zero byte or a restart mark follows each 0xff.
      while (byte_at(at) != 0xff || byte_at(at + 1) == 0 || stands_alone(file[at + 1])) {
        ++at;
      }
    }
  }
}

}  // namespace

void check_image_container(Bytes file, const std::string& path) {
  if (starts_with(file, kPngSignature)) {
    check_png(file, path);
  } else if (starts_with(file, kJpegSignature)) {
    check_jpeg(file, path);
  } else {
    fail(path, 0, "{}", describe_other_format(file));
  }
}

}  // namespace cks
