#include <zlib.h>

#include <algorithm>
#include <array>

#include "cks/core/error.h"
#include "cks/core/io/foreign_format_impl.h"
#include "cks/datasets/images/image_container_impl.h"
#include "cks/datasets/images/image_io.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {

using namespace detail;
using namespace std::string_view_literals;

namespace detail {

void fail_container(const std::string& path, std::size_t at, const std::string& what) {
  throw IoError(formatted("read_image: '{}' at byte {}: {}", path, at, what));
}

std::uint32_t big_endian(ImageBytes bytes) {
  std::uint32_t value = 0;
  for (const std::uint8_t byte : bytes) {
    value = value << 8 | byte;
  }
  return value;
}

void check_sides(std::size_t height, std::size_t width, std::size_t at, const std::string& path) {
  if (std::min(height, width) < 1 ||
      std::max(height, width) > static_cast<std::size_t>(kMaxImageSide)) {
    fail_container(
        path, at,
        formatted("has {} x {} pixels, expected sides of 1 to {}", width, height, kMaxImageSide));
  }
}

bool has_at(ImageBytes file, std::size_t at, std::string_view text) {
  return file.size() >= at + text.size() &&
         std::equal(text.begin(), text.end(), file.begin() + static_cast<std::ptrdiff_t>(at),
                    [](char a, std::uint8_t b) { return static_cast<std::uint8_t>(a) == b; });
}

}  // namespace detail

namespace {

using Bytes = ImageBytes;

constexpr std::string_view kPngSignature = "\x89PNG\r\n\x1a\n"sv;
constexpr std::string_view kJpegSignature = "\xff\xd8\xff"sv;
constexpr std::size_t kChunkFrame = 12;  // length, kind and CRC of a PNG chunk

void check_png(Bytes file, const std::string& path) {
  std::size_t at = kPngSignature.size();
  bool has_pixels = false;
  while (true) {
    if (file.size() - at < kChunkFrame) {
      fail_container(path, file.size(), "the PNG is cut short: expected its next chunk");
    }
    const std::size_t length = big_endian(file.subspan(at, 4));
    if (length > file.size() - at - kChunkFrame) {
      fail_container(
          path, file.size(),
          formatted("the PNG is cut short: expected a chunk of {} bytes from byte {}", length, at));
    }
    const Bytes sealed = file.subspan(at + 4, 4 + length);  // the kind and the data
    const std::uint32_t stored = big_endian(file.subspan(at + 8 + length, 4));
    const auto actual =
        static_cast<std::uint32_t>(crc32(0, sealed.data(), static_cast<uInt>(sealed.size())));
    if (stored != actual) {
      fail_container(
          path, at + 8 + length,
          formatted("the PNG is damaged: the CRC of a chunk is {}, expected {}", stored, actual));
    }
    const bool is_pixels = std::equal(sealed.begin(), sealed.begin() + 4, "IDAT");
    if (is_pixels && !has_pixels && length == 0) {  // stb_image copies it to where nothing is yet
      fail_container(path, at, "the PNG's first chunk of pixels is empty, which is not read");
    }
    has_pixels = has_pixels || is_pixels;
    if (std::equal(sealed.begin(), sealed.begin() + 4, "IHDR") && length >= 8) {
      check_sides(big_endian(sealed.subspan(8, 4)), big_endian(sealed.subspan(4, 4)), at + 8, path);
    }
    if (std::equal(sealed.begin(), sealed.begin() + 4, "IEND")) {
      return;
    }
    at += kChunkFrame + length;
  }
}

/// Why a file is neither, which its name need not tell.
std::string describe_other_format(Bytes file) {
  struct Format {
    const char* name;
    std::size_t at;
    std::string_view mark;
    std::string_view start{};
  };
  constexpr std::array kFormats{Format{"WebP", 8, "WEBP"sv, "RIFF"sv}, Format{"TIFF", 0, "II*\0"sv},
                                Format{"TIFF", 0, "MM\0*"sv}, Format{"AVIF", 4, "ftypavif"sv},
                                Format{"HEIC", 4, "ftypheic"sv}};
  for (const Format& format : kFormats) {
    if (has_at(file, 0, format.start) && has_at(file, format.at, format.mark)) {
      return formatted("the file is {}, not PNG, JPEG, BMP or GIF", format.name);
    }
  }
  constexpr std::size_t kStart = 64;
  return file.empty() ? "the file is empty, expected a PNG, JPEG, BMP or GIF"
                      : "neither a PNG nor a JPEG, BMP or GIF begins like this" +
                            describe_foreign({reinterpret_cast<const char*>(file.data()),
                                              std::min(file.size(), kStart)});
}

/// Rows of `bits` a pixel, each padded to four bytes, but for the last one's padding.
void check_bmp(Bytes file, const std::string& path) {
  constexpr std::size_t kOldHeader = 12;  // of OS/2, with sides of two bytes
  const auto number = [&](std::size_t at, std::size_t bytes) {
    if (at + bytes > file.size()) {
      fail_container(path, file.size(), "the BMP is cut short: expected its header");
    }
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) {
      value |= std::uint32_t{file[at + i]} << 8 * i;
    }
    return value;
  };
  const bool is_old = number(14, 4) == kOldHeader;
  const std::size_t width = is_old ? number(18, 2) : number(18, 4);
  const std::uint32_t rows = is_old ? number(20, 2) : number(22, 4);
  // Rows from the top down have a height below zero.
  const std::size_t height = static_cast<std::int32_t>(rows) < 0 ? 0U - rows : rows;
  check_sides(height, width, 18, path);
  const std::size_t row_bits = width * number(is_old ? 24 : 28, 2);
  const std::size_t expected =
      number(10, 4) + (height - 1) * ((row_bits + 31) / 32 * 4) + (row_bits + 7) / 8;
  constexpr std::uint32_t kRunLength8 = 1;
  constexpr std::uint32_t kRunLength4 = 2;
  const std::uint32_t packing = is_old ? 0 : number(30, 4);
  if (packing == kRunLength8 || packing == kRunLength4) {
    fail_container(path, 30, "the BMP is packed by run lengths, which are not read");
  }
  if (file.size() < expected) {
    fail_container(path, file.size(),
                   formatted("the BMP is cut short: expected {} bytes of {} x {} pixels", expected,
                             width, height));
  }
}

/// Every block up to the end mark; the pixels of the first picture must be among them.
ImageContainer check_gif(Bytes file, const std::string& path) {
  constexpr std::size_t kHeader = 13;
  constexpr std::size_t kDescriptor = 9;  // of a picture, after its mark
  constexpr std::size_t kTableFlag = 0x80;
  const auto byte_at = [&](std::size_t at) -> std::size_t {
    if (at >= file.size()) {
      fail_container(path, file.size(), "the GIF is cut short: expected its end mark");
    }
    return file[at];
  };
  const auto table_bytes = [](std::size_t flags) -> std::size_t {
    return (flags & kTableFlag) == 0 ? 0 : std::size_t{3} << ((flags & 7) + 1);
  };
  byte_at(kHeader - 1);
  check_sides(byte_at(9) << 8 | byte_at(8), byte_at(7) << 8 | byte_at(6), 6, path);
  std::size_t at = kHeader + table_bytes(byte_at(10));
  bool has_picture = false;
  while (at != file.size() || !has_picture) {
    const std::size_t mark = byte_at(at);
    if (mark == ';') {
      return {};
    }
    if (mark != '!' && mark != ',') {
      fail_container(
          path, at,
          formatted("the GIF is damaged: byte is {}, expected the mark of a block", mark));
    }
    at += mark == '!' ? 2 : 2 + kDescriptor + table_bytes(byte_at(at + kDescriptor));
    while (byte_at(at) != 0) {
      at += 1 + byte_at(at);
    }
    ++at;
    has_picture |= mark == ',';
  }
  return {.lacks_end = true};
}

}  // namespace

ImageContainer check_image_container(Bytes file, const std::string& path) {
  if (has_at(file, 0, kPngSignature)) {
    check_png(file, path);
    return {};
  }
  if (has_at(file, 0, kJpegSignature)) {
    return check_jpeg(file, path);
  }
  if (has_at(file, 0, "GIF87a"sv) || has_at(file, 0, "GIF89a"sv)) {
    return check_gif(file, path);
  }
  if (has_at(file, 0, "BM"sv) && has_at(file, 6, "\0\0\0\0"sv)) {
    check_bmp(file, path);
    return {};
  }
  fail_container(path, 0, describe_other_format(file));
}

std::string with_end_mark(Bytes file, std::string_view fill) {
  std::string whole(file.begin(), file.end());
  if (!has_at(file, 0, kJpegSignature)) {
    return whole + ';';
  }
  // Pixels may end in zeros, but not in as many as a disk puts in place of what never arrived.
  constexpr std::size_t kMostZeros = 256;
  if (const std::size_t end = whole.find_last_not_of('\0') + 1; whole.size() - end > kMostZeros) {
    whole.resize(whole[end - 1] == '\xff' ? end + 1 : end);  // a zero behind 0xff is no padding
  }
  if (whole.back() == '\xff') {
    whole.pop_back();
  }
  return whole.append(fill) + "\xff\xd9";
}

}  // namespace cks
