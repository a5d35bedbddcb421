#include "cks/core/capture.h"

#include <string>
#include <utility>
#include <vector>

#include "cks/core/error.h"

namespace cks {
namespace {

struct RecordedResults {
  struct Result {
    std::string operation;
    Shape shape;
  };
  std::vector<Result> results;
  std::size_t next = 0;   // result that a repetition comes to next
  bool complete = false;  // the first run has ended: from now on results are compared
};

thread_local RecordedResults* current_recording = nullptr;

}  // namespace

struct CapturedStep::Recording {
  RecordedResults steps;
};

CapturedStep::CapturedStep(std::function<void()> body)
    : body_(std::move(body)), recording_(std::make_unique<Recording>()) {
  if (!body_) {
    throw Error("CapturedStep: body is empty, expected a function");
  }
}

CapturedStep::~CapturedStep() = default;

void CapturedStep::reset() { *recording_ = {}; }

void CapturedStep::run() {
  if (capture::active()) {
    throw CaptureError("CapturedStep::run: called inside another captured step");
  }
  struct Scope {
    explicit Scope(RecordedResults* recording) { current_recording = recording; }
    ~Scope() { current_recording = nullptr; }
  };
  RecordedResults& recording = recording_->steps;
  recording.next = 0;
  if (!recording.complete) {
    recording.results.clear();  // of a first run that threw
  }
  {
    const Scope scope(&recording);
    body_();
  }
  if (recording.complete && recording.next != recording.results.size()) {
    throw CaptureError("captured step: made " + std::to_string(recording.next) +
                       " results, the recorded step made " +
                       std::to_string(recording.results.size()) + "; the first missing one is " +
                       recording.results[recording.next].operation + "'s");
  }
  recording.complete = true;
}

namespace capture {

bool active() { return current_recording != nullptr; }

void forbid(const char* operation) {
  if (active()) {
    throw CaptureError(std::string(operation) +
                       ": not allowed inside a captured step, which cannot read values or draw "
                       "random numbers on the host; do it before or after run()");
  }
}

void note_result(const char* operation, const Shape& shape) {
  RecordedResults* recording = current_recording;
  if (recording == nullptr) {
    return;
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

}  // namespace capture
}  // namespace cks
