#include "cks/core/io/utf8.h"

#include <doctest/doctest.h>

TEST_CASE("is_utf8: whole characters of up to four bytes, and nothing else") {
  for (const char* text :
       {"", "cat", "caf\xc3\xa9", "\xe7\x8c\xab", "\xf0\x9f\x90\x88", "a\n\x01"}) {
    CAPTURE(text);
    CHECK(cks::is_utf8(text));
  }
  // Latin-1, a character cut short, a byte too many, one character in two lengths, half a pair.
  for (const char* text : {"caf\xe9", "\xe7\x8c", "\x8c", "\xc0\xaf", "\xed\xa0\x80", "\xff"}) {
    CAPTURE(text);
    CHECK_FALSE(cks::is_utf8(text));
  }
}
