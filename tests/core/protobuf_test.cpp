#include <doctest/doctest.h>

#include "cks/core/io/protobuf_impl.h"

using namespace cks;
using namespace std::string_literals;

// The examples of https://protobuf.dev/programming-guides/encoding/, and what they leave open.

TEST_CASE("ProtoMessage: fields are written as the encoding's guide shows them") {
  ProtoMessage number;
  number.integer(1, 150);
  CHECK(number.bytes() == "\x08\x96\x01"s);
  ProtoMessage text;
  text.text(2, "testing");
  CHECK(text.bytes() == "\x12\x07testing"s);
  ProtoMessage outer;
  outer.message(3, number);
  CHECK(outer.bytes() == "\x1a\x03\x08\x96\x01"s);
  ProtoMessage repeated;
  repeated.integer(5, 1);
  repeated.integer(5, 2);
  CHECK(repeated.bytes() == "\x28\x01\x28\x02"s);
}

TEST_CASE("ProtoMessage: numbers of every size") {
  const auto integer = [](int field, std::int64_t value) {
    ProtoMessage message;
    message.integer(field, value);
    return message.bytes();
  };
  CHECK(integer(1, 0) == "\x08\x00"s);
  CHECK(integer(1, 127) == "\x08\x7f"s);
  CHECK(integer(1, 128) == "\x08\x80\x01"s);
  CHECK(integer(1, 16383) == "\x08\xff\x7f"s);
  CHECK(integer(1, -1) == "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s);
  CHECK(integer(16, 1) == "\x80\x01\x01"s);  // whose key takes two bytes
  ProtoMessage real;
  real.real32(1, 1.5F);
  real.real64(2, -2.0);
  CHECK(real.bytes() ==
        "\x0d\x00\x00\xc0\x3f"
        "\x11\x00\x00\x00\x00\x00\x00\x00\xc0"s);
}
