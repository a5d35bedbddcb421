#include "cks/core/tensor/grad_mode.h"

namespace cks {
namespace {

thread_local bool recording_enabled = true;

}  // namespace

bool grad_enabled() { return recording_enabled; }

GradMode::GradMode(bool enabled) : ScopedValue(recording_enabled, enabled) {}

}  // namespace cks
