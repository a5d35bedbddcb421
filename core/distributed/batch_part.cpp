#include "cks/core/distributed/batch_part.h"

namespace cks {
namespace {

thread_local BatchPart thread_part;

}  // namespace

BatchPartScope::BatchPartScope(const BatchPart& part) : before_(thread_part) { thread_part = part; }
BatchPartScope::~BatchPartScope() { thread_part = before_; }

const BatchPart& current_batch_part() { return thread_part; }

}  // namespace cks
