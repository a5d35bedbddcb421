#pragma once
#include <array>
#include <string>

#include "cks/core/device/device.h"
#include "cks/core/scoped_value.h"
#include "cks/kernels/conv2d/conv2d.h"

namespace cks {

/// Names of the kernels, or of the methods, that the three passes must use, indexed by Conv2dPass;
/// an empty name leaves the choice to the selector.
struct ConvPlanNames {
  std::array<std::string, 3> of_pass;

  std::string& operator[](kernels::Conv2dPass pass) {
    return of_pass[static_cast<std::size_t>(pass)];
  }
  const std::string& operator[](kernels::Conv2dPass pass) const {
    return of_pass[static_cast<std::size_t>(pass)];
  }
};

/// Reads "forward=reference,backward_data=tiled,backward_filter=sk_dilated"; passes may be left
/// out. Throws PlanError, naming what is possible (kernels::plan_names), for an unknown pass or
/// name and for a kernel that does not compute the pass.
ConvPlanNames parse_conv_plan_names(const std::string& text);

/// Forces kernels on the convolutions of this thread until the end of the scope; passes that it
/// leaves empty keep what an outer scope, or else the environment variable CKS_CONV_PLAN (read
/// once, in the form of parse_conv_plan_names), says. A transposed convolution's forward pass is a
/// backward_data, and its input gradient a forward.
/// Throws PlanError as parse_conv_plan_names. A convolution whose problem the forced kernel does
/// not take throws PlanError naming those that do.
class ConvPlanScope : ScopedValue<ConvPlanNames> {
 public:
  explicit ConvPlanScope(const ConvPlanNames& names);
  explicit ConvPlanScope(const std::string& names) : ConvPlanScope(parse_conv_plan_names(names)) {}
};

/// What the selectors may know of a device; asked once for each. The environment variable
/// CKS_COMPUTE_CAPABILITY=80 hides the kernels of newer GPUs: plans are those for 8.0 wherever the
/// device has more. Throws DeviceError if it cannot be used, and if the variable is not such a
/// number.
kernels::DeviceDescription describe_for_plans(Device device);

/// The forced plan for a pass of a problem on a device, unless it may not be forced, or else the
/// one that ConvTuning knows, or else the selected one, ready to run. A training step asks the same
/// questions again and again: the thread remembers the answers, and a reference to one holds until
/// its next question.
const kernels::PreparedConv2d& prepared_conv(kernels::Conv2dPass pass,
                                             const kernels::Conv2dProblem& problem, Device device,
                                             bool may_be_forced = true);

}  // namespace cks
