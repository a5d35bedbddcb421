#pragma once
#include <map>
#include <string>
#include <string_view>

#include "cks/core/tensor/tensor.h"

namespace cks {

/// What a safetensors file holds: tensors in the order of their bytes, and strings by name.
///
/// The format: 8 bytes with the length of the header (little-endian), the header (JSON; for each
/// tensor its dtype, shape and range of bytes), the bytes of the tensors. Nothing in it is
/// executed. CKS takes F32, F64, BF16, I64, I32 and U8. Source
/// https://github.com/huggingface/safetensors
struct SafetensorsFile {
  NamedTensors tensors;
  std::map<std::string, std::string> metadata;
};

/// Reads a whole file. Throws IoError, naming the file and the byte or key, unless every byte of it
/// is accounted for: a header of at most 100 MB and of the right form, no name twice, known dtypes,
/// offsets that follow each other without gap or overlap to the end of the file, and shapes that
/// agree with them.
SafetensorsFile load_safetensors(const std::string& path);

/// The same from memory; `name` stands for the path in messages.
SafetensorsFile parse_safetensors(std::string_view bytes, const std::string& name);

/// Writes a file, atomically (see AtomicFile): larger element types first, so that every tensor is
/// aligned, otherwise in the order given. The same tensors give the same bytes.
/// Throws IoError if the file cannot be written; Error if a tensor is undefined or a name is given
/// twice, is "__metadata__", or is not UTF-8.
void save_safetensors(const std::string& path, const NamedTensors& tensors,
                      const std::map<std::string, std::string>& metadata = {});

}  // namespace cks
