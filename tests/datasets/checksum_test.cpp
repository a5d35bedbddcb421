#include "cks/datasets/checksum.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

TEST_CASE("md5: the vectors of RFC 1321") {
  const std::vector<std::pair<std::string, std::string>> vectors{
      {"", "d41d8cd98f00b204e9800998ecf8427e"},
      {"a", "0cc175b9c0f1b6a831c399e269772661"},
      {"abc", "900150983cd24fb0d6963f7d28e17f72"},
      {"message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
      {"abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"},
      {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
       "d174ab98d277d9f5a5611c2c9f419d9f"},
      {"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
       "57edf4a22be3c955ac49da2e2107b67a"}};
  for (const auto& vector : vectors) {
    CAPTURE(vector.first);
    CHECK(cks::md5_hex(vector.first.data(), vector.first.size()) == vector.second);
  }
}

TEST_CASE("md5: pieces of any length give the sum of the whole") {
  const std::string text(200, 'x');
  for (std::size_t length = 0; length <= text.size(); ++length) {
    const std::string whole = cks::md5_hex(text.data(), length);
    for (const std::size_t piece : {1U, 7U, 63U, 64U, 65U}) {
      cks::Md5 sum;
      for (std::size_t at = 0; at < length; at += piece) {
        sum.update(text.data() + at, std::min(piece, length - at));
      }
      CHECK(sum.hex() == whole);
    }
  }
}

TEST_CASE("md5: hex() leaves the sum open for more") {
  cks::Md5 sum;
  sum.update("ab", 2);
  CHECK(sum.hex() == cks::md5_hex("ab", 2));
  sum.update("c", 1);
  CHECK(sum.hex() == "900150983cd24fb0d6963f7d28e17f72");
}
