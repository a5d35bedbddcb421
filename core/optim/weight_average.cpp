#include "cks/core/optim/weight_average.h"

#include <utility>

#include "cks/core/ops/output.h"
#include "cks/core/optim/named_state_impl.h"
#include "cks/core/optim/optimizer.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/optimizer_step/optimizer_step.h"

namespace cks {
namespace {

/// target = target - rate * (source - target) for all of them. SGD's kernel, with the weight decay
/// -1.
void move(const NamedTensors& targets, const NamedTensors& sources, const Tensor& rate,
          const std::uint8_t* skip) {
  std::vector<kernels::StepTensor> tensors;
  tensors.reserve(targets.size());
  for (std::size_t i = 0; i < targets.size(); ++i) {
    Tensor target = targets[i].second;
    tensors.push_back({.dtype = target.dtype(),
                       .count = target.numel(),
                       .grad = sources[i].second.data(),
                       .parameter = target.data(),
                       .weight_decay = -1.0});
  }
  const kernels::StepProblem problem{.tensors = tensors.data(),
                                     .count = static_cast<std::int64_t>(tensors.size()),
                                     .learning_rate = rate.data_as<double>(),
                                     .skip = skip};
  CKS_KERNEL(rate.device(), sgd_step(problem, {}));
  for (const auto& [name, target] : targets) {
    Tensor(target).bump_version();
  }
}

void copy(const NamedTensors& targets, const NamedTensors& sources) {
  for (std::size_t i = 0; i < targets.size(); ++i) {
    targets[i].second.detach().copy_(sources[i].second.detach());
  }
}

}  // namespace

WeightAverage::WeightAverage(NamedTensors weights, const Options& options) : options_(options) {
  optim::require_option("weight average", "decay", options.decay, 0.0, 1.0);
  if (options.every < 1) {
    throw Error(formatted("weight average: every is {}, must be at least 1", options.every));
  }
  for (auto& weight : weights) {
    if (is_floating(weight.second.dtype())) {
      weights_.push_back(std::move(weight));
    }
  }
  if (weights_.empty()) {
    throw Error("weight average: there are no weights of floating numbers");
  }
  const ops::Argument first{weights_.front().first.c_str(), weights_.front().second};
  for (const auto& [name, weight] : weights_) {
    ops::require_same_device("weight average", {name.c_str(), weight}, first);
    ops::require_real("weight average", {name.c_str(), weight});
  }
  averages_ = optim::clones(weights_);
  const Device device = first.tensor.device();
  towards_weights_ = Tensor::scalar(options.decay - 1.0, DType::float64, device);
  onto_average_ = Tensor::scalar(-1.0, DType::float64, device);
}

void WeightAverage::check() const {
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const auto& [name, average] = averages_[i];
    ops::require_like(weights_[i].second, average.shape(), average.dtype(), average.device(),
                      [&, &name = name] { return formatted("weight average: {} is", name); });
  }
}

void WeightAverage::step(const Tensor& skip) {
  capture::forbid("WeightAverage::step");
  const char* operation = "weight average";
  if (skip.defined()) {
    ops::require_dtype(operation, {"skip", skip}, DType::uint8);
    ops::require_one_element(operation, {"skip", skip});
    ops::require_same_device(operation, {"skip", skip}, {"the averages", onto_average_});
  }
  check();
  if ((steps_ + 1) % options_.every == 0) {
    const std::uint8_t* flag = skip.defined() ? skip.data_as<std::uint8_t>() : nullptr;
    const bool copies = !options_.look_ahead && steps_ + 1 == options_.every;
    move(averages_, weights_, copies ? onto_average_ : towards_weights_, flag);
    if (options_.look_ahead) {
      move(weights_, averages_, onto_average_, flag);
    }
  }
  ++steps_;
}

void WeightAverage::set_decay(double decay) {
  ops::require_share("weight average", "decay", decay);
  towards_weights_.fill_(decay - 1.0);
}

void WeightAverage::with_averages(const std::function<void()>& body) {
  check();
  const NamedTensors before = optim::clones(weights_);
  copy(weights_, averages_);
  try {
    body();
  } catch (...) {
    copy(weights_, before);
    throw;
  }
  copy(weights_, before);
}

void WeightAverage::keep_averages() {
  check();
  copy(weights_, averages_);
}

NamedTensors WeightAverage::state() const {
  NamedTensors state = optim::clones(averages_);
  state.emplace_back("steps", Tensor::scalar(static_cast<double>(steps_), DType::int64));
  return state;
}

void WeightAverage::load_state(const NamedTensors& state) {
  NamedTensors targets = averages_;
  Tensor steps = Tensor::zeros({}, DType::int64);
  targets.emplace_back("steps", steps);
  optim::require_named("weight average", "weights", targets, state);
  optim::load_named(targets, state);
  steps_ = steps.to_vector<std::int64_t>().front();
}

}  // namespace cks
