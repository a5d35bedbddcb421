#include "cks/core/conv/conv_tuning.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <future>
#include <map>
#include <mutex>
#include <sstream>
#include <string_view>
#include <utility>

#include "cks/config.h"
#include "cks/core/capture/call_timer.h"
#include "cks/core/conv/conv_operands_impl.h"
#include "cks/core/conv/conv_plan.h"
#include "cks/core/error.h"
#include "cks/core/io/file.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"

#if CKS_HAS_CUDA
#  include "cks/kernels/common/stream.h"
#endif

namespace cks {
namespace {

using kernels::Conv2dPass;
using kernels::Conv2dPlan;
using kernels::Conv2dProblem;

constexpr std::string_view kTitle = "cks convolution plans ";
constexpr std::string_view kSeparator = " | ";
constexpr std::size_t kMostTrials = 12;    // the likeliest by cost
constexpr std::int64_t kTiny = 1'000'000;  // multiply-adds: here the reference may be the fastest
constexpr double kWorthIt = 0.97;          // of the first plan's time; above, timing is noise

std::string first_line() { return std::string(kTitle) + CKS_VERSION; }

/// What an answer depends on, in words.
std::string key_of(Conv2dPass pass, const Conv2dProblem& problem,
                   const kernels::DeviceDescription& device) {
  return formatted("{}{}{}{}{}{}",
                   device.is_cuda ? formatted("cuda {} with {} multiprocessors",
                                              device.compute_capability, device.multiprocessors)
                                  : formatted("cpu with vectors of {} bytes", device.simd_bytes),
                   kSeparator, pass, kSeparator, to_string(problem),
                   problem.is_aligned ? "" : " unaligned");
}

std::string text_of(const Conv2dPlan& plan) {
  return formatted("{} {} {} {} {} {} {}", plan.kernel, plan.arithmetic, plan.tile.rows,
                   plan.tile.columns, plan.split_k, plan.granule, plan.workspace_bytes);
}

std::optional<Conv2dPlan> parse_plan(Conv2dPass pass, std::string_view text) {
  Conv2dPlan plan{.pass = pass, .reason = "the fastest when tried"};
  std::istringstream words{std::string(text)};
  std::string arithmetic, rest;
  words >> plan.kernel >> arithmetic >> plan.tile.rows >> plan.tile.columns >> plan.split_k >>
      plan.granule >> plan.workspace_bytes;
  const auto* const named =
      std::find_if(std::begin(kernels::kArithmetics), std::end(kernels::kArithmetics),
                   [&](kernels::Arithmetic one) { return name_of(one) == arithmetic; });
  if (words.fail() || words >> rest || named == std::end(kernels::kArithmetics)) {
    return std::nullopt;
  }
  plan.arithmetic = *named;
  return plan;
}

/// Answers by their keys.
using Answers = std::map<std::string, std::string>;

/// The answers of a file; none if it does not exist or is of another version.
Answers read_answers(const std::string& file) {
  Answers answers;
  if (file.empty() || !std::filesystem::exists(file)) {
    return answers;
  }
  std::istringstream lines(read_file(file, std::uint64_t{1} << 26));
  std::string line;
  std::getline(lines, line);
  if (!line.starts_with(kTitle)) {
    throw PlanError(
        formatted("{}: line 1 is \"{}\", expected \"{}\"", file, line.substr(0, 80), first_line()));
  }
  if (line != first_line()) {
    return answers;
  }
  for (int number = 2; std::getline(lines, line); ++number) {
    const std::size_t last = line.rfind(kSeparator);
    if (last == std::string::npos ||
        !parse_plan({}, std::string_view(line).substr(last + kSeparator.size()))) {
      throw PlanError(formatted(
          "{}: line {} is \"{}\", expected device | pass | problem | kernel, arithmetic, rows, "
          "columns, split-K, granule and bytes of workspace",
          file, number, line.substr(0, 200)));
    }
    answers[line.substr(0, last)] = line.substr(last + kSeparator.size());
  }
  return answers;
}

/// Adds answers to what the file holds by now: other processes write to it as well.
void write_answers(const std::string& file, const Answers& answers) {
  Answers all = answers;
  all.merge(read_answers(file));
  std::string text = first_line() + "\n";
  for (const auto& [key, plan] : all) {
    text += formatted("{}{}{}\n", key, kSeparator, plan);
  }
  if (const auto folder = std::filesystem::path(file).parent_path(); !folder.empty()) {
    std::error_code ignored;  // writing says it
    std::filesystem::create_directories(folder, ignored);
  }
  write_file_atomically(file, text);
}

/// The plan that takes the least time.
Conv2dPlan fastest(const std::vector<Conv2dPlan>& plans, const Conv2dProblem& problem,
                   Device device) {
  const kernels::DeviceDescription description = describe_for_plans(device);
  const ConvOperands operands(problem, device);
  Conv2dPlan best = plans.front();
  double least = 0.0;
  for (const Conv2dPlan& plan : plans) {
    const kernels::PreparedConv2d conv = kernels::prepare_conv2d(problem, plan, description);
    Tensor result = operands.make_result(plan.pass, result_type(problem, plan.pass));
    Tensor workspace = make_workspace(plan, device);
    CallTimer timer(device, [&] { operands.run(conv, result, workspace); });
    const double time = timer.time(0.0).median_us;
    if (least == 0.0 || time < least * kWorthIt) {
      least = time;
      best = plan;
    }
  }
  best.reason = formatted("the fastest of {} when tried", plans.size());
  return best;
}

/// On a thread of its own, whose streams, pools and captured steps are not those of the caller.
Conv2dPlan try_elsewhere(const std::vector<Conv2dPlan>& plans, const Conv2dProblem& problem,
                         Device device) {
  try {
    return std::async(std::launch::async, [&] { return fastest(plans, problem, device); }).get();
  } catch (const OutOfMemoryError&) {
    return plans.front();  // the cost model's choice
  }
}

bool is_being_recorded([[maybe_unused]] Device device) {
#if CKS_HAS_CUDA
  if (device.is_cuda()) {
    return kernels::cuda::is_being_recorded(kernels::cuda::current_stream(device.index));
  }
#endif
  return false;
}

}  // namespace

struct ConvTuning::State {
  std::string file;
  Answers answers;
  std::mutex mutex;  // one trial at a time: they would disturb each other
  std::atomic<int> timed{0};
  std::atomic<int> found{0};
};

namespace {

/// What lives in the process.
struct Living {
  std::mutex mutex;
  std::shared_ptr<ConvTuning::State> state;
  std::uint64_t last = 0;
  std::atomic<std::uint64_t> number{0};
};

Living& living() {
  static auto& living = *new Living;  // never destroyed: a detached thread may convolve at the end
  return living;
}

}  // namespace

ConvTuning::ConvTuning(std::string file) : state_(std::make_shared<State>()) {
  state_->file = std::move(file);
  state_->answers = read_answers(state_->file);
  const std::lock_guard lock(living().mutex);
  if (living().state != nullptr) {
    throw Error("ConvTuning: another one lives, expected one at a time in a process");
  }
  living().state = state_;
  living().number = ++living().last;
}

ConvTuning::~ConvTuning() {
  const std::lock_guard lock(living().mutex);
  living().state = nullptr;
  living().number = 0;
}

int ConvTuning::timed() const { return state_->timed; }
int ConvTuning::found() const { return state_->found; }

std::uint64_t conv_tuning_number() { return living().number; }

std::optional<Conv2dPlan> tuned_plan(Conv2dPass pass, const Conv2dProblem& problem, Device device) {
  const std::shared_ptr<ConvTuning::State> state = [] {
    const std::lock_guard lock(living().mutex);
    return living().state;
  }();
  if (state == nullptr || problem.N == 0) {
    return std::nullopt;
  }
  const kernels::DeviceDescription description = describe_for_plans(device);
  std::vector<Conv2dPlan> plans = kernels::possible_plans(pass, problem, description);
  if (kernels::plain_multiply_adds(pass, problem) > kTiny) {
    std::erase_if(plans, [](const Conv2dPlan& plan) { return plan.kernel == "reference"; });
  }
  plans.resize(std::min(plans.size(), kMostTrials));
  if (plans.size() < 2) {
    return std::nullopt;
  }
  const std::string key = key_of(pass, problem, description);
  const std::lock_guard lock(state->mutex);
  if (const auto known = state->answers.find(key); known != state->answers.end()) {
    const Conv2dPlan plan = *parse_plan(pass, known->second);
    if (any_of(plans, [&](const Conv2dPlan& one) { return same_plan(one, plan); })) {
      ++state->found;
      return plan;
    }  // else none of this build, whatever its kernel would make of its numbers: timed anew
  }
  if (is_being_recorded(device)) {
    return std::nullopt;
  }
  Conv2dPlan best = try_elsewhere(plans, problem, device);
  state->answers.insert_or_assign(key, text_of(best));
  ++state->timed;
  if (!state->file.empty()) {
    write_answers(state->file, state->answers);
  }
  return best;
}

}  // namespace cks
