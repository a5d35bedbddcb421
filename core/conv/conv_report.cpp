#include "cks/core/conv/conv_report.h"

#include <algorithm>
#include <cmath>

#include "cks/core/conv/conv_plan.h"
#include "cks/core/ops/output.h"
#include "cks/core/profile/device_timer.h"
#include "cks/core/profile/module_path.h"
#include "cks/kernels/common/lists_impl.h"

namespace cks {
namespace {

thread_local ConvRecorder* innermost = nullptr;

bool same_convolution(const ConvRecord& a, const ConvRecord& b) {
  return a.pass == b.pass && a.problem == b.problem && a.module_path == b.module_path &&
         kernels::same_plan(a.plan, b.plan);
}

/// The error of a plan's result, which is the reference's afterwards.
double measure_error(const char* operation, const kernels::PreparedConv2d& conv,
                     const Tensor& result, void* workspace, const ConvLaunch& launch) {
  launch(conv, workspace);
  const Tensor computed = result.clone();
  const kernels::DeviceDescription device = describe_for_plans(result.device());
  const kernels::PreparedConv2d reference = kernels::prepare_conv2d(
      conv.problem, kernels::force_plan("reference", conv.plan.pass, conv.problem, device), device);
  const auto scratch =
      ops::make_workspace(operation, reference.plan.workspace_bytes, result.device());
  launch(reference, scratch->data());
  return relative_error(computed, result);
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

void add_record(std::vector<ConvRecord>& records, const ConvRecord& call) {
  for (ConvRecord& record : records) {
    if (same_convolution(record, call)) {
      record.add(call);
      return;
    }
  }
  records.push_back(call);
}

bool convolutions_are_recorded() { return innermost != nullptr; }

bool ConvRecorder::lacks_error_of(const ConvRecord& call) const {
  return options_.check && !any_of(records_, [&](const ConvRecord& record) {
           return record.error && same_convolution(record, call);
         });
}

void run_recorded(const char* operation, const kernels::PreparedConv2d& conv, const Tensor& result,
                  void* workspace, const ConvLaunch& launch) {
  const Device device = result.device();
  ConvRecord call{.module_path = current_module_path(),
                  .pass = conv.plan.pass,
                  .problem = conv.problem,
                  .plan = conv.plan,
                  .calls = 1,
                  .exact = kernels::exact_multiply_adds(conv.problem),
                  .plain = kernels::plain_multiply_adds(conv.plan.pass, conv.problem)};
  bool check = false;
  for (const ConvRecorder* r = innermost; r != nullptr; r = r->outer_) {
    check = check || r->lacks_error_of(call);
  }
  if (check && !capture::active()) {
    call.error = measure_error(operation, conv, result, workspace, launch);
  }
  if (!device.is_cpu() && capture::active()) {
    call.executed = launch(conv, workspace);  // recorded, not run yet
  } else {
    if (!device.is_cpu()) {
      launch(conv, workspace);  // keeps the device busy until the timed one is queued
    }
    DeviceTimer timer(device);
    timer.start();
    call.executed = launch(conv, workspace);
    timer.stop();
    call.seconds = timer.seconds();
  }
  for (ConvRecorder* recorder = innermost; recorder != nullptr; recorder = recorder->outer_) {
    add_record(recorder->records_, call);
  }
}

}  // namespace cks
