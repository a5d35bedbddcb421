#include "cks/core/tensor/grad_mode.h"

#include <utility>

namespace cks {
namespace {

thread_local bool recording_enabled = true;

}  // namespace

bool grad_enabled() { return recording_enabled; }

GradMode::GradMode(bool enabled) : before_(std::exchange(recording_enabled, enabled)) {}

GradMode::~GradMode() { recording_enabled = before_; }

}  // namespace cks
