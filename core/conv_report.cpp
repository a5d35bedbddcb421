#include "cks/core/conv_report.h"

namespace cks {
namespace {

thread_local ConvRecorder* innermost = nullptr;

bool same_plan(const kernels::Conv2dPlan& a, const kernels::Conv2dPlan& b) {
  return a.algorithm == b.algorithm && a.tile_rows == b.tile_rows && a.tile_lanes == b.tile_lanes &&
         a.granule == b.granule && a.slices == b.slices;
}

}  // namespace

ConvRecorder::ConvRecorder() : outer_(innermost) { innermost = this; }

ConvRecorder::~ConvRecorder() { innermost = outer_; }

void ConvRecorder::add(const ConvRecord& call) {
  for (ConvRecord& record : records_) {
    if (record.pass == call.pass && record.problem == call.problem &&
        record.module_path == call.module_path && same_plan(record.plan, call.plan)) {
      record.calls += call.calls;
      record.executed += call.executed;
      record.exact += call.exact;
      record.plain += call.plain;
      record.seconds += call.seconds;
      return;
    }
  }
  records_.push_back(call);
}

bool convolutions_are_recorded() { return innermost != nullptr; }

void report_convolution(const ConvRecord& call) {
  for (ConvRecorder* recorder = innermost; recorder != nullptr; recorder = recorder->outer_) {
    recorder->add(call);
  }
}

}  // namespace cks
