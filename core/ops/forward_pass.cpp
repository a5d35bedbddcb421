#include "cks/core/ops/forward_pass.h"

#include <utility>

#include "cks/core/capture/branches_impl.h"
#include "cks/core/device/stream.h"
#include "cks/core/ops/counter.h"
#include "cks/core/ops/output.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/kernels/counter/counter.h"
#include "cks/kernels/elementwise/elementwise.h"

namespace cks {
namespace {

thread_local ForwardPass* current_pass = nullptr;

/// Whether a parameter takes longer to round than a launch.
bool is_large(const Tensor& parameter) {
  constexpr std::int64_t kElements = std::int64_t{1} << 16;
  return parameter.numel() > kElements;
}

}  // namespace

ForwardPass::ForwardPass(std::function<std::vector<Tensor>()> parameters)
    : get_parameters_(std::move(parameters)), is_outermost_(current_pass == nullptr) {
  if (is_outermost_) {
    current_pass = this;
  }
}

ForwardPass::~ForwardPass() {
  if (is_outermost_) {
    current_pass = nullptr;
  }
}

ForwardPass* ForwardPass::current() { return current_pass; }

void ForwardPass::round_all(Device device) {
  std::vector<kernels::RoundedTensor> lists[2];  // small ones, large ones
  std::vector<Tensor> large;
  for (const Tensor& parameter : parameters_) {
    if (parameter.dtype() == DType::float32 && parameter.device() == device) {
      Copy& copy = copies_.at(parameter.impl().get());
      copy.version = parameter.version();
      copy.rounded = ops::make_output("to", parameter.shape(), DType::bfloat16, device);
      lists[is_large(parameter) ? 1 : 0].push_back(
          {parameter.data_as<float>(), copy.rounded.data_as<bfloat16>(), parameter.numel()});
      if (is_large(parameter)) {
        large.push_back(copy.rounded);
      }
    }
  }
  const auto round = [&](const std::vector<kernels::RoundedTensor>& list) {
    CKS_KERNEL(device, round_tensors(list.data(), static_cast<std::int64_t>(list.size())));
  };
  round(lists[0]);
  if (!large.empty()) {
    Branches branches;  // beside the first layers, whose weights are small
    branches.run([&] { round(lists[1]); });
    branches.postpone_join(std::move(large));
    awaits_large_ = true;
  }
  stream_ = Stream::current(device).handle();
}

Tensor ForwardPass::rounded(const Tensor& parameter) {
  if (get_parameters_) {
    parameters_ = std::exchange(get_parameters_, {})();
    for (const Tensor& one : parameters_) {
      copies_.emplace(one.impl().get(), Copy{});
    }
  }
  const auto found = copies_.find(parameter.impl().get());
  if (found == copies_.end()) {
    return {};
  }
  const Copy& copy = found->second;
  if (!copy.rounded.defined()) {
    round_all(parameter.device());
  }
  if (copy.version != parameter.version() ||
      stream_ != Stream::current(parameter.device()).handle()) {
    return {};
  }
  if (is_large(parameter) && std::exchange(awaits_large_, false)) {
    join_postponed_branches();
  }
  return copy.rounded;
}

void ForwardPass::count_at_end(Tensor& counter) {
  if (current_pass == nullptr) {
    return count_up_(counter);
  }
  ops::require_dtype("count_at_end", {"counter", counter}, DType::int64);
  ops::require_one_element("count_at_end", {"counter", counter});
  std::vector<Tensor>& counters = current_pass->counters_;
  // A launch adds to a counter once, and to those of one device.
  if (any_of(counters, [&](const Tensor& other) {
        return is_same(other, counter) || !(other.device() == counter.device());
      })) {
    current_pass->finish();
  }
  counters.push_back(counter);
}

void ForwardPass::count_now(const Tensor& counter) {
  if (current_pass != nullptr && any_of(current_pass->counters_, [&](const Tensor& put_off) {
        return is_same(put_off, counter);
      })) {
    current_pass->finish();
  }
}

void ForwardPass::finish() {
  if (counters_.empty()) {
    return;
  }
  const auto list = mapped(counters_, [](Tensor& c) { return c.data_as<std::int64_t>(); });
  CKS_KERNEL(counters_.front().device(),
             count_up(list.data(), static_cast<std::int64_t>(list.size())));
  for (Tensor& counter : counters_) {
    counter.bump_version();
  }
  counters_.clear();
}

}  // namespace cks
