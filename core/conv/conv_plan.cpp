#include "cks/core/conv/conv_plan.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cks/core/conv/conv_tuning.h"
#include "cks/core/device/cuda.h"
#include "cks/core/error.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"

namespace cks {
namespace {

using kernels::Conv2dPass;
using kernels::kConv2dPasses;

/// "a, b and c".
std::string joined(std::vector<std::string> names) {
  const std::string last = std::move(names.back());
  names.pop_back();
  return names.empty() ? last : list_text(names) + " and " + last;
}

void require_known(Conv2dPass pass, const std::string& name) {
  const std::vector<std::string> known = kernels::plan_names(pass);
  if (!name.empty() && !contains(known, name)) {
    throw PlanError(formatted("conv2d: no algorithm \"{}\" for the pass {}; possible are {}", name,
                              pass, joined(known)));
  }
}

Conv2dPass parse_pass(const std::string& name, const std::string& text) {
  for (const Conv2dPass pass : kConv2dPasses) {
    if (name == kernels::name_of(pass)) {
      return pass;
    }
  }
  throw PlanError(formatted(
      "conv2d: unknown pass \"{}\" in the plan \"{}\"; possible are {}, as in forward=reference",
      name, text, list_text(kConv2dPasses)));
}

const ConvPlanNames& names_of_environment() {
  // Never destroyed, as a detached thread may convolve while the process ends.
  static const auto& names = *new ConvPlanNames([] {
    const char* text = std::getenv("CKS_CONV_PLAN");
    return text == nullptr ? ConvPlanNames{} : parse_conv_plan_names(text);
  }());
  return names;
}

ConvPlanNames& names_of_thread() {
  thread_local ConvPlanNames names;
  return names;
}

/// The compute capability that plans may use at most.
int most_capability() {
  const char* const text = std::getenv("CKS_COMPUTE_CAPABILITY");
  if (text == nullptr) {
    return std::numeric_limits<int>::max();
  }
  int most = 0;
  const char* const end = text + std::strlen(text);
  const auto [rest, error] = std::from_chars(text, end, most);
  if (error != std::errc() || rest != end || most < 75) {
    throw DeviceError(formatted(
        "CKS_COMPUTE_CAPABILITY is \"{}\", not a compute capability such as 75, 80 or 90", text));
  }
  return most;
}

struct Question {
  Conv2dPass pass;
  Device device;
  kernels::Conv2dProblem problem;
  std::string forced;
  std::uint64_t tuning;  // conv_tuning_number()
  friend bool operator==(const Question&, const Question&) = default;
};

struct QuestionHash {
  std::size_t operator()(const Question& q) const {
    const kernels::Conv2dProblem& p = q.problem;
    std::size_t hash = static_cast<std::size_t>(q.pass);
    for (const std::int64_t value : {p.N, p.IH, p.IW, p.IC, p.OC, p.FH, p.FW, p.OH, p.OW, p.G}) {
      hash = hash * 1099511628211U + static_cast<std::size_t>(value);
    }
    return hash;
  }
};

kernels::PreparedConv2d prepare(const Question& q) {
  const kernels::DeviceDescription device = describe_for_plans(q.device);
  const auto choose = [&] {
    if (!q.forced.empty()) {
      return kernels::force_plan(q.forced, q.pass, q.problem, device);
    }
    std::optional<kernels::Conv2dPlan> tuned = tuned_plan(q.pass, q.problem, q.device);
    return tuned ? *std::move(tuned) : kernels::select(q.pass, q.problem, device);
  };
  return kernels::prepare_conv2d(q.problem, choose(), device);
}

}  // namespace

kernels::DeviceDescription describe_for_plans(Device device) {
  static const kernels::DeviceDescription cpu = kernels::describe_cpu();
  if (device.is_cpu()) {
    return cpu;
  }
  const int most = most_capability();
  const CudaDeviceInfo& info = known_cuda_device(device);
  return {.is_cuda = true,
          .compute_capability = std::min(info.compute_capability, most),
          .multiprocessors = info.multiprocessors};
}

ConvPlanNames parse_conv_plan_names(const std::string& text) {
  ConvPlanNames names;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(item.size() < rest.size() ? item.size() + 1 : item.size());
    const std::size_t equals = item.find('=');
    const Conv2dPass pass = parse_pass(std::string(item.substr(0, equals)), text);
    names[pass] = equals == std::string_view::npos ? "" : item.substr(equals + 1);
    if (names[pass].empty()) {
      throw PlanError(
          formatted("conv2d: the plan \"{}\" names no algorithm for the pass {}", text, pass));
    }
    require_known(pass, names[pass]);
  }
  return names;
}

ConvPlanScope::ConvPlanScope(const ConvPlanNames& names)
    : ScopedValue(names_of_thread(), names_of_thread()) {
  for (const Conv2dPass pass : kConv2dPasses) {
    require_known(pass, names[pass]);
    if (!names[pass].empty()) {
      names_of_thread()[pass] = names[pass];
    }
  }
}

const kernels::PreparedConv2d& prepared_conv(Conv2dPass pass, const kernels::Conv2dProblem& problem,
                                             Device device, bool may_be_forced) {
  constexpr std::size_t kMostAnswers = 4096;
  thread_local std::unordered_map<Question, kernels::PreparedConv2d, QuestionHash> answers;
  Question question{pass, device, problem, {}, conv_tuning_number()};
  if (may_be_forced) {
    const std::string& inner = names_of_thread()[pass];
    question.forced = inner.empty() ? names_of_environment()[pass] : inner;
  }
  if (const auto found = answers.find(question); found != answers.end()) {
    return found->second;
  }
  if (answers.size() >= kMostAnswers) {
    answers.clear();
  }
  kernels::PreparedConv2d prepared = prepare(question);
  return answers.emplace(std::move(question), std::move(prepared)).first->second;
}

}  // namespace cks
