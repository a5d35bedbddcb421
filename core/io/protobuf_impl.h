#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace cks {

/// Bytes of an unsigned number, the lowest first.
template <class Number>
void append_little_endian(std::string& bytes, Number number) {
  for (std::size_t i = 0; i < sizeof number; ++i) {
    bytes += static_cast<char>((number >> (8 * i)) & 0xff);
  }
}

/// A message of Protocol Buffers, written field by field: all that files of ONNX and TensorBoard
/// are made of. Fields carry the numbers of the message's definition; a repeated field is written
/// again and again. Source https://protobuf.dev/programming-guides/encoding/
class ProtoMessage {
 public:
  /// int32, int64, an enum or a bool.
  void integer(int field, std::int64_t value) {
    key(field, 0);
    varint(static_cast<std::uint64_t>(value));
  }
  void real32(int field, float value) {
    key(field, 5);
    // Not std::bit_cast, which Emscripten of Debian 12 lacks.
    append_little_endian(bytes_, __builtin_bit_cast(std::uint32_t, value));
  }
  void real64(int field, double value) {
    key(field, 1);
    append_little_endian(bytes_, __builtin_bit_cast(std::uint64_t, value));
  }
  /// A string or bytes.
  void text(int field, std::string_view value) {
    key(field, 2);
    varint(value.size());
    bytes_ += value;
  }
  void message(int field, const ProtoMessage& value) { text(field, value.bytes_); }

  const std::string& bytes() const { return bytes_; }
  friend bool operator==(const ProtoMessage&, const ProtoMessage&) = default;

 private:
  void key(int field, std::uint64_t wire_type) {
    varint((static_cast<std::uint64_t>(field) << 3U) | wire_type);
  }
  /// Seven bits a byte, the lowest first; the eighth bit says that more follow.
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7U) {
      bytes_ += static_cast<char>((value & 0x7f) | 0x80);
    }
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

}  // namespace cks
