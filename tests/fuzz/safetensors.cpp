// Reads safetensors files: parse_safetensors(), load_safetensors().
// Dictionary: safetensors
// Covers: core/io/safetensors.cpp:HeaderReader|13checked_shape|11read_|6verify|find_checksum
#include "cks/core/io/safetensors.h"

#include "tests/fuzz/fuzz.h"

namespace {

std::size_t bytes_of(const cks::SafetensorsFile& file) {
  std::size_t bytes = 0;
  for (const auto& [name, tensor] : file.tensors) {
    bytes += tensor.nbytes();
  }
  return bytes;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kWidest = 4;  // I8 becomes int32
  const std::string_view bytes = cks::fuzz::text_of(data, size);
  cks::fuzz::takes([&] {
    const cks::SafetensorsFile file = cks::parse_safetensors(bytes, "input");
    cks::fuzz::require(bytes_of(file) <= kWidest * size);
  });
  cks::fuzz::takes([&] {  // some of the tensors, as a model of one's own asks for them
    cks::parse_safetensors(bytes, "input",
                           [](const std::string& name) { return name.size() % 2 == 0; });
  });
  return 0;
}

std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most,
                                    unsigned seed) {
  return cks::fuzz::mutate_safetensors(data, size, most, seed);
}
