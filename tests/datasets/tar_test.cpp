#include "cks/datasets/readers/tar.h"

#include <doctest/doctest.h>

#include <optional>

#include "tests/datasets/pictures.h"
#include "tests/support/fill.h"

using cks::TarEntry;
using cks::TarReader;
using namespace cks::testing;

namespace {

struct TarFixture {
  TemporaryFolder folder;
  std::string path = folder.file("archive");

  /// Names and contents of the files in it.
  std::vector<std::pair<std::string, Bytes>> read(const Bytes& archive) {
    write_file(path, archive);
    TarReader reader(path);
    std::vector<std::pair<std::string, Bytes>> files;
    while (const std::optional<TarEntry> entry = reader.next()) {
      if (entry->is_file) {
        files.emplace_back(entry->name, reader.content(entry->size));
      }
    }
    file_bytes = reader.file_bytes();
    return files;
  }
  std::string error(const Bytes& archive) {
    return io_error([&] { read(archive); });
  }

  std::uint64_t file_bytes = 0;
};

const std::vector<std::pair<std::string, Bytes>> kFiles{
    {"empty", {}}, {"d/block", Bytes(512, 7)}, {"d/short", {1, 2, 3}}};

}  // namespace

TEST_CASE_FIXTURE(TarFixture, "tar: files of any size, plain and gzip") {
  const Bytes archive = tar(kFiles);
  CHECK(read(archive) == kFiles);
  CHECK(file_bytes == archive.size());
  CHECK(read(gzip(archive)) == kFiles);
  CHECK(file_bytes == gzip(archive).size());
  CHECK(read(tar({})).empty());
}

TEST_CASE_FIXTURE(TarFixture, "tar: entries that nobody asks for are passed over") {
  write_file(path, tar(kFiles));
  TarReader reader(path);
  std::vector<std::string> names;
  std::vector<std::uint64_t> offsets;
  while (const std::optional<TarEntry> entry = reader.next()) {
    names.push_back(entry->name);
    offsets.push_back(entry->offset);
  }
  CHECK(names == std::vector<std::string>{"empty", "d/block", "d/short"});
  CHECK(offsets == std::vector<std::uint64_t>{512, 1024, 2048});
  CHECK_FALSE(reader.next().has_value());
}

TEST_CASE_FIXTURE(TarFixture,
                  "tar: folders and extended headers are no files, a prefix is a name's") {
  Bytes archive = tar_header("d/", 0, '5') + tar_header("PaxHeader", 600, 'x') + Bytes(1024, 'p');
  Bytes prefixed = tar_header("name", 0);
  const std::string prefix = "some/folder";
  std::copy(prefix.begin(), prefix.end(), prefixed.begin() + 345);
  std::size_t sum = 8 * ' ';
  for (std::size_t i = 0; i < 512; ++i) {
    sum += i >= 148 && i < 156 ? 0 : prefixed[i];
  }
  std::snprintf(reinterpret_cast<char*>(prefixed.data()) + 148, 8, "%06zo", sum);
  const auto files = read(archive + prefixed + Bytes(1024));
  REQUIRE(files.size() == 1);
  CHECK(files[0].first == "some/folder/name");
}

TEST_CASE_FIXTURE(TarFixture, "tar: errors name file, byte and what was expected") {
  const Bytes archive = tar(kFiles);
  CHECK(contains(error({}), path + "' at byte 0: the archive is cut short"));
  CHECK(contains(error(cut(archive, 700)), "at byte 512: the archive is cut short"));
  CHECK(
      contains(error(cut(archive, 2050)), "at byte 2050: the archive ends inside 'd/short' of 3"));
  CHECK(contains(error(cut(archive, 2560)), "at byte 2560: the archive is cut short"));
  CHECK(contains(error(flipped(archive, 8 * 512)), "at byte 660: header has checksum"));
  CHECK(contains(error(gzip(flipped(archive, 8 * 512))), "at byte 660 (uncompressed)"));
  CHECK(contains(error(Bytes(2000, 'x')), "not a tar archive"));
  CHECK(contains(error(archive + Bytes{1}), "other bytes follow"));
  CHECK(contains(error(tar_header("big", std::size_t{1} << 33) + Bytes(512)), "ends inside 'big'"));
  CHECK_FALSE(contains(error(archive + Bytes(5000)), "error"));
}

TEST_CASE_FIXTURE(TarFixture,
                  "tar: a size that claims terabytes costs no memory, a limit is kept") {
  write_file(path, tar_header("big", (std::size_t{1} << 33) - 1) + Bytes(512));
  TarReader reader(path);
  REQUIRE(reader.next().has_value());
  CHECK(contains(io_error([&] { reader.content(1U << 20); }),
                 "'big' has 8589934591 bytes, expected at most 1048576"));
  CHECK(contains(io_error([&] { reader.content(std::uint64_t{1} << 40); }), "ends inside 'big'"));
}

TEST_CASE_FIXTURE(TarFixture, "tar: cut at every 97th byte: an error") {
  for (const Bytes& whole : {tar(kFiles), gzip(tar(kFiles))}) {
    // The second block of the end mark may be missing.
    const std::size_t last = whole.size() > 3000 ? whole.size() - 1024 : whole.size();
    for (std::size_t length = 0; length<last; length += whole.size()> 3000 ? 97 : 1) {
      CAPTURE(length);
      CHECK(error(cut(whole, length)) != "no IoError");
    }
  }
}

TEST_CASE_FIXTURE(TarFixture, "tar: 10,000 flipped bits: an error, or exactly what the file says") {
  const Bytes plain = tar(kFiles);
  const Bytes zipped = gzip(plain);
  std::int64_t errors = 0;
  for (std::uint64_t i = 0; i < 10000; ++i) {
    const Bytes& whole = i % 2 == 0 ? plain : zipped;
    const std::uint64_t bit = random_bits(3, i) % (whole.size() * 8);
    CAPTURE(i);
    try {
      std::vector<std::pair<std::string, Bytes>> expected = kFiles;
      const std::uint64_t byte = bit / 8;
      if (i % 2 == 0 && byte >= 1024 && byte < 1536) {
        expected[1].second = flipped(expected[1].second, bit - 8 * 1024);
      } else if (i % 2 == 0 && byte >= 2048 && byte < 2051) {
        expected[2].second = flipped(expected[2].second, bit - 8 * 2048);
      }
      const auto files = read(flipped(whole, bit));
      CHECK(files == expected);
    } catch (const cks::IoError&) {
      ++errors;
    }
  }
  CHECK(errors > 5000);
}
