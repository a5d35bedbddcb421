#include "cks/core/conv/conv_plan.h"

#include <cstdlib>
#include <map>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "cks/core/device/cuda.h"
#include "cks/core/device/dispatch.h"
#include "cks/core/error.h"

namespace cks {
namespace {

using kernels::Conv2dAlgorithm;
using kernels::Conv2dPass;

constexpr std::array kPasses = {Conv2dPass::forward, Conv2dPass::backward_data,
                                Conv2dPass::backward_filter};

/// The algorithm made for a pass; the other one that computes it is the reference.
Conv2dAlgorithm algorithm_of(Conv2dPass pass) {
  switch (pass) {
    case Conv2dPass::forward:
      return Conv2dAlgorithm::convv2;
    case Conv2dPass::backward_data:
      return Conv2dAlgorithm::ks_deconv;
    case Conv2dPass::backward_filter:
      break;
  }
  return Conv2dAlgorithm::sk_dilated;
}

void require_known(Conv2dPass pass, const std::string& name) {
  const char* own = kernels::name_of(algorithm_of(pass));
  const char* reference = kernels::name_of(Conv2dAlgorithm::reference);
  if (!name.empty() && name != own && name != reference) {
    throw PlanError(std::string("conv2d: no algorithm \"") + name + "\" for the pass " +
                    kernels::name_of(pass) + "; possible are " + own + " and " + reference);
  }
}

Conv2dPass parse_pass(const std::string& name, const std::string& text) {
  std::string possible;
  for (const Conv2dPass pass : kPasses) {
    if (name == kernels::name_of(pass)) {
      return pass;
    }
    possible += possible.empty() ? "" : ", ";
    possible += kernels::name_of(pass);
  }
  throw PlanError("conv2d: unknown pass \"" + name + "\" in the plan \"" + text +
                  "\"; possible are " + possible + ", as in forward=reference");
}

const ConvPlanNames& names_of_environment() {
  static const ConvPlanNames names = [] {
    const char* text = std::getenv("CKS_CONV_PLAN");
    return text == nullptr ? ConvPlanNames{} : parse_conv_plan_names(text);
  }();
  return names;
}

ConvPlanNames& names_of_thread() {
  thread_local ConvPlanNames names;
  return names;
}

/// A question that select() has answered before.
struct Question {
  Conv2dPass pass;
  Device device;
  kernels::Conv2dProblem problem;
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

/// Weighing the plans of a GPU takes longer than some of its convolutions: a training step asks the
/// same questions again and again.
const kernels::Conv2dPlan& selected_plan(const Question& question,
                                         const kernels::DeviceDescription& description) {
  constexpr std::size_t kMostAnswers = 4096;
  thread_local std::unordered_map<Question, kernels::Conv2dPlan, QuestionHash> answers;
  if (const auto found = answers.find(question); found != answers.end()) {
    return found->second;
  }
  if (answers.size() >= kMostAnswers) {
    answers.clear();
  }
  kernels::Conv2dPlan plan = kernels::select(question.pass, question.problem, description);
  return answers.emplace(question, std::move(plan)).first->second;
}

}  // namespace

kernels::DeviceDescription describe_for_plans(Device device) {
  static const kernels::DeviceDescription cpu = kernels::describe_cpu();
  if (device.is_cpu()) {
    return cpu;
  }
  ops::require_compiled(device);
  static std::mutex mutex;
  static std::map<int, kernels::DeviceDescription> known;
  const std::lock_guard lock(mutex);
  const auto [entry, is_new] = known.try_emplace(device.index);
  if (is_new) {
    const CudaDeviceInfo info = cuda_device_info(device);
    entry->second.is_cuda = true;
    entry->second.compute_capability = info.compute_capability;
    entry->second.multiprocessors = info.multiprocessors;
  }
  return entry->second;
}

ConvPlanNames parse_conv_plan_names(const std::string& text) {
  ConvPlanNames names;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(item.size() < rest.size() ? item.size() + 1 : item.size());
    const std::size_t equals = item.find('=');
    const Conv2dPass pass = parse_pass(std::string(item.substr(0, equals)), text);
    if (equals != std::string_view::npos) {
      names[pass] = item.substr(equals + 1);
    }
    if (names[pass].empty()) {
      throw PlanError("conv2d: the plan \"" + text + "\" names no algorithm for the pass " +
                      kernels::name_of(pass));
    }
    require_known(pass, names[pass]);
  }
  return names;
}

ConvPlanScope::ConvPlanScope(const ConvPlanNames& names) : before_(names_of_thread()) {
  for (const Conv2dPass pass : kPasses) {
    require_known(pass, names[pass]);
  }
  for (const Conv2dPass pass : kPasses) {
    if (!names[pass].empty()) {
      names_of_thread()[pass] = names[pass];
    }
  }
}

ConvPlanScope::~ConvPlanScope() { names_of_thread() = before_; }

kernels::Conv2dPlan choose_conv_plan(Conv2dPass pass, const kernels::Conv2dProblem& problem,
                                     Device device) {
  const kernels::DeviceDescription description = describe_for_plans(device);
  const std::string& inner = names_of_thread()[pass];
  const std::string& forced = inner.empty() ? names_of_environment()[pass] : inner;
  return forced.empty() ? selected_plan({pass, device, problem}, description)
                        : kernels::force_plan(forced, pass, problem, description);
}

}  // namespace cks
