#pragma once
#include <cstdint>

#include "cks/core/scoped_value.h"

namespace cks {

class Communicator;

/// What a forward pass works on, where several ranks share a batch.
struct BatchPart {
  std::int64_t first = 0;  // rows of the whole batch before this rank's
  /// Batch normalisation takes its statistics from the batches of all of these; null: from its own.
  Communicator* statistics = nullptr;
};

/// Says so to the operations of this thread until the end of the scope; a node remembers it for
/// backward.
class BatchPartScope : ScopedValue<BatchPart> {
 public:
  explicit BatchPartScope(const BatchPart& part);
};
const BatchPart& current_batch_part();  // of this thread

}  // namespace cks
