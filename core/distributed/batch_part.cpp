#include "cks/core/distributed/batch_part.h"

namespace cks {
namespace {

thread_local BatchPart thread_part;

}  // namespace

BatchPartScope::BatchPartScope(const BatchPart& part) : ScopedValue(thread_part, part) {}

const BatchPart& current_batch_part() { return thread_part; }

}  // namespace cks
