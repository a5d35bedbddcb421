#include "cks/core/conv/conv_report.h"

#include <algorithm>
#include <cmath>

#include "cks/core/ops/common.h"

namespace cks {
namespace {

thread_local ConvRecorder* innermost = nullptr;

bool same_plan(const kernels::Conv2dPlan& a, const kernels::Conv2dPlan& b) {
  return a.algorithm == b.algorithm && a.tile_rows == b.tile_rows && a.tile_lanes == b.tile_lanes &&
         a.granule == b.granule && a.slices == b.slices;
}

bool same_convolution(const ConvRecord& a, const ConvRecord& b) {
  return a.pass == b.pass && a.problem == b.problem && a.module_path == b.module_path &&
         same_plan(a.plan, b.plan);
}

}  // namespace

void ConvRecord::add(const ConvRecord& other) {
  calls += other.calls;
  executed += other.executed;
  exact += other.exact;
  plain += other.plain;
  seconds += other.seconds;
  if (other.error && (!error || !(*other.error <= *error))) {  // keeps a NaN
    error = std::isnan(error.value_or(0.0)) ? error : other.error;
  }
}

double relative_error(const Tensor& result, const Tensor& expected) {
  constexpr const char* kOperation = "relative_error";
  ops::require_defined(kOperation, {{"result", result}, {"expected", expected}});
  ops::require_dtype(kOperation, {"result", result}, expected.dtype());
  ops::require_shape(kOperation, {"result", result}, expected.shape());
  return visit_real(kOperation, expected.dtype(), [&]<class T>(T) {
    const std::vector<T> computed = result.to_vector<T>();
    const std::vector<T> exact = expected.to_vector<T>();
    double greatest = 0.0;
    double difference = 0.0;
    for (std::size_t i = 0; i < exact.size(); ++i) {
      const auto value = static_cast<double>(exact[i]);
      const double gap = std::fabs(static_cast<double>(computed[i]) - value);
      greatest = std::max(greatest, std::fabs(value));
      difference = gap <= difference || std::isnan(difference) ? difference : gap;
    }
    return difference == 0.0 ? 0.0 : difference / greatest;
  });
}

ConvRecorder::ConvRecorder(const ConvRecorderOptions& options)
    : options_(options), outer_(innermost) {
  innermost = this;
}

ConvRecorder::~ConvRecorder() { innermost = outer_; }

void ConvRecorder::add(const ConvRecord& call) {
  for (ConvRecord& record : records_) {
    if (same_convolution(record, call)) {
      record.add(call);
      return;
    }
  }
  records_.push_back(call);
}

bool convolutions_are_recorded() { return innermost != nullptr; }

bool convolution_needs_check(const ConvRecord& call) {
  for (const ConvRecorder* recorder = innermost; recorder != nullptr; recorder = recorder->outer_) {
    const auto checked = [&](const ConvRecord& record) {
      return record.error && same_convolution(record, call);
    };
    if (recorder->options_.check && std::ranges::none_of(recorder->records_, checked)) {
      return true;
    }
  }
  return false;
}

void report_convolution(const ConvRecord& call) {
  for (ConvRecorder* recorder = innermost; recorder != nullptr; recorder = recorder->outer_) {
    recorder->add(call);
  }
}

}  // namespace cks
