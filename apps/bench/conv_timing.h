#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/bench/conv_shapes.h"
#include "apps/bench/cudnn_conv.h"
#include "cks/core/capture/call_timer.h"
#include "cks/core/conv/conv_operands_impl.h"
#include "cks/kernels/conv2d/plan.h"

namespace cks::apps {

/// What to measure of a convolution.
struct ConvTimingOptions {
  std::string pass = "all";
  std::string algorithm = "selected";  // or "all", or a name
  Precision mode = Precision::fp32;
  Device device{};
  double seconds = 1.0;           // of each plan
  bool check = false;             // against the float64 reference
  std::string values = "signed";  // of the operands: or "positive"
  bool cudnn = false;
};

/// One plan of one pass.
struct ConvTimingRow {
  std::string name;
  kernels::Conv2dPlan plan;
  CallTimes times{};
  std::int64_t plain = 0;  // multiply-adds, as in ConvRecord
  std::int64_t exact = 0;
  std::int64_t executed = 0;
  std::optional<double> error{};      // greatest, relative to the reference's greatest magnitude
  std::optional<double> l2_error{};   // relative to the reference's L2 norm
  std::optional<CudnnTimes> cudnn{};  // with the first plan of a pass only, where cuDNN was asked
};

/// One convolution with everything that is needed to time it again and again.
class ConvTiming {
 public:
  /// Throws PlanError for an algorithm that no pass of the shape has; needs no memory and no device
  /// yet.
  ConvTiming(const NamedShape& shape, const ConvTimingOptions& options);
  ~ConvTiming();
  ConvTiming(const ConvTiming&) = delete;
  ConvTiming& operator=(const ConvTiming&) = delete;

  /// Times each plan. The first time, makes the operands.
  std::vector<ConvTimingRow> run();
  const std::string& name() const { return shape_.name; }

 private:
  struct PlanBench;

  NamedShape shape_;
  ConvTimingOptions options_;
  std::vector<kernels::Conv2dPlan> plans_;
  std::unique_ptr<ConvOperands> operands_;
  std::vector<std::unique_ptr<PlanBench>> benches_;  // of the plans, once they have run
};

}  // namespace cks::apps
