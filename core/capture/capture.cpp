#include "cks/core/capture/capture.h"

#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "cks/config.h"
#include "cks/core/capture/capture_impl.h"
#include "cks/core/memory/storage.h"
#include "cks/core/ops/common.h"

// The rules of captured steps, the same on every device. The CUDA graph is in capture_cuda.cpp.

namespace cks {
namespace {

struct RecordedResults {
  struct Result {
    std::string operation;
    Shape shape;
  };
  Device device;
  std::vector<Result> results;
  std::size_t next = 0;   // result that a repetition comes to next
  bool complete = false;  // the first run has ended: from now on results are compared
  std::vector<std::weak_ptr<Storage>> written;  // by the run that is under way
};

thread_local RecordedResults* current_recording = nullptr;
thread_local SideStreams* current_side_streams = nullptr;

/// One of each, without those that the body has dropped again.
void keep_living(std::vector<std::weak_ptr<Storage>>& storages) {
  std::unordered_set<const Storage*> seen;
  std::erase_if(storages, [&](const std::weak_ptr<Storage>& storage) {
    return storage.expired() || !seen.insert(storage.lock().get()).second;
  });
}

}  // namespace

struct CapturedStep::Recording {
  RecordedResults steps;
  std::unique_ptr<StepGraph> graph;  // null on the CPU

  explicit Recording(Device device) {
    steps.device = device;
#if CKS_HAS_CUDA
    if (device.is_cuda()) {
      graph = make_step_graph(device);
    }
#endif
  }

  /// Calls the body, once, under the rules.
  void call(const std::function<void()>& body) {
    struct Scope {
      explicit Scope(RecordedResults* recording) { current_recording = recording; }
      ~Scope() { current_recording = nullptr; }
    };
    steps.next = 0;
    steps.written.clear();
    if (!steps.complete) {
      steps.results.clear();  // of a first run that threw
    }
    {
      const Scope scope(&steps);
      body();
    }
    if (steps.complete && steps.next != steps.results.size()) {
      throw CaptureError("captured step: made " + std::to_string(steps.next) +
                         " results, the recorded step made " +
                         std::to_string(steps.results.size()) + "; the first missing one is " +
                         steps.results[steps.next].operation + "'s");
    }
  }
};

CapturedStep::CapturedStep(std::function<void()> body, Device device)
    : body_(std::move(body)), device_(device) {
  if (!body_) {
    throw Error("CapturedStep: body is empty, expected a function");
  }
  ops::require_compiled(device);
  recording_ = std::make_unique<Recording>(device);
}

CapturedStep::~CapturedStep() = default;

void CapturedStep::reset() {
  capture::forbid("CapturedStep::reset");
  recording_.reset();  // its memory is free before the next recording begins
  recording_ = std::make_unique<Recording>(device_);
}

bool CapturedStep::recorded() const {
  return recording_->graph != nullptr && recording_->graph->recorded();
}

void CapturedStep::run() {
  if (capture::active()) {
    throw CaptureError("CapturedStep::run: called inside another captured step");
  }
  RecordedResults& steps = recording_->steps;
  StepGraph* graph = recording_->graph.get();
  if (recorded()) {
    graph->launch();
    for (const std::weak_ptr<Storage>& written : steps.written) {
      if (const auto storage = written.lock()) {
        storage->bump_version();
      }
    }
    return;
  }
  const auto call = [&] { recording_->call(body_); };
  if (graph == nullptr) {
    call();
  } else if (!steps.complete) {
    graph->run_eagerly(call);
  } else {
    graph->record(call);
    keep_living(steps.written);
  }
  steps.complete = true;
}

Branches::Branches() : side_(current_side_streams) {}

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

SideStreamsScope::SideStreamsScope(SideStreams* side) { current_side_streams = side; }
SideStreamsScope::~SideStreamsScope() { current_side_streams = nullptr; }

namespace capture {

bool active() { return current_recording != nullptr; }

void forbid(const char* operation) {
  if (active()) {
    throw CaptureError(std::string(operation) +
                       ": not allowed inside a captured step, which cannot read values or draw "
                       "random numbers on the host; do it before or after run()");
  }
}

void note_result(const char* operation, const Shape& shape, Device device) {
  RecordedResults* recording = current_recording;
  if (recording == nullptr) {
    return;
  }
  if (!(device == recording->device)) {
    throw CaptureError(std::string(operation) + ": a result on " + device.to_string() +
                       " inside a step captured on " + recording->device.to_string() +
                       "; CapturedStep's constructor takes the device");
  }
  if (!recording->complete) {
    recording->results.push_back({operation, shape});
    return;
  }
  if (recording->next == recording->results.size()) {
    throw CaptureError(std::string(operation) + ": the recorded step ended after " +
                       std::to_string(recording->results.size()) +
                       " results, this run makes another one of shape " + shape.to_string());
  }
  const auto& expected = recording->results[recording->next];
  if (expected.operation != operation || !(expected.shape == shape)) {
    throw CaptureError(std::string(operation) + ": result " + std::to_string(recording->next) +
                       " of the captured step has shape " + shape.to_string() + ", recorded was " +
                       expected.operation + " with shape " + expected.shape.to_string() +
                       "; call reset() to record anew");
  }
  ++recording->next;
}

void note_write(const std::shared_ptr<Storage>& storage) {
  if (current_recording != nullptr && current_recording->complete &&
      current_recording->device.is_cuda()) {
    current_recording->written.emplace_back(storage);
  }
}

}  // namespace capture
}  // namespace cks
