#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include "cks/datasets/images/image_container_impl.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/kernels/common/math.h"

namespace cks::detail {

namespace {

using Bytes = ImageBytes;
using namespace std::string_view_literals;

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
constexpr std::uint8_t kRestartInterval = 0xdd;
constexpr std::uint8_t kExif = 0xe1;
constexpr std::size_t kTableHead = 17;   // a Huffman table's class and its 16 counts of codes
constexpr std::size_t kMostCodes = 255;  // no JPEG of 8 bits uses more than 176
constexpr std::size_t kBlockSide = 8;

bool is_restart(std::uint8_t marker) { return marker >= kFirstRestart && marker <= kLastRestart; }

bool stands_alone(std::uint8_t marker) { return marker == kTemporary || is_restart(marker); }

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
      fail_container(path, begin + at, "the JPEG is damaged: its Huffman tables are cut short");
    }
    const Bytes counts = segment.subspan(at + 1, kTableHead - 1);
    const std::size_t codes = std::accumulate(counts.begin(), counts.end(), std::size_t{0});
    if (codes > kMostCodes || codes > segment.size() - at - kTableHead) {
      fail_container(path, begin + at,
                     formatted("the JPEG is damaged: a Huffman table has {} codes, expected at "
                               "most {}, within its segment",
                               codes, kMostCodes));
    }
    at += kTableHead + codes;
  }
}

/// The orientation that a segment notes: 1 to 8; 0 where it is no EXIF, is damaged or says nothing.
int exif_orientation(Bytes segment) {
  constexpr std::size_t kEntryBytes = 12;  // tag, type, count and value
  constexpr std::uint64_t kOrientation = 0x112;
  constexpr std::array<std::size_t, 5> kTypeBytes{0, 1, 0, 2, 4};  // of BYTE, SHORT and LONG
  if (!has_at(segment, 0, "Exif\0\0"sv)) {
    return 0;
  }
  const Bytes tiff = segment.subspan(6);
  const bool little = has_at(tiff, 0, "II*\0"sv);
  if (!little && !has_at(tiff, 0, "MM\0*"sv)) {
    return 0;
  }
  const auto number = [&](std::size_t at, std::size_t bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; at < tiff.size() && bytes <= tiff.size() - at && i < bytes; ++i) {
      value = value << 8 | tiff[at + (little ? bytes - 1 - i : i)];
    }
    return static_cast<std::size_t>(value);  // 0 beyond the end
  };
  const std::size_t directory = number(4, 4);
  const std::size_t entries = number(directory, 2);
  for (std::size_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + kEntryBytes * i;
    if (number(entry, 2) == kOrientation) {
      const std::size_t type = number(entry + 2, 2);
      const std::size_t value =
          type < kTypeBytes.size() ? number(entry + 8, kTypeBytes.at(type)) : 0;
      return value <= 8 ? static_cast<int>(value) : 0;
    }
  }
  return 0;
}

/// What the segments say of the coded pixels, to tell whether all of them are there.
class CodedPixels {
 public:
  std::size_t interval = 0;  // blocks between two restarts; 0: there are none
  std::size_t restarts = 0;  // in the last scan

  void add_frame(Bytes segment) {  // precision, height, width, components: id, sampling, table
    height_ = big_endian(segment.subspan(1, 2));
    width_ = big_endian(segment.subspan(3, 2));
    for (std::size_t at = 6; at + 3 <= segment.size(); at += 3) {
      components_.push_back(
          {segment[at], std::size_t{segment[at + 1]} >> 4, segment[at + 1] & std::size_t{15}});
    }
  }

  void begin_scan(Bytes segment) {  // count, its components: id, tables; first, last, precision
    restarts = 0;
    in_scan_.clear();
    const std::size_t count = segment.empty() ? 0 : segment[0];
    if (segment.size() < 1 + 2 * count + 3) {
      return;
    }
    const Bytes band = segment.subspan(1 + 2 * count);
    for (std::size_t i = 0; i < count; ++i) {
      for (Component& component : components_) {
        if (component.id == segment[1 + 2 * i]) {
          in_scan_.push_back(component);
          for (std::size_t k = band[0]; k <= band[1] && k < component.done.size(); ++k) {
            component.done[k] |= (band[2] & 15) == 0;  // down to its last bit
          }
        }
      }
    }
  }

  /// Whether every frequency of every component was in a scan, and the last scan has all of its
  /// intervals; of the last interval the decoder alone can tell.
  bool may_be_whole() const {
    return !components_.empty() && !in_scan_.empty() &&
           all_of(components_,
                  [](const Component& component) {
                    return all_of(component.done, [](bool done) { return done; });
                  }) &&
           (interval == 0 || (restarts + 1) * interval >= units_in_scan());
  }

 private:
  struct Component {
    std::uint8_t id = 0;
    std::size_t across = 1;  // sampling factors
    std::size_t down = 1;
    std::array<bool, kBlockSide * kBlockSide> done{};
  };

  /// Blocks of a scan of one component, else groups of them.
  std::size_t units_in_scan() const {
    using kernels::ceil_div;
    std::size_t across = 1;
    std::size_t down = 1;
    for (const Component& component : components_) {
      across = std::max(across, component.across);
      down = std::max(down, component.down);
    }
    if (in_scan_.size() > 1) {
      return ceil_div(width_, kBlockSide * across) * ceil_div(height_, kBlockSide * down);
    }
    const Component& alone = in_scan_.front();
    return ceil_div(ceil_div(width_ * alone.across, across), kBlockSide) *
           ceil_div(ceil_div(height_ * alone.down, down), kBlockSide);
  }

  std::size_t height_ = 0;
  std::size_t width_ = 0;
  std::vector<Component> components_;
  std::vector<Component> in_scan_;
};

}  // namespace

ImageContainer check_jpeg(Bytes file, const std::string& path) {
  const auto fail_short = [&] {
    fail_container(path, file.size(), "the JPEG is cut short: expected its end mark");
  };
  const auto byte_at = [&](std::size_t at) {
    if (at >= file.size()) {
      fail_short();
    }
    return file[at];
  };
  // Of the end mark the first byte may be there.
  const auto ends_at = [&](std::size_t at) {
    return at >= file.size() || (at + 1 == file.size() && file[at] == 0xff);
  };
  ImageContainer container;
  int noted = 0;
  CodedPixels pixels;
  std::size_t at = 2;
  while (true) {
    if (byte_at(at) != 0xff) {
      fail_container(
          path, at,
          formatted("the JPEG is damaged: byte is {}, expected 255 of a marker", file[at]));
    }
    while (byte_at(at) == 0xff) {  // any number of them may stand before a marker
      ++at;
    }
    const std::uint8_t marker = file[at++];
    if (marker == kEndOfImage) {
      return container;
    }
    if (stands_alone(marker)) {
      continue;
    }
    const std::size_t length = std::size_t{byte_at(at)} << 8 | byte_at(at + 1);
    if (length < 2) {
      fail_container(
          path, at,
          formatted("the JPEG is damaged: a segment has {} bytes, expected at least 2", length));
    }
    const Bytes segment =
        length <= file.size() - at ? file.subspan(at + 2, length - 2) : Bytes();  // else cut short
    if (is_frame(marker) && segment.size() >= 5) {
      check_sides(big_endian(segment.subspan(1, 2)), big_endian(segment.subspan(3, 2)), at + 3,
                  path);
      pixels.add_frame(segment);
    } else if (marker == kHuffmanTables) {
      check_huffman_tables(segment, at + 2, path);
    } else if (marker == kRestartInterval && segment.size() >= 2) {
      pixels.interval = big_endian(segment.first(2));
    } else if (marker == kExif && noted == 0) {
      noted = exif_orientation(segment);
      container.orientation = std::max(noted, 1);
    }
    at += length;
    if (marker == kStartOfScan) {
      pixels.begin_scan(segment);
      // Coded pixels, in which a zero byte or a restart mark follows a 0xff or several.
      while (!ends_at(at) && (file[at] != 0xff || file[at + 1] == 0xff || file[at + 1] == 0 ||
                              stands_alone(file[at + 1]))) {
        if (file[at] == 0xff && is_restart(file[at + 1])) {
          ++pixels.restarts;
        }
        ++at;
      }
      if (ends_at(at)) {
        if (!pixels.may_be_whole()) {
          fail_short();
        }
        container.lacks_end = true;
        return container;
      }
    }
  }
}

}  // namespace cks::detail
