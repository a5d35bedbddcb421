#include "cks/core/io/safetensors.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <numeric>

#include "cks/core/io/file.h"
#include "cks/core/memory/storage.h"
#include "tests/core/test_ops.h"
#include "tests/support/devices.h"
#include "tests/support/fill.h"
#include "tests/support/scratch_folder.h"

namespace cks {
namespace {

using testing::contains;
using testing::message_of;
using testing::ScratchFolder;

/// A file with this header and data, the length in front.
std::string file_of(const std::string& header, const std::string& data = "") {
  const std::uint64_t size = header.size();
  std::string bytes(sizeof size, '\0');
  std::memcpy(bytes.data(), &size, sizeof size);
  return bytes + header + data;
}

std::string error_of(const std::string& bytes) {
  return message_of<IoError>([&] { parse_safetensors(bytes, "model.st"); });
}

NamedTensors example() {
  return {{"bytes", Tensor::full({3}, 200, DType::uint8)},
          {"conv.weight", Tensor::arange(24, DType::float32).reshape({2, 3, 2, 2})},
          {"count", Tensor::scalar(-7, DType::int64)},
          {"halves", Tensor::full({2}, 1.5, DType::bfloat16)},
          {"indices", Tensor::full({2}, -5, DType::int32)},
          {"empty", Tensor::empty({0, 4})},
          {"exact", Tensor::full({2, 1}, 0.1, DType::float64)}};
}

bool equal(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.data(), b.data(), a.nbytes()) == 0;
}

TEST_CASE("safetensors: a file is the same from every device") {
  const ScratchFolder folder;
  save_safetensors(folder / "cpu.safetensors", example());
  const std::string bytes = read_file(folder / "cpu.safetensors");
  for (const Device device : testing::test_devices()) {
    CAPTURE(device.to_string());
    NamedTensors moved;
    for (const auto& [name, tensor] : example()) {
      moved.emplace_back(name, tensor.to(device));
    }
    const std::string path = folder / "moved.safetensors";
    save_safetensors(path, moved);
    CHECK(read_file(path) == bytes);
    for (const auto& [name, tensor] : load_safetensors(path).tensors) {
      CHECK(tensor.device() == Device::cpu());
    }
  }
}

TEST_CASE("safetensors: every dtype, shapes, metadata come back as they were") {
  const ScratchFolder folder;
  const std::string path = folder / "model.safetensors";
  const std::map<std::string, std::string> metadata{{"format", "pt"},
                                                    {"note", "a \"b\"\n\xc3\xa9"}};
  save_safetensors(path, example(), metadata);
  const SafetensorsFile file = load_safetensors(path);
  CHECK(file.metadata == metadata);
  REQUIRE(file.tensors.size() == example().size());
  for (const auto& [name, tensor] : example()) {
    int found = 0;
    for (const auto& [other, loaded] : file.tensors) {
      if (other == name) {
        ++found;
        CHECK(equal(tensor, loaded));
      }
    }
    CHECK(found == 1);
  }
}

TEST_CASE("safetensors: the bytes are those of the format, aligned, and always the same") {
  const ScratchFolder folder;
  const std::string path = folder / "model.safetensors";
  save_safetensors(path, {{"a", Tensor::full({1}, 1, DType::uint8)}, {"b", Tensor::ones({2})}});
  const std::string header = R"({"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                             R"("a":{"dtype":"U8","shape":[1],"data_offsets":[8,9]}})";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  const float one = 1.0F;
  std::string data(9, '\1');
  std::memcpy(data.data(), &one, 4);
  std::memcpy(data.data() + 4, &one, 4);
  CHECK(read_file(path) == file_of(padded, data));
  save_safetensors(path, {});
  CHECK(read_file(path) == file_of("{}      "));
  CHECK(load_safetensors(path).tensors.empty());
}

TEST_CASE("safetensors: a file with a checksum is whole or refused, whichever bit is another one") {
  const ScratchFolder folder;
  const std::string path = folder / "model.safetensors";
  NamedTensors tensors = example();
  tensors.emplace_back("odd", Tensor::full({13}, 7, DType::uint8));  // no whole word
  save_safetensors(path, tensors, {{kSafetensorsChecksum, ""}, {"a", "b"}});
  const std::string bytes = read_file(path);
  const SafetensorsFile file = parse_safetensors(bytes, "model.st");
  CHECK(file.tensors.size() == tensors.size());
  CHECK(file.metadata.at(kSafetensorsChecksum).size() == 16);
  const auto is_refused = [](const std::string& damaged) {
    try {
      // A name of its own metadata may be what is damaged: then there is none.
      return parse_safetensors(damaged, "model.st").metadata.count(kSafetensorsChecksum) == 0;
    } catch (const Error&) {
      return true;
    }
  };
  std::int64_t accepted = 0;
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    accepted += is_refused(damaged) ? 0 : 1;
  }
  CHECK(accepted == 0);
  std::string signs = bytes;  // the highest bits of two words, which a mere product would lose
  signs[signs.size() - 60] = static_cast<char>(signs[signs.size() - 60] ^ 0x80);
  signs[signs.size() - 44] = static_cast<char>(signs[signs.size() - 44] ^ 0x80);
  CHECK(contains(error_of(signs), "model.st: is damaged: the checksum"));
  // Who reads a part of it does not read the rest.
  std::string end = bytes;
  end.back() = static_cast<char>(end.back() ^ 1);
  CHECK_NOTHROW(parse_safetensors(end, "model.st", [](const std::string&) { return false; }));
  CHECK_THROWS_AS(parse_safetensors(end, "model.st", [](const std::string&) { return true; }),
                  IoError);
}

TEST_CASE("safetensors: tensors come in the order of their bytes, whatever the header's order") {
  const std::string header = R"({"second":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},)"
                             R"("first":{"data_offsets":[0,1],"shape":[],"dtype":"U8"}})";
  const SafetensorsFile file = parse_safetensors(file_of(header, "abc"), "model.st");
  REQUIRE(file.tensors.size() == 2);
  CHECK(file.tensors[0].first == "first");
  CHECK(file.tensors[0].second.item() == 'a');
  CHECK(file.tensors[1].second.to_vector<std::uint8_t>() == std::vector<std::uint8_t>{'b', 'c'});
}

TEST_CASE("safetensors: a broken frame is refused") {
  CHECK(contains(error_of(""), "model.st: has 0 bytes"));
  CHECK(contains(error_of("1234567"), "has 7 bytes"));
  CHECK(contains(error_of(std::string(8, '\xff') + "{}"), "18446744073709551615"));
  CHECK(contains(error_of(std::string("\x03\0\0\0\0\0\0\0", 8) + "{}"),
                 "model.st: is cut off: its first 8 bytes announce a header of 3 bytes; the file "
                 "has 2 more"));
  CHECK(contains(error_of("# Notes\n\nOf somebody."),
                 "model.st: is not a safetensors file: its first 8 bytes announce a header of "));
  CHECK(contains(error_of(file_of("")), "is not a safetensors file: its header does not start"));
  CHECK(contains(error_of(file_of(" {}")), "does not start with {"));
  CHECK(contains(error_of(file_of("[]")), "does not start with {"));
  CHECK(contains(error_of(file_of("{}", "x")), "end at byte 0 of 1"));
  CHECK(contains(error_of(file_of("{")), "not JSON at byte"));
  CHECK(contains(error_of(file_of("{}{}")), "not JSON at byte"));
  CHECK(contains(error_of(file_of("{}\x01")), "not JSON at byte"));
  CHECK(contains(error_of(file_of("{\"\xff\":1}")), "not JSON at byte"));
  CHECK(error_of(file_of("{}   ")).empty());
  using namespace std::string_literals;  // with the NULs
  CHECK(contains(error_of(file_of("{}\0 no JSON {{{"s)), "not JSON at byte 2"));
  CHECK(contains(error_of(file_of("{}\0"s)), "not JSON at byte 2"));
  CHECK(contains(error_of(file_of("{\0}"s)), "not JSON at byte 1"));
}

TEST_CASE("safetensors: pictures and archives are called what they are") {
  CHECK(error_of("\x89PNG\r\n\x1a\n and pixels") ==
        "model.st: is a PNG picture, not a safetensors file");
  CHECK(error_of("\xff\xd8\xff\xe0 and pixels") ==
        "model.st: is a JPEG picture, not a safetensors file");
  CHECK(contains(error_of("PK\x03\x04\x14 and files"), "PyTorch's .pt"));
  // A length of the header that begins with the same bytes is one all the same.
  std::string bytes("\xff\xd8\xff\0\0\0\0\0", 8);
  bytes.append(0xffd8ff, ' ').replace(8, 2, "{}");
  CHECK(error_of(bytes).empty());
}

TEST_CASE("safetensors: a header over 100 MB is refused before it is read") {
  const std::uint64_t size = 100'000'001;
  std::string bytes(sizeof size + size, ' ');
  std::memcpy(bytes.data(), &size, sizeof size);
  bytes[8] = '{';
  CHECK(contains(error_of(bytes), "at most 100000000"));
}

TEST_CASE("safetensors: headers of another form are refused, naming the key") {
  const auto entry = [](const std::string& fields) { return file_of("{\"w\":{" + fields + "}}"); };
  const std::string dtype = R"("dtype":"U8")";
  const std::string shape = R"("shape":[0])";
  const std::string offsets = R"("data_offsets":[0,0])";
  CHECK(error_of(entry(dtype + "," + shape + "," + offsets)).empty());
  CHECK(contains(error_of(entry(dtype + "," + shape)), "key \"w\" lacks"));
  CHECK(contains(error_of(entry(shape + "," + offsets)), "lacks"));
  CHECK(contains(error_of(entry("")), "lacks"));
  CHECK(contains(error_of(entry(dtype + "," + dtype)), "\"dtype\" occurs twice"));
  CHECK(contains(error_of(entry(shape + "," + shape)), "\"shape\" occurs twice"));
  CHECK(contains(error_of(entry(R"("dtype":"F17")")), "dtype \"F17\", expected F32"));
  CHECK(contains(error_of(entry(R"("dtype":7)")), "the number 7"));
  CHECK(contains(error_of(entry(R"("dtype":["U8"])")), "an array"));
  CHECK(contains(error_of(entry(R"("shape":3)")), "the number 3"));
  CHECK(contains(error_of(entry(R"("shape":[-1])")), "-1"));
  CHECK(contains(error_of(entry(R"("shape":[1.5])")), "1.5"));
  CHECK(contains(error_of(entry(R"("shape":[1e3])")), "1e3"));
  CHECK(contains(error_of(entry(R"("shape":[18446744073709551615])")), "was not expected"));
  CHECK(contains(error_of(entry(R"("shape":[99999999999999999999])")), "was not expected"));
  CHECK(contains(error_of(entry(R"("shape":[[1]])")), "an array"));
  CHECK(contains(error_of(entry(R"("shape":[{}])")), "an object"));
  CHECK(contains(error_of(entry(R"("shape":["1"])")), "the string"));
  CHECK(contains(error_of(entry(R"("shape":[1,1,1,1,1,1,1,1,1])")), "more than 8"));
  CHECK(contains(error_of(entry(R"("data_offsets":[0,0,0])")), "more than 2"));
  CHECK(contains(error_of(entry(dtype + "," + shape + R"(,"data_offsets":[0])")), "1 numbers"));
  CHECK(contains(error_of(entry(R"("extra":1)")), "unknown field \"extra\""));
  CHECK(contains(error_of(entry(R"("shape":null)")), "null"));
  CHECK(contains(error_of(entry(R"("shape":true)")), "a boolean"));
  CHECK(contains(error_of(file_of(R"({"w":1})")), "the number 1"));
  CHECK(contains(error_of(file_of(R"({"w":[]})")), "an array"));
  CHECK(contains(error_of(file_of(R"({"w":"x"})")), "the string"));
  const std::string complete = "{" + dtype + "," + shape + "," + offsets + "}";
  CHECK(contains(error_of(file_of("{\"w\":" + complete + ",\"w\":" + complete + "}")),
                 "key \"w\" occurs twice"));
  CHECK(contains(error_of(file_of(R"({"__metadata__":{"a":1}})")), "the number 1"));
  CHECK(contains(error_of(file_of(R"({"__metadata__":{"a":{}}})")), "an object"));
  CHECK(contains(error_of(file_of(R"({"__metadata__":{"a":"b","a":"c"}})")), "occurs twice"));
  CHECK(contains(error_of(file_of(R"({"__metadata__":"a"})")), "the string"));
  CHECK(error_of(file_of(R"({"__metadata__":{}})")).empty());
}

/// A file of one tensor "w" of a dtype and shape whose bytes are those of `values`.
template <class T>
std::string one_tensor(const std::string& dtype, const std::string& shape,
                       const std::vector<T>& values) {
  const std::string data(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  return file_of(R"({"w":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":[0,)" +
                     std::to_string(data.size()) + "]}}",
                 data);
}

template <class To, class T>
std::vector<To> read_as(const std::string& dtype, const std::vector<T>& values) {
  const std::string shape = "[" + std::to_string(values.size()) + "]";
  const auto file = parse_safetensors(one_tensor(dtype, shape, values), "model.st");
  return file.tensors.at(0).second.template to_vector<To>();
}

TEST_CASE("safetensors: F16 is read as float32, every one of its values") {
  std::vector<std::uint16_t> all(65536);
  std::iota(all.begin(), all.end(), std::uint16_t{0});
  const auto values = read_as<float>("F16", all);
  for (std::uint32_t bits = 0; bits < all.size(); ++bits) {
    const double sign = (bits & 0x8000U) != 0 ? -1.0 : 1.0;
    const int exponent = static_cast<int>(bits >> 10U & 31U);
    const double fraction = bits & 1023U;
    const double value =
        exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024.0 + fraction, exponent - 25);
    if (exponent < 31) {
      REQUIRE(static_cast<double>(values[bits]) == sign * value);
      REQUIRE(std::signbit(values[bits]) == (sign < 0));
    } else if (fraction == 0) {
      REQUIRE(static_cast<double>(values[bits]) == sign * std::numeric_limits<double>::infinity());
    } else {
      REQUIRE(std::isnan(values[bits]));
    }
  }
}

TEST_CASE("safetensors: integers of every width and truths are read, their extremes too") {
  using I32 = std::vector<std::int32_t>;
  using I64 = std::vector<std::int64_t>;
  CHECK(read_as<std::int32_t>("I8", std::vector<std::int8_t>{-128, -1, 127}) == I32{-128, -1, 127});
  CHECK(read_as<std::int32_t>("I16", std::vector<std::int16_t>{-32768, 32767}) ==
        I32{-32768, 32767});
  CHECK(read_as<std::int32_t>("U16", std::vector<std::uint16_t>{0, 65535}) == I32{0, 65535});
  CHECK(read_as<std::int64_t>("U32", std::vector<std::uint32_t>{0, 4294967295U}) ==
        I64{0, 4294967295});
  CHECK(read_as<std::int64_t>("U64", std::vector<std::uint64_t>{0, INT64_MAX}) ==
        I64{0, INT64_MAX});
  CHECK(read_as<std::uint8_t>("BOOL", std::vector<std::uint8_t>{0, 1, 255}) ==
        std::vector<std::uint8_t>{0, 1, 1});
  CHECK(error_of(one_tensor("U64", "[]", std::vector<std::uint64_t>{std::uint64_t{1} << 63U})) ==
        "model.st: key \"w\": a number of U64 is no value of int64");
  CHECK(contains(error_of(one_tensor("I16", "[2]", std::vector<std::int8_t>{1, 2, 3})),
                 "do not hold shape [2] of I16"));
}

TEST_CASE("safetensors: types that cannot be read cost nothing until they are asked for") {
  // F4 has two numbers a byte, F6 four in three.
  for (const auto& [dtype, shape] :
       std::vector<std::pair<std::string, std::string>>{{"F8_E4M3", "[3,2]"},
                                                        {"F8_E5M2", "[6]"},
                                                        {"F8_E8M0", "[6]"},
                                                        {"F8_E5M2FNUZ", "[6]"},
                                                        {"F8_E4M3FNUZ", "[6]"},
                                                        {"F4", "[12]"},
                                                        {"F6_E2M3", "[8]"},
                                                        {"F6_E3M2", "[2,4]"}}) {
    const std::string bytes = one_tensor(dtype, shape, std::vector<std::uint8_t>(6, 1));
    const SafetensorsFile file = parse_safetensors(bytes, "model.st");
    CHECK(file.tensors.empty());
    REQUIRE(file.unread.size() == 1);
    CHECK(file.unread[0].name == "w");
    CHECK(file.unread[0].dtype == dtype);
    CHECK(file.unread[0].shape.to_string() == shape);
    CHECK(contains(message_of<IoError>([&] {
                     parse_safetensors(bytes, "model.st", [](const std::string&) { return true; });
                   }),
                   "model.st: key \"w\": its dtype " + dtype + " cannot be read, only F32, "));
    CHECK(contains(error_of(one_tensor(dtype, shape, std::vector<std::uint8_t>(5, 1))),
                   "do not hold shape"));
  }
}

TEST_CASE("safetensors: only what is wanted is read") {
  const ScratchFolder folder;
  const std::string path = folder / "model.safetensors";
  save_safetensors(path, {{"a", Tensor::ones({2})}, {"huge", Tensor::zeros({1 << 22})}});
  reset_peak_memory();
  const std::int64_t before = memory_stats().peak;
  const auto file = load_safetensors(path, [](const std::string& name) { return name == "a"; });
  CHECK(memory_stats().peak - before < 1000);
  REQUIRE(file.tensors.size() == 1);
  CHECK(file.tensors[0].second.to_vector<float>() == std::vector<float>{1, 1});
  REQUIRE(file.unread.size() == 1);
  CHECK(file.unread[0].name == "huge");
  CHECK(file.unread[0].dtype == "F32");
}

TEST_CASE("safetensors: a deeply nested header costs no stack") {
  const std::string deep(1'000'000, '[');
  CHECK(contains(error_of(file_of("{\"w\":{\"shape\":" + deep)), "an array"));
  std::string objects;
  for (int i = 0; i < 100'000; ++i) {
    objects += "{\"a\":";
  }
  CHECK(contains(error_of(file_of(objects)), "unknown field"));
}

TEST_CASE("safetensors: offsets in bounds, without gap or overlap, and as the shape says") {
  const auto two = [](const std::string& first, const std::string& second,
                      const std::string& shape = "[2]") {
    return file_of("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":" + first +
                       "},\"b\":{\"dtype\":\"U8\",\"shape\":" + shape +
                       ",\"data_offsets\":" + second + "}}",
                   "abcd");
  };
  CHECK(error_of(two("[0,2]", "[2,4]")).empty());
  CHECK(contains(error_of(two("[0,2]", "[1,3]")), "overlap"));
  CHECK(contains(error_of(two("[0,2]", "[0,2]")), "overlap"));
  CHECK(contains(error_of(two("[0,2]", "[3,4]")), "gap after byte 2"));
  CHECK(contains(error_of(two("[0,2]", "[2,5]")), "not within the 4 bytes"));
  CHECK(contains(error_of(two("[0,2]", "[2,0]")), "not within"));
  CHECK(contains(error_of(two("[0,2]", "[2,9223372036854775807]")), "not within"));
  CHECK(contains(error_of(two("[1,2]", "[2,4]")), "gap after byte 0"));
  CHECK(contains(error_of(two("[0,2]", "[2,3]", "[1]")), "end at byte 3 of 4"));
  CHECK(contains(error_of(two("[0,2]", "[2,4]", "[3]")), "do not hold shape [3] of uint8"));
  CHECK(contains(error_of(two("[0,2]", "[2,4]", "[4294967296,4294967296]")), "63 bits"));
  CHECK(contains(
      error_of(file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,3]}})", "abc")),
      "do not hold shape"));
}

TEST_CASE("safetensors: cut off at any byte, a file gives an error") {
  const ScratchFolder folder;
  const std::string path = folder / "model.safetensors";
  save_safetensors(path, example(), {{"format", "pt"}});
  const std::string whole = read_file(path);
  CHECK(error_of(whole).empty());
  for (std::size_t length = 0; length < whole.size(); ++length) {
    CHECK_FALSE(error_of(whole.substr(0, length)).empty());
  }
  CHECK_FALSE(error_of(whole + "x").empty());
}

TEST_CASE("safetensors: 10,000 flips of bits give an error or a complete file, never more") {
  const ScratchFolder folder;
  const std::string path = folder / "model.safetensors";
  save_safetensors(path, example(), {{"format", "pt"}});
  const std::string whole = read_file(path);
  int read = 0;
  for (std::uint64_t trial = 0; trial < 10'000; ++trial) {
    std::string bytes = whole;
    const auto flips = static_cast<std::uint64_t>(testing::random_integer(1, trial, 1, 3));
    for (std::uint64_t flip = 0; flip < flips; ++flip) {
      const std::int64_t bit = testing::random_integer(
          2, trial * 4 + flip, 0, static_cast<std::int64_t>(bytes.size()) * 8 - 1);
      bytes[static_cast<std::size_t>(bit / 8)] ^= static_cast<char>(1 << (bit % 8));
    }
    try {
      std::size_t total = 0;
      for (const auto& [name, tensor] : parse_safetensors(bytes, "model.st").tensors) {
        total += tensor.nbytes();
      }
      CHECK(total < bytes.size());
      ++read;
    } catch (const IoError& error) {
      CHECK(contains(error.what(), "model.st: "));
    }
  }
  CHECK(read > 500);  // flips in the tensors' bytes
  CHECK(read < 9'000);
}

TEST_CASE("save_safetensors: refuses names it cannot write and writes nothing then") {
  const ScratchFolder folder;
  const std::string path = folder / "model.safetensors";
  const Tensor tensor = Tensor::ones({1});
  CHECK(contains(message_of<Error>([&] {
                   save_safetensors(path, {{"a", tensor}, {"a", tensor}});
                 }),
                 "\"a\": the name is given twice"));
  CHECK_THROWS_AS(save_safetensors(path, {{"__metadata__", tensor}}), Error);
  CHECK_THROWS_AS(save_safetensors(path, {{"\xff", tensor}}), Error);
  CHECK_THROWS_AS(save_safetensors(path, {{"a", tensor}}, {{"k", "\xff"}}), Error);
  CHECK(contains(message_of<Error>([&] {
                   save_safetensors(path, {{"a", Tensor()}});
                 }),
                 "\"a\": it is undefined"));
  CHECK_FALSE(std::filesystem::exists(path));
  CHECK(contains(message_of<IoError>([&] { load_safetensors(path); }), path));
  CHECK_THROWS_AS(save_safetensors(folder / "none/model.safetensors", {{"a", tensor}}), IoError);
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("save_safetensors: views and tensors on the tape are written by their elements") {
  const ScratchFolder folder;
  const std::string path = folder / "model.safetensors";
  const Tensor x = Tensor::arange(6, DType::float32).reshape({3, 2}).set_requires_grad();
  save_safetensors(path, {{"rows", x.slice(1, 3)}});
  CHECK(load_safetensors(path).tensors[0].second.to_vector<float>() ==
        std::vector<float>{2, 3, 4, 5});
}

}  // namespace
}  // namespace cks
