#include "cks/datasets/readers/byte_source.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>

#include "tests/datasets/support.h"

using cks::ByteSource;
using namespace cks::testing;

namespace {

Bytes read_all(const std::string& path, std::size_t piece = 1U << 20) {
  ByteSource source(path);
  Bytes all;
  while (true) {
    Bytes part(piece);
    part.resize(source.read(part.data(), piece));
    all.insert(all.end(), part.begin(), part.end());
    if (part.size() < piece) {
      return all;
    }
  }
}

Bytes joined(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

const Bytes kContent = cks::testing::idx_images(300, 28, 28);  // several buffers long

}  // namespace

TEST_CASE("byte source: plain and gzip give the same bytes and sums, in pieces of any size") {
  const cks::testing::TemporaryFolder folder;
  const Bytes zipped = gzip(kContent);
  write_file(folder.file("plain"), kContent);
  write_file(folder.file("zipped"), zipped);
  for (const char* name : {"plain", "zipped"}) {
    for (const std::size_t piece : {std::size_t{1000}, std::size_t{65536}, kContent.size() + 1}) {
      CHECK(read_all(folder.file(name), piece) == kContent);
    }
    ByteSource source(folder.file(name));
    Bytes bytes(kContent.size() + 1);
    CHECK(source.read(bytes.data(), bytes.size()) == kContent.size());
    CHECK(source.read(bytes.data(), bytes.size()) == 0);
    CHECK(source.offset() == kContent.size());
    CHECK(source.compressed() == (name == std::string("zipped")));
    CHECK(source.crc32() == crc32_of(kContent.data(), kContent.size()));
    CHECK(source.file_bytes() == (source.compressed() ? zipped : kContent).size());
  }
}

TEST_CASE("byte source: several gzip members read as one stream, an empty file as nothing") {
  const cks::testing::TemporaryFolder folder;
  const Bytes half(kContent.begin(), kContent.begin() + 5000);
  const Bytes rest(kContent.begin() + 5000, kContent.end());
  write_file(folder.file("members"), joined(joined(gzip(half), gzip({})), gzip(rest)));
  CHECK(read_all(folder.file("members")) == kContent);
  write_file(folder.file("empty"), {});
  CHECK(read_all(folder.file("empty")).empty());
  write_file(folder.file("one"), {0x1f});
  CHECK(read_all(folder.file("one")) == Bytes{0x1f});
}

TEST_CASE("byte source: damaged, cut and followed gzip streams are errors that name the file") {
  const cks::testing::TemporaryFolder folder;
  const std::string path = folder.file("bad.gz");
  const Bytes whole = gzip(kContent);
  const auto message = [&](const Bytes& bytes) {
    write_file(path, bytes);
    return io_error([&] { read_all(path); });
  };
  const std::string cut = message(Bytes(whole.begin(), whole.end() - 1));
  CHECK(contains(cut, path));
  CHECK(
      contains(cut, "cut short after " + std::to_string(kContent.size()) + " uncompressed bytes"));
  CHECK(contains(message(Bytes(whole.begin(), whole.begin() + 2)), "cut short"));
  CHECK(contains(message(joined(whole, {'x'})), "other bytes follow"));
  CHECK(contains(message(joined(whole, {0x1f, 0x00})), "damaged"));
  Bytes wrong_sum = whole;
  wrong_sum[whole.size() - 8] ^= 1;  // of the CRC
  CHECK(contains(message(wrong_sum), "incorrect data check"));
  Bytes wrong_length = whole;
  wrong_length[whole.size() - 4] ^= 1;
  CHECK(contains(message(wrong_length), "incorrect length check"));
}

TEST_CASE("byte source: files that cannot be opened") {
  const cks::testing::TemporaryFolder folder;
  const std::string missing = io_error([&] { ByteSource source(folder.file("none")); });
  CHECK(contains(missing, folder.file("none")));
  CHECK(contains(missing, "No such file"));
  CHECK(contains(io_error([&] { ByteSource source(folder.path()); }), "is a folder"));
}
