#include "cks/core/optim/optimizer.h"

#include <cmath>
#include <set>

#include "cks/core/device/capture_rules.h"
#include "cks/core/ops/output.h"
#include "cks/core/optim/named_state_impl.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/kernels/counter/counter.h"

namespace cks {

void optim::require_option(const char* optimizer, const char* option, double value, double low,
                           double high) {
  if (!(std::isfinite(value) && value >= low && value < high)) {
    const std::string upper = std::isinf(high) ? "" : formatted(" and below {}", high);
    throw Error(formatted("{}: {} must be finite, at least {}{}, got {}", optimizer, option, low,
                          upper, value));
  }
}

std::vector<ParameterGroup> single_group(NamedTensors parameters) {
  return {{.parameters = std::move(parameters)}};
}

Optimizer::Optimizer(const char* name, std::vector<ParameterGroup> groups, double learning_rate)
    : name_(name), groups_(std::move(groups)), initial_learning_rate_(learning_rate) {
  optim::require_option(name, "learning_rate", learning_rate);
  std::set<std::string> names;
  std::set<const TensorImpl*> seen;
  for (const ParameterGroup& group : groups_) {
    optim::require_option(name, "learning_rate_scale", group.learning_rate_scale);
    optim::require_option(name, "weight_decay_scale", group.weight_decay_scale);
    for (const auto& [key, parameter] : group.parameters) {
      ops::require_real(name, {key.c_str(), parameter});
      if (!names.insert(key).second) {
        throw Error(formatted("{}: two parameters are named {}", name, key));
      }
      if (!seen.insert(parameter.impl().get()).second) {
        throw Error(formatted("{}: parameter {} is given twice", name, key));
      }
      slots_.push_back({key,
                        parameter,
                        group.learning_rate_scale,
                        group.weight_decay_scale,
                        group.as_vectors,
                        {},
                        parameter.shape(),
                        parameter.dtype(),
                        parameter.device()});
    }
  }
  if (slots_.empty()) {
    throw Error(formatted("{}: there are no parameters", name));
  }
  const Device device = slots_.front().device;
  for (const Slot& slot : slots_) {
    if (!(slot.device == device)) {
      throw DeviceError(formatted("{}: parameter {} is on {}, {} on {}", name, slot.name,
                                  slot.device, slots_.front().name, device));
    }
  }
  learning_rate_ = Tensor::scalar(learning_rate, DType::float64, device);
  step_ = Tensor::zeros({}, DType::int64, device);
}

void Optimizer::add_state(const char* key, StateKind kind,
                          const std::function<bool(const Slot&)>& has_it) {
  state_keys_.emplace_back(key);
  state_kinds_.push_back(kind);
  for (Slot& slot : slots_) {
    const bool like_parameter = kind == StateKind::like_parameter;
    slot.state.push_back(has_it && !has_it(slot)
                             ? Tensor()
                             : Tensor::zeros(like_parameter ? slot.shape : Shape(),
                                             like_parameter ? slot.dtype : DType::int64,
                                             slot.device));
  }
}

void Optimizer::add_momentum(double momentum) {
  optim::require_option(name_, "momentum", momentum);
  momentum_ = Tensor::scalar(momentum, DType::float64, device());
}

const double* Optimizer::momentum_now() const {
  return momentum_.defined() ? momentum_.data_as<double>() : nullptr;
}

void Optimizer::check_slot(const Slot& slot) const {
  const auto check = [&](const char* what, const Tensor& tensor) {
    ops::require_like(tensor, slot.shape, slot.dtype, slot.device, [&] {
      return formatted("{}: {} of parameter {} is", name_, what, slot.name);
    });
  };
  check("the value", slot.parameter);
  if (slot.parameter.grad().defined()) {
    check("the gradient", slot.parameter.grad());
  }
}

void Optimizer::check_scalar(const char* argument, const Tensor& tensor, DType dtype) const {
  ops::require_dtype(name_, {argument, tensor}, dtype);
  ops::require_one_element(name_, {argument, tensor});
  ops::require_same_device(name_, {argument, tensor}, {"the parameters", step_});
}

void Optimizer::step(const Tensor& grad_scale, const Tensor& skip) {
  const Device device = step_.device();
  ops::require_compiled(device);
  StepScalars scalars;
  if (grad_scale.defined()) {
    check_scalar("grad_scale", grad_scale, DType::float64);
    scalars.grad_scale = grad_scale.data_as<double>();
  }
  if (skip.defined()) {
    check_scalar("skip", skip, DType::uint8);
    scalars.skip = skip.data_as<std::uint8_t>();
  }
  for (const Slot& slot : slots_) {
    check_slot(slot);
  }
  std::vector<Due> due;
  std::vector<std::int64_t*> counters{step_.data_as<std::int64_t>()};
  for (Slot& slot : slots_) {
    if (Tensor grad = slot.parameter.grad(); grad.defined()) {
      for (std::size_t i = 0; i < slot.state.size(); ++i) {
        if (state_kinds_[i] == StateKind::step_count && slot.state[i].defined()) {
          counters.push_back(slot.state[i].data_as<std::int64_t>());
        }
      }
      due.push_back({&slot, std::move(grad)});
    }
  }
  CKS_KERNEL(device,
             count_up(counters.data(), static_cast<std::int64_t>(counters.size()), scalars.skip));
  step_.bump_version();
  if (!due.empty()) {
    update(due, scalars);
  }
  for (Due& one : due) {
    one.slot->parameter.bump_version();
  }
}

void Optimizer::zero_grad() {
  for (Slot& slot : slots_) {
    slot.parameter.zero_grad();
  }
}

void Optimizer::set_learning_rate(double learning_rate) {
  optim::require_option(name_, "learning_rate", learning_rate);
  learning_rate_.fill_(learning_rate);
}

void Optimizer::set_momentum(double momentum) {
  optim::require_option(name_, "momentum", momentum);
  if (!momentum_.defined()) {
    throw Error(formatted("{}: there is no momentum to set", name_));
  }
  momentum_.fill_(momentum);
}

std::int64_t Optimizer::step_count() const {
  capture::forbid("step_count");
  return step_.to_vector<std::int64_t>().front();
}

std::vector<Tensor> Optimizer::parameters() const { return mapped(slots_, &Slot::parameter); }

NamedTensors Optimizer::handles() const {
  NamedTensors all{{"learning_rate", learning_rate_}, {"step", step_}};
  for (std::size_t i = 0; i < state_keys_.size(); ++i) {
    for (const Slot& slot : slots_) {
      if (slot.state[i].defined()) {
        all.emplace_back(state_keys_[i] + "." + slot.name, slot.state[i]);
      }
    }
  }
  return all;
}

NamedTensors Optimizer::state() const { return optim::clones(handles()); }

void Optimizer::load_state(const NamedTensors& state) {
  const NamedTensors targets = handles();
  optim::require_named(name_, "parameters", targets, state);
  for (const auto& [key, tensor] : state) {
    if (key == "learning_rate") {
      optim::require_option(name_, "learning_rate", tensor.item());
    }
  }
  optim::load_named(targets, state);
}

}  // namespace cks
