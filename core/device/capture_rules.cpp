#include "cks/core/device/capture_rules.h"

#include "cks/core/error.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::capture {
namespace {

thread_local Notes* current_notes = nullptr;

}  // namespace

NotesScope::NotesScope(Notes* notes) : ScopedValue(current_notes, notes) {}

bool active() { return current_notes != nullptr; }

void forbid(const char* operation) {
  if (active()) {
    throw CaptureError(
        formatted("{}: not allowed inside a captured step, which cannot read values or draw "
                  "random numbers on the host; do it before or after run()",
                  operation));
  }
}

void note_result(const char* operation, const Shape& shape, Device device) {
  if (active()) {
    current_notes->add_result(operation, shape, device);
  }
}

void note_write(const std::shared_ptr<Storage>& storage) {
  if (active()) {
    current_notes->add_write(storage);
  }
}

}  // namespace cks::capture
