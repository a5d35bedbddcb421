#include "cks/core/capture/capture.h"

#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "cks/config.h"
#include "cks/core/capture/step_graph_impl.h"
#include "cks/core/device/capture_rules.h"
#include "cks/core/device/dispatch.h"
#include "cks/core/error.h"
#include "cks/core/memory/storage.h"
#include "cks/core/tensor/shape.h"
#include "cks/kernels/common/formatted_impl.h"

// Captured steps, the same on every device. The CUDA graph is in capture_cuda.cpp.

namespace cks {
namespace {

/// The results of a step's first run, with which the later ones are compared.
class RecordedResults final : public capture::Notes {
 public:
  explicit RecordedResults(Device device) : device_(device) {}

  void add_result(const char* operation, const Shape& shape, Device device) override {
    if (!(device == device_)) {
      throw CaptureError(
          formatted("{}: a result on {} inside a step captured on {}; CapturedStep's constructor "
                    "takes the device",
                    operation, device, device_));
    }
    if (!complete) {
      results_.push_back({operation, shape});
      return;
    }
    if (next_ == results_.size()) {
      throw CaptureError(formatted(
          "{}: the recorded step ended after {} results, this run makes another one of shape {}",
          operation, results_.size(), shape));
    }
    const Result& expected = results_[next_];
    if (expected.operation != operation || !(expected.shape == shape)) {
      throw CaptureError(
          formatted("{}: result {} of the captured step has shape {}, recorded was {} with shape "
                    "{}; call reset() to record anew",
                    operation, next_, shape, expected.operation, expected.shape));
    }
    ++next_;
  }

  void add_write(const std::shared_ptr<Storage>& storage) override {
    if (complete && device_.is_cuda()) {
      written.emplace_back(storage);
    }
  }

  /// Calls the body, once, under the rules.
  void call(const std::function<void()>& body) {
    next_ = 0;
    written.clear();
    if (!complete) {
      results_.clear();  // of a first run that threw
    }
    {
      const capture::NotesScope scope(this);
      body();
    }
    if (complete && next_ != results_.size()) {
      throw CaptureError(
          formatted("captured step: made {} results, the recorded step made {}; the first missing "
                    "one is {}'s",
                    next_, results_.size(), results_[next_].operation));
    }
  }

  /// One of each storage written, without those that the body has dropped again.
  void keep_living() {
    std::unordered_set<const Storage*> seen;
    std::erase_if(written, [&](const std::weak_ptr<Storage>& storage) {
      return storage.expired() || !seen.insert(storage.lock().get()).second;
    });
  }

  bool complete = false;  // the first run has ended: from now on results are compared
  std::vector<std::weak_ptr<Storage>> written;  // by the run that is under way

 private:
  struct Result {
    std::string operation;
    Shape shape;
  };
  Device device_;
  std::vector<Result> results_;
  std::size_t next_ = 0;  // result that a repetition comes to next
};

}  // namespace

struct CapturedStep::Recording {
  RecordedResults steps;
  std::unique_ptr<StepGraph> graph;  // null on the CPU

  explicit Recording(Device device) : steps(device) {
#if CKS_HAS_CUDA
    if (device.is_cuda()) {
      graph = make_step_graph(device);
    }
#endif
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
  const auto call = [&] { steps.call(body_); };
  if (graph == nullptr) {
    call();
  } else if (!steps.complete) {
    graph->run_eagerly(call);
  } else {
    graph->record(call);
    steps.keep_living();
  }
  steps.complete = true;
}

}  // namespace cks
