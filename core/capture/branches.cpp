#include <utility>

#include "cks/core/capture/branches_impl.h"
#include "cks/core/error.h"

namespace cks {
namespace {

thread_local SideStreams* current_side_streams = nullptr;

}  // namespace

Branches::Branches() : side_(current_side_streams) { join_postponed_branches(); }

Branches::~Branches() {
  try {
    join();
  } catch (const Error&) {
    // The recording has failed, which is being reported.
  }
}

void Branches::join() {
  if (std::exchange(used_, 0) > 0) {
    side_->join();
  }
}

void Branches::postpone_join(std::vector<Tensor> used) {
  if (std::exchange(used_, 0) > 0) {
    side_->postpone_join(std::move(used));
  }
}

void join_postponed_branches() {
  if (current_side_streams != nullptr) {
    current_side_streams->join_postponed();
  }
}

std::uint64_t postponed_branches() {
  return current_side_streams == nullptr ? 0 : current_side_streams->postponed();
}

SideStreamsScope::SideStreamsScope(SideStreams* side) : ScopedValue(current_side_streams, side) {}

}  // namespace cks
