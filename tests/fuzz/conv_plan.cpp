// Reads the text of --conv-plan and CKS_CONV_PLAN: parse_conv_plan_names().
// Dictionary: conv_plan
// Covers: core/conv/conv_plan.cpp:parse_conv_plan_names|parse_pass|require_known
#include "cks/core/conv/conv_plan.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(cks::fuzz::text_of(data, size));
  cks::fuzz::takes([&] {
    const cks::ConvPlanNames names = cks::parse_conv_plan_names(text);
    const cks::ConvPlanScope scope(names);
    std::string again;
    for (const auto pass : cks::kernels::kConv2dPasses) {
      again += names[pass].empty()
                   ? ""
                   : (again.empty() ? "" : ",") + std::string(cks::kernels::name_of(pass)) + "=" +
                         names[pass];
    }
    cks::fuzz::require(again.empty() || cks::parse_conv_plan_names(again).of_pass == names.of_pass);
  });
  return 0;
}
