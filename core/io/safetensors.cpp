#include "cks/core/io/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "cks/core/io/file.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

constexpr std::uint64_t kMaxHeader = 100'000'000;
constexpr const char* kMetadata = "__metadata__";

constexpr std::array<std::pair<const char*, DType>, 6> kDtypes{{
    {"F32", DType::float32},
    {"F64", DType::float64},
    {"BF16", DType::bfloat16},
    {"I64", DType::int64},
    {"I32", DType::int32},
    {"U8", DType::uint8},
}};

struct TensorEntry {
  std::string name;
  std::optional<DType> dtype;
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
      if (!entry.dtype || !entry.shape || !entry.offsets) {
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
    if (entries.back().dtype) {
      return twice();
    }
    for (const auto& [text, dtype] : kDtypes) {
      if (value == text) {
        entries.back().dtype = dtype;
        return true;
      }
    }
    return fail(formatted("key {} has dtype {}, expected F32, F64, BF16, I64, I32 or U8",
                          quote(entry_), quote(value)));
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
    return fail(formatted("not JSON at byte {}", position));
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

/// What people take for weights, by its first bytes; nullptr for anything else.
const char* known_format(std::string_view bytes) {
  constexpr std::array<std::pair<std::string_view, const char*>, 3> kFormats{{
      {"\x89PNG", "a PNG picture"},
      {"\xff\xd8\xff", "a JPEG picture"},
      {"PK\x03\x04", "a ZIP archive, as PyTorch's .pt and .pth files are"},
  }};
  for (const auto& [signature, name] : kFormats) {
    if (bytes.starts_with(signature)) {
      return name;
    }
  }
  return nullptr;
}

/// Checks that the entry's bytes follow `begin` and are as many as its shape says.
Tensor read_tensor(const TensorEntry& entry, std::string_view data, std::int64_t begin,
                   const std::string& where) {
  const auto fail = [&](const std::string& message) {
    return IoError(formatted("{}: key \"{}\": {}", where, entry.name, message));
  };
  if (entry.offsets->size() != 2) {
    throw fail(formatted("data_offsets has {} numbers, expected 2", entry.offsets->size()));
  }
  const std::int64_t first = (*entry.offsets)[0];
  const std::int64_t end = (*entry.offsets)[1];
  const std::string range = formatted("bytes [{},{})", first, end);
  if (end < first || end > static_cast<std::int64_t>(data.size())) {
    throw fail(formatted("{} are not within the {} bytes of data", range, data.size()));
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
  const auto size = static_cast<std::int64_t>(size_of(*entry.dtype));
  if ((end - first) % size != 0 || (end - first) / size != shape.numel()) {
    throw fail(formatted("{} do not hold shape {} of {}", range, shape.to_string(),
                         name_of(*entry.dtype)));
  }
  Tensor tensor = Tensor::empty(shape, *entry.dtype);
  if (end > first) {
    std::memcpy(tensor.data(), data.data() + first, static_cast<std::size_t>(end - first));
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

const char* dtype_text(DType dtype) {
  for (const auto& [text, candidate] : kDtypes) {
    if (candidate == dtype) {
      return text;
    }
  }
  return "?";
}

std::size_t bytes_of(const Tensor& tensor) {
  return static_cast<std::size_t>(tensor.numel()) * size_of(tensor.dtype());
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
    const std::size_t end = begin + bytes_of(tensor);
    add(name, formatted(R"({{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})",
                        dtype_text(tensor.dtype()), tensor.shape().to_string(), begin, end));
    begin = end;
  }
  header += "}";
  header.append((8 - header.size() % 8) % 8, ' ');
  return header;
}

}  // namespace

SafetensorsFile parse_safetensors(std::string_view bytes, const std::string& name) {
  std::uint64_t header_size = 0;
  if (bytes.size() < sizeof header_size) {
    throw IoError(
        formatted("{}: has {} bytes, a safetensors file has at least 8", name, bytes.size()));
  }
  std::memcpy(&header_size, bytes.data(), sizeof header_size);
  const char* const format = known_format(bytes);
  bytes.remove_prefix(sizeof header_size);
  if (header_size > kMaxHeader || header_size > bytes.size()) {
    if (format != nullptr) {
      throw IoError(formatted("{}: is {}, not a safetensors file", name, format));
    }
    const bool is_cut_off = header_size <= kMaxHeader && (bytes.empty() || bytes.starts_with('{'));
    throw IoError(
        formatted("{}: is {}: its first 8 bytes announce a header of {} bytes; the file has {} "
                  "more, and at most {} are allowed",
                  name, is_cut_off ? "cut off" : "not a safetensors file", header_size,
                  bytes.size(), kMaxHeader));
  }
  const std::string_view header = bytes.substr(0, header_size);
  const std::string_view data = bytes.substr(header_size);
  if (header.empty() || header.front() != '{') {
    throw IoError(formatted(
        "{}: is not a safetensors file: its header does not start with {{ at byte 8", name));
  }
  // The parser takes a NUL for the end of its input; no JSON has one.
  if (const std::size_t nul = header.find('\0'); nul != std::string_view::npos) {
    throw IoError(formatted("{}: header: not JSON at byte {}", name, nul));
  }
  HeaderReader reader;
  if (!nlohmann::json::sax_parse(header.begin(), header.end(), &reader)) {
    throw IoError(formatted("{}: header: {}", name, reader.error));
  }
  std::vector<const TensorEntry*> entries;
  for (const TensorEntry& entry : reader.entries) {
    entries.push_back(&entry);
  }
  std::stable_sort(entries.begin(), entries.end(), [](const TensorEntry* a, const TensorEntry* b) {
    return *a->offsets < *b->offsets;
  });
  SafetensorsFile file;
  file.metadata = std::move(reader.metadata);
  std::int64_t begin = 0;
  for (const TensorEntry* entry : entries) {
    file.tensors.emplace_back(entry->name, read_tensor(*entry, data, begin, name));
    begin = (*entry->offsets)[1];
  }
  if (begin != static_cast<std::int64_t>(data.size())) {
    throw IoError(
        formatted("{}: the tensors end at byte {} of {} bytes of data", name, begin, data.size()));
  }
  return file;
}

SafetensorsFile load_safetensors(const std::string& path) {
  return parse_safetensors(read_file(path), path);
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
  const std::string header = make_header(ordered, metadata);
  const std::uint64_t header_size = header.size();
  if (header_size > kMaxHeader) {
    throw Error(formatted("save_safetensors: a header of {} bytes exceeds the format's {} ({})",
                          header_size, kMaxHeader, path));
  }
  AtomicFile file(path);
  file.write(&header_size, sizeof header_size);
  file.write(header.data(), header.size());
  for (const auto& [name, tensor] : ordered) {
    file.write(tensor.data(), bytes_of(tensor));
  }
  file.commit();
}

}  // namespace cks
