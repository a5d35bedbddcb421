#pragma once
#include <any>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cks/core/autograd/autograd.h"
#include "cks/core/scoped_value.h"

namespace cks {

/// One operation of a forward pass that is read rather than run backward.
struct TracedOperation {
  struct Input {
    Tensor tensor;                  // undefined: an argument that was left out
    std::shared_ptr<Node> made_by;  // null: a leaf
    std::uint64_t version = 0;      // of its elements
  };

  std::shared_ptr<Node> node;
  std::string module_path;
  std::vector<Input> inputs;  // in record()'s order
  Shape shape;                // of the result
  DType dtype = DType::float32;
  std::any options;  // what note_options() said; most often the operation's own options struct
};

/// Notes what record() puts on this thread's tape, until the end of the scope.
class Trace : ScopedValue<Trace*> {
 public:
  Trace();

  static Trace* current();  // of this thread; null: nothing is traced

  std::vector<TracedOperation> operations;
  std::any options;  // of the operation that is recorded next
};

/// Says right before record() what an operation was told beside its inputs.
template <class Options>
void note_options(const Options& options) {
  if (Trace* const trace = Trace::current(); trace != nullptr) {
    trace->options = options;
  }
}

}  // namespace cks
