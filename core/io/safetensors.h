#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cks/core/tensor/tensor.h"

namespace cks {

/// What a safetensors file says of a tensor.
struct SafetensorsEntry {
  std::string name;
  std::string dtype;  // as the format spells it: "F32", "F8_E4M3"
  Shape shape;
};

/// What a safetensors file holds: tensors in the order of their bytes, and strings by name.
///
/// The format: 8 bytes with the length of the header (little-endian), the header (JSON; for each
/// tensor its dtype, shape and range of bytes), the bytes of the tensors. Nothing in it is
/// executed. Source https://github.com/huggingface/safetensors
///
///   in the file                       in CKS
///   F32, F64, BF16, I64, I32, U8      the same
///   F16                               float32
///   I8, I16, U16                      int32
///   U32, U64                          int64; IoError for a number from 2^63 on
///   BOOL                              uint8, 0 or 1
///   F8_..., F6_..., F4, C64           cannot be read
struct SafetensorsFile {
  NamedTensors tensors;
  /// Those whose bytes were not read: not asked for, or of a type that cannot be read.
  std::vector<SafetensorsEntry> unread;
  std::map<std::string, std::string> metadata;
};

/// Metadata of this name: a checksum of the whole file, which save_safetensors() writes if it is
/// asked to, and which is verified wherever all tensors are read; others pass over it.
constexpr const char* kSafetensorsChecksum = "cks.checksum";

/// Whether a tensor's bytes are to be read. Empty: those of all that can be.
using SafetensorsWanted = std::function<bool(const std::string& name)>;

/// Reads a file: its header, and the bytes of the tensors that are wanted; the others cost neither
/// time nor memory. Throws IoError, naming the file and the byte or key, unless every byte of it is
/// accounted for: a header of at most 100 MB and of the right form, no name twice, known dtypes,
/// offsets that follow each other without gap or overlap to the end of the file, and shapes that
/// agree with them; or if a tensor that `wanted` names is of a type that cannot be read, or the
/// file has a checksum, none of its tensors is left out, and its bytes are others.
SafetensorsFile load_safetensors(const std::string& path, const SafetensorsWanted& wanted = {});

/// The same from memory; `name` stands for the path in messages.
SafetensorsFile parse_safetensors(std::string_view bytes, const std::string& name,
                                  const SafetensorsWanted& wanted = {});

/// Writes a file, atomically (see AtomicFile): larger element types first, so that every tensor is
/// aligned, otherwise in the order given. The same tensors give the same bytes. Metadata named
/// kSafetensorsChecksum, whatever its value, becomes the checksum.
/// Throws IoError if the file cannot be written; Error if a tensor is undefined or a name is given
/// twice, is "__metadata__", or is not UTF-8.
void save_safetensors(const std::string& path, const NamedTensors& tensors,
                      const std::map<std::string, std::string>& metadata = {});

}  // namespace cks
