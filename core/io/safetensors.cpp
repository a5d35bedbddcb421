#include "cks/core/io/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <set>
#include <type_traits>
#include <utility>

#include "cks/core/io/checksum_impl.h"
#include "cks/core/io/file.h"
#include "cks/core/io/foreign_format_impl.h"
#include "cks/core/io/json_impl.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"

namespace cks {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

constexpr std::uint64_t kMaxHeader = 100'000'000;
constexpr const char* kMetadata = "__metadata__";

/// The IEEE number of 16 bits.
struct Half {
  std::uint16_t bits;
  explicit operator float() const {
    const std::uint32_t sign = (bits & 0x8000U) << 16U;
    const std::uint32_t exponent = bits >> 10U & 0x1fU;
    const std::uint32_t fraction = bits & 0x3ffU;
    if (exponent == 0) {  // below the normal numbers: multiples of 2^-24
      const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
      return sign == 0 ? magnitude : -magnitude;
    }
    const std::uint32_t wide =
        exponent == 0x1fU ? 0xffU : exponent + 112U;  // the bias: 127, not 15
    // Not std::bit_cast, which Emscripten of Debian 12 lacks.
    return __builtin_bit_cast(float, sign | wide << 23U | fraction << 13U);
  }
};

/// Reads `count` numbers of From from bytes and writes them as To; false if one does not fit.
template <class From, class To>
bool convert(std::int64_t count, const char* bytes, void* target) {
  To* to = static_cast<To*>(target);
  for (std::int64_t i = 0; i < count; ++i) {
    From value;
    std::memcpy(&value, bytes + i * static_cast<std::int64_t>(sizeof value), sizeof value);
    if constexpr (std::is_integral_v<From>) {
      if (!std::in_range<To>(value)) {
        return false;
      }
    }
    // NOLINTNEXTLINE(bugprone-signed-char-misuse): a number of 8 bits, no character
    to[i] = static_cast<To>(value);
  }
  return true;
}

struct Truth {
  std::uint8_t byte;
  explicit operator std::uint8_t() const { return byte == 0 ? 0 : 1; }
};

/// A type of the format: bits of an element, what CKS makes of it, if anything, and how, if not by
/// copying.
struct ElementType {
  std::string_view text;
  std::int64_t bits;
  std::optional<DType> dtype;
  bool (*convert)(std::int64_t count, const char* bytes, void* target);
};

constexpr std::array<ElementType, 22> kTypes{{
    {"F32", 32, DType::float32, nullptr},
    {"F64", 64, DType::float64, nullptr},
    {"BF16", 16, DType::bfloat16, nullptr},
    {"I64", 64, DType::int64, nullptr},
    {"I32", 32, DType::int32, nullptr},
    {"U8", 8, DType::uint8, nullptr},
    {"F16", 16, DType::float32, convert<Half, float>},
    {"BOOL", 8, DType::uint8, convert<Truth, std::uint8_t>},
    {"I8", 8, DType::int32, convert<std::int8_t, std::int32_t>},
    {"I16", 16, DType::int32, convert<std::int16_t, std::int32_t>},
    {"U16", 16, DType::int32, convert<std::uint16_t, std::int32_t>},
    {"U32", 32, DType::int64, convert<std::uint32_t, std::int64_t>},
    {"U64", 64, DType::int64, convert<std::uint64_t, std::int64_t>},
    {"F8_E5M2", 8, std::nullopt, nullptr},
    {"F8_E4M3", 8, std::nullopt, nullptr},
    {"F8_E8M0", 8, std::nullopt, nullptr},
    {"F8_E5M2FNUZ", 8, std::nullopt, nullptr},
    {"F8_E4M3FNUZ", 8, std::nullopt, nullptr},
    {"F6_E2M3", 6, std::nullopt, nullptr},
    {"F6_E3M2", 6, std::nullopt, nullptr},
    {"F4", 4, std::nullopt, nullptr},
    {"C64", 64, std::nullopt, nullptr},
}};

/// "F32, F64, ...": what can be read.
std::string readable_types() {
  std::string text;
  for (const ElementType& type : kTypes) {
    if (type.dtype) {
      text += (text.empty() ? "" : ", ") + std::string(type.text);
    }
  }
  return text;
}

/// The bytes of a file, wherever they are.
struct Source {
  const std::string& name;
  std::size_t size;
  std::function<void(std::size_t offset, void* to, std::size_t count)> read;
};

struct TensorEntry {
  std::string name;
  const ElementType* type = nullptr;
  std::optional<std::vector<std::int64_t>> shape;
  std::optional<std::vector<std::int64_t>> offsets;
};

/// Reads the header event by event and stops at the first that has no place in it, so that a
/// hostile header costs no more than its own length.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::vector<TensorEntry> entries;
  std::map<std::string, std::string> metadata;
  std::string error;  // what is wrong, empty if nothing is

  bool key(string_t& name) override {
    if (depth_ == 1) {
      if (!names_.insert(name).second) {
        return fail(formatted("key {} occurs twice", quote(name)));
      }
      entry_ = name;
      if (name != kMetadata) {
        entries.emplace_back().name = name;
      }
      return true;
    }
    field_ = name;
    if (in_metadata() || name == "dtype" || name == "shape" || name == "data_offsets") {
      return true;
    }
    return fail(formatted("key {} has an unknown field {}", quote(entry_), quote(name)));
  }

  bool start_object(std::size_t) override {
    if (depth_ > 1 || numbers_ != nullptr) {
      return unexpected("an object");
    }
    ++depth_;
    field_.clear();
    return true;
  }

  bool end_object() override {
    if (depth_ == 2 && !in_metadata()) {
      const TensorEntry& entry = entries.back();
      if (entry.type == nullptr || !entry.shape || !entry.offsets) {
        return fail(formatted("key {} lacks its dtype, shape or data_offsets", quote(entry_)));
      }
    }
    --depth_;
    return true;
  }

  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_metadata() || numbers_ != nullptr || field_ == "dtype") {
      return unexpected("an array");
    }
    auto& target = field_ == "shape" ? entries.back().shape : entries.back().offsets;
    if (target) {
      return twice();
    }
    numbers_ = &target.emplace();
    return true;
  }

  bool end_array() override {
    numbers_ = nullptr;
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (numbers_ == nullptr || value > static_cast<std::uint64_t>(INT64_MAX)) {
      return unexpected(formatted("the number {}", value));
    }
    const std::size_t limit = field_ == "shape" ? static_cast<std::size_t>(Shape::kMaxRank) : 2;
    if (numbers_->size() == limit) {
      return fail(formatted("key {}: {} has more than {} numbers", quote(entry_), field_, limit));
    }
    numbers_->push_back(static_cast<std::int64_t>(value));
    return true;
  }

  bool string(string_t& value) override {
    if (depth_ == 2 && in_metadata()) {
      return metadata.emplace(field_, value).second || twice();
    }
    if (depth_ != 2 || field_ != "dtype" || numbers_ != nullptr) {
      return unexpected(formatted("the string {}", quote(value)));
    }
    if (entries.back().type != nullptr) {
      return twice();
    }
    for (const ElementType& type : kTypes) {
      if (value == type.text) {
        entries.back().type = &type;
        return true;
      }
    }
    return fail(formatted("key {} has dtype {}, expected {}", quote(entry_), quote(value),
                          readable_types()));
  }

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a boolean"); }
  bool binary(binary_t&) override { return unexpected("a binary value"); }
  bool number_integer(number_integer_t value) override {
    return unexpected(formatted("the number {}", value));
  }
  bool number_float(number_float_t, const string_t& text) override {
    return unexpected(formatted("the number {}", text));
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return fail(formatted("not JSON at byte {}", position - 1));  // the parser counts from 1
  }

 private:
  /// At most 80 characters of a text from the file.
  static std::string quote(const std::string& text) {
    return formatted("\"{}\"", text.size() > 80 ? text.substr(0, 80) + "..." : text);
  }
  bool in_metadata() const { return entry_ == kMetadata; }
  bool fail(std::string message) {
    error = std::move(message);
    return false;
  }
  bool twice() {
    return fail(formatted("key {}: field {} occurs twice", quote(entry_), quote(field_)));
  }
  bool unexpected(const std::string& what) {
    return fail(formatted("{}{}{} was not expected",
                          entry_.empty() ? "" : "key " + quote(entry_) + ": ", what,
                          field_.empty() ? "" : " in field " + quote(field_)));
  }

  int depth_ = 0;                                 // of objects
  std::vector<std::int64_t>* numbers_ = nullptr;  // array that is being read
  std::string entry_;
  std::string field_;
  std::set<std::string> names_;
};

constexpr std::string_view kNoChecksum = "0000000000000000";  // in its place while it is computed

/// Where the checksum stands in a header as we write it; npos if it has none.
std::size_t find_checksum(const std::string& header) {
  const std::string key = formatted("\"{}\":\"", kSafetensorsChecksum);
  const std::size_t at = header.find(key);
  return at == std::string::npos ? at : at + key.size();
}

IoError entry_error(const Source& source, const TensorEntry& entry, const std::string& message) {
  return IoError(formatted("{}: key \"{}\": {}", source.name, entry.name, message));
}

/// The entry's shape, once its bytes follow `begin` and are as many as it says.
Shape checked_shape(const Source& source, const TensorEntry& entry, std::int64_t begin,
                    std::int64_t data_bytes) {
  const auto fail = [&](const std::string& message) { return entry_error(source, entry, message); };
  if (entry.offsets->size() != 2) {
    throw fail(formatted("data_offsets has {} numbers, expected 2", entry.offsets->size()));
  }
  const std::int64_t first = (*entry.offsets)[0];
  const std::int64_t end = (*entry.offsets)[1];
  const std::string range = formatted("bytes [{},{})", first, end);
  if (end < first || end > data_bytes) {
    throw fail(formatted("{} are not within the {} bytes of data", range, data_bytes));
  }
  if (first != begin) {
    throw fail(first < begin ? range + " overlap the tensor before"
                             : formatted("{} leave a gap after byte {}", range, begin));
  }
  Shape shape;
  try {
    shape = Shape(*entry.shape);
  } catch (const ShapeError& error) {
    throw fail(error.what());
  }
  const std::int64_t bits = (end - first) * 8;
  if (bits % entry.type->bits != 0 || bits / entry.type->bits != shape.numel()) {
    const bool is_copied = entry.type->dtype && entry.type->convert == nullptr;
    throw fail(formatted("{} do not hold shape {} of {}", range, shape,
                         is_copied ? name_of(*entry.type->dtype) : entry.type->text));
  }
  return shape;
}

Tensor read_tensor(const Source& source, const TensorEntry& entry, const Shape& shape,
                   std::size_t data_begin) {
  const ElementType& type = *entry.type;
  if (!type.dtype) {
    throw entry_error(
        source, entry,
        formatted("its dtype {} cannot be read, only {} can", type.text, readable_types()));
  }
  const std::size_t offset = data_begin + static_cast<std::size_t>((*entry.offsets)[0]);
  Tensor tensor = Tensor::empty(shape, *type.dtype);
  const std::size_t bytes = static_cast<std::size_t>(shape.numel() * type.bits / 8);
  if (type.convert == nullptr) {
    source.read(offset, tensor.data(), bytes);
    return tensor;
  }
  std::string raw(bytes, '\0');
  source.read(offset, raw.data(), bytes);
  if (!type.convert(shape.numel(), raw.data(), tensor.data())) {
    throw entry_error(source, entry,
                      formatted("a number of {} is no value of {}", type.text, *type.dtype));
  }
  return tensor;
}

/// Text as a JSON string.
std::string to_json(const std::string& text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    throw Error("save_safetensors: a name or a text of the metadata is not UTF-8");
  }
}

std::string_view dtype_text(DType dtype) {
  return std::find_if(kTypes.begin(), kTypes.end(),
                      [&](const ElementType& type) { return type.dtype == dtype; })
      ->text;  // those that are copied stand first
}

std::string make_header(const NamedTensors& tensors,
                        const std::map<std::string, std::string>& metadata) {
  std::string header = "{";
  const auto add = [&](const std::string& key, const std::string& value) {
    header += (header.size() > 1 ? "," : "") + to_json(key) + ":" + value;
  };
  if (!metadata.empty()) {
    std::string values = "{";
    for (const auto& [key, value] : metadata) {
      values += (values.size() > 1 ? "," : "") + to_json(key) + ":" + to_json(value);
    }
    add(kMetadata, values + "}");
  }
  std::size_t begin = 0;
  for (const auto& [name, tensor] : tensors) {
    const std::size_t end = begin + tensor.nbytes();
    add(name, formatted(R"({{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})",
                        dtype_text(tensor.dtype()), tensor.shape(), begin, end));
    begin = end;
  }
  header += "}";
  header.append((8 - header.size() % 8) % 8, ' ');
  return header;
}

/// The header's text, once the frame is right.
std::string read_header(const Source& source) {
  const std::string& name = source.name;
  std::uint64_t header_size = 0;
  if (source.size < sizeof header_size) {
    throw IoError(
        formatted("{}: has {} bytes, a safetensors file has at least 8", name, source.size));
  }
  constexpr std::size_t kStart = 32;  // enough to tell what else it is
  std::string start(std::min(source.size, kStart), '\0');
  source.read(0, start.data(), start.size());
  std::memcpy(&header_size, start.data(), sizeof header_size);
  const std::size_t rest = source.size - sizeof header_size;
  const bool begins = rest > 0 && start[sizeof header_size] == '{';
  if (header_size > kMaxHeader || header_size > rest) {
    if (const char* const format = foreign_format(start); format != nullptr) {
      throw IoError(formatted("{}: is {}, not a safetensors file", name, format));
    }
    const bool is_cut_off = header_size <= kMaxHeader && (rest == 0 || begins);
    throw IoError(formatted(
        "{}: is {}: its first 8 bytes announce a header of {} bytes; the file has {} "
        "more, and at most {} are allowed",
        name, is_cut_off ? "cut off" : "not a safetensors file", header_size, rest, kMaxHeader));
  }
  if (header_size == 0 || !begins) {
    throw IoError(formatted(
        "{}: is not a safetensors file: its header does not start with {{ at byte 8", name));
  }
  std::string header(header_size, '\0');
  source.read(sizeof header_size, header.data(), header.size());
  return with_visible_nul(std::move(header));
}

/// Throws IoError unless the file is what its checksum says. `entries` are in the order of their
/// bytes.
void verify(const Source& source, std::string header,
            const std::vector<const TensorEntry*>& entries, const std::string& expected) {
  const std::size_t data_begin = sizeof(std::uint64_t) + header.size();
  if (const std::size_t at = find_checksum(header); at != std::string::npos) {
    header.replace(at, kNoChecksum.size(), kNoChecksum);
  }
  Checksum sum;
  sum.add(header.data(), header.size());
  constexpr std::size_t kPiece = std::size_t{1} << 20;  // whole words
  std::string piece;
  for (const TensorEntry* entry : entries) {
    const auto end = static_cast<std::size_t>((*entry->offsets)[1]);
    for (auto at = static_cast<std::size_t>((*entry->offsets)[0]); at < end; at += piece.size()) {
      piece.resize(std::min(kPiece, end - at));
      source.read(data_begin + at, piece.data(), piece.size());
      sum.add(piece.data(), piece.size());
    }
  }
  if (sum.text() != expected) {
    throw IoError(formatted("{}: is damaged: the checksum of its bytes is {}, expected {}",
                            source.name, sum.text(), expected));
  }
}

SafetensorsFile read_source(const Source& source, const SafetensorsWanted& wanted) {
  const std::string header = read_header(source);
  const std::size_t data_begin = sizeof(std::uint64_t) + header.size();
  const auto data_bytes = static_cast<std::int64_t>(source.size - data_begin);
  HeaderReader reader;
  if (!nlohmann::json::sax_parse(header.begin(), header.end(), &reader)) {
    throw IoError(formatted("{}: header: {}", source.name, reader.error));
  }
  auto entries = mapped(reader.entries, [](const TensorEntry& entry) { return &entry; });
  std::stable_sort(entries.begin(), entries.end(), [](const TensorEntry* a, const TensorEntry* b) {
    return *a->offsets < *b->offsets;
  });
  std::vector<Shape> shapes;
  std::int64_t begin = 0;
  for (const TensorEntry* entry : entries) {  // the whole header, before memory is taken
    shapes.push_back(checked_shape(source, *entry, begin, data_bytes));
    begin = (*entry->offsets)[1];
  }
  if (begin != data_bytes) {
    throw IoError(formatted("{}: the tensors end at byte {} of {} bytes of data", source.name,
                            begin, data_bytes));
  }
  if (const auto sum = reader.metadata.find(kSafetensorsChecksum);
      sum != reader.metadata.end() &&
      (!wanted || all_of(entries, [&](const TensorEntry* entry) { return wanted(entry->name); }))) {
    verify(source, header, entries, sum->second);
  }
  SafetensorsFile file;
  file.metadata = std::move(reader.metadata);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const TensorEntry& entry = *entries[i];
    if (wanted ? wanted(entry.name) : entry.type->dtype.has_value()) {
      file.tensors.emplace_back(entry.name, read_tensor(source, entry, shapes[i], data_begin));
    } else {
      file.unread.push_back({entry.name, std::string(entry.type->text), shapes[i]});
    }
  }
  return file;
}

}  // namespace

SafetensorsFile parse_safetensors(std::string_view bytes, const std::string& name,
                                  const SafetensorsWanted& wanted) {
  const auto read = [&](std::size_t offset, void* to, std::size_t count) {
    if (count > 0) {
      std::memcpy(to, bytes.data() + offset, count);
    }
  };
  return read_source({name, bytes.size(), read}, wanted);
}

SafetensorsFile load_safetensors(const std::string& path, const SafetensorsWanted& wanted) {
  const InputFile file(path);
  return read_source({path, file.size(), std::bind_front(&InputFile::read, &file)}, wanted);
}

void save_safetensors(const std::string& path, const NamedTensors& tensors,
                      const std::map<std::string, std::string>& metadata) {
  NamedTensors ordered;
  std::set<std::string> names{kMetadata};
  const auto fail = [&](const std::string& name, const char* what) {
    return Error(formatted("{}: cannot save a tensor \"{}\": {}", path, name, what));
  };
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.defined()) {
      throw fail(name, "it is undefined");
    }
    if (!names.insert(name).second) {
      throw fail(name, name == kMetadata ? "the name is reserved" : "the name is given twice");
    }
    ordered.emplace_back(name, tensor.detach().to(Device::cpu()));
  }
  std::stable_sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) {
    return size_of(a.second.dtype()) > size_of(b.second.dtype());
  });
  auto texts = metadata;
  if (const auto sum = texts.find(kSafetensorsChecksum); sum != texts.end()) {
    sum->second = kNoChecksum;
  }
  std::string header = make_header(ordered, texts);
  const std::uint64_t header_size = header.size();
  if (header_size > kMaxHeader) {
    throw Error(formatted("save_safetensors: a header of {} bytes exceeds the format's {} ({})",
                          header_size, kMaxHeader, path));
  }
  if (const std::size_t at = find_checksum(header); at != std::string::npos) {
    Checksum sum;
    sum.add(header.data(), header.size());
    for (const auto& [name, tensor] : ordered) {
      sum.add(tensor.data(), tensor.nbytes());
    }
    header.replace(at, kNoChecksum.size(), sum.text());
  }
  AtomicFile file(path);
  file.write(&header_size, sizeof header_size);
  file.write(header.data(), header.size());
  for (const auto& [name, tensor] : ordered) {
    file.write(tensor.data(), tensor.nbytes());
  }
  file.commit();
}

}  // namespace cks
