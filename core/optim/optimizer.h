#pragma once
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "cks/core/tensor/tensor.h"

namespace cks {

/// Parameters that are stepped alike.
struct ParameterGroup {
  NamedTensors parameters;           // the names are keys of checkpoints
  double learning_rate_scale = 1.0;  // times the optimiser's learning rate
  double weight_decay_scale = 1.0;   // times the optimiser's weight decay; 0 for biases, say
  bool as_vectors = false;           // by Muon's rule for vectors; other optimisers have one rule
};

/// What all optimisers share: parameter groups, a learning rate and a step count that live in
/// tensors, and their state by name.
///
///   Adam optimizer(model.named_parameters(), {.learning_rate = 1e-3});
///   optimizer.zero_grad();
///   cross_entropy(model(images), labels).backward();
///   optimizer.step();
///
/// Formulas and order of operations are PyTorch's. After any exception the parameters and the state
/// are as before: everything is checked before anything changes.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// Updates every parameter that has a gradient; the others stay, with their state.
  /// `grad_scale`, if defined, is a float64 tensor of one element by which all gradients are
  /// multiplied on the way (see clip_grad_norm); the gradients themselves stay. `skip`, if defined,
  /// is a uint8 tensor of one element: where it is not 0 when the step runs, the parameters, their
  /// state and the step counts stay as they are, without the host having to look.
  /// Throws DtypeError, ShapeError or DeviceError, naming the parameter, if a gradient does not fit
  /// it, or if the parameter has changed its dtype, shape or device since the optimiser was made.
  void step(const Tensor& grad_scale = {}, const Tensor& skip = {});

  /// Forgets the gradients of all parameters.
  void zero_grad();

  /// A float64 tensor of one element, read by every step.
  const Tensor& learning_rate_tensor() const { return learning_rate_; }
  double learning_rate() const { return learning_rate_.item(); }
  /// Throws Error unless finite and >= 0.
  void set_learning_rate(double learning_rate);
  /// What the constructor was given: the base of a schedule.
  double initial_learning_rate() const { return initial_learning_rate_; }
  /// For a schedule that moves the momentum, too. state() leaves it out, so that a resumed run
  /// writes it again. Throws Error unless finite and >= 0, and for an optimiser without momentum.
  virtual void set_momentum(double momentum);
  /// 0 for an optimiser without.
  double momentum() const { return momentum_.defined() ? momentum_.item() : 0.0; }

  /// How many steps were made.
  std::int64_t step_count() const;

  const std::vector<ParameterGroup>& groups() const { return groups_; }
  /// All parameters, group after group.
  std::vector<Tensor> parameters() const;

  /// Copies of learning rate, step count and all state: "learning_rate", "step" and, for a
  /// parameter "fc.weight", "momentum_buffer.fc.weight" and the like.
  NamedTensors state() const;
  /// Copies such tensors in, in any order. Throws Error, listing all missing, unexpected and
  /// mis-shaped keys, unless they are exactly the keys, dtypes and shapes of state().
  void load_state(const NamedTensors& state);

 protected:
  /// One parameter with what belongs to it.
  struct Slot {
    std::string name;
    Tensor parameter;
    double learning_rate_scale = 1.0;
    double weight_decay_scale = 1.0;
    bool as_vector = false;
    std::vector<Tensor> state;  // in the order of add_state's calls
    Shape shape;                // as made; a parameter that changed since is refused
    DType dtype = DType::float32;
    Device device;
  };

  /// Throws Error for no parameters, an undefined one, a name given twice, the same parameter given
  /// twice, or a learning rate that is negative or not finite; DtypeError unless float32 or
  /// float64.
  Optimizer(const char* name, std::vector<ParameterGroup> groups, double learning_rate);

  /// A tensor of zeros like the parameter, or a single zero of int64, which step() counts up for
  /// each parameter that has a gradient.
  enum class StateKind : std::uint8_t { like_parameter, step_count };
  /// Gives every parameter such a state or, if `has_it` is given, those of which it is true, and
  /// the others an undefined one. In a derived class's constructor.
  void add_state(const char* key, StateKind kind,
                 const std::function<bool(const Slot&)>& has_it = {});
  /// Makes set_momentum() work, and momentum_now() an address that every step may read.
  void add_momentum(double momentum);
  /// Null without momentum.
  const double* momentum_now() const;

  /// A parameter that has a gradient.
  struct Due {
    Slot* slot;
    Tensor grad;
  };
  /// What step() was given: addresses of one element each on the parameters' device, or null.
  struct StepScalars {
    const double* grad_scale = nullptr;
    const std::uint8_t* skip = nullptr;
  };
  /// Updates all of them in place, unless `skip` says not to; their step counts are already those
  /// of this step. Once an element is written, nothing in it may throw.
  virtual void update(const std::vector<Due>& due, const StepScalars& scalars) = 0;

  const char* name() const { return name_; }
  const std::vector<Slot>& slots() const { return slots_; }
  /// Where the parameters are, and with them all that a step reads.
  Device device() const { return step_.device(); }

 private:
  /// All state tensors themselves, by key.
  NamedTensors handles() const;
  void check_slot(const Slot& slot) const;
  void check_scalar(const char* argument, const Tensor& tensor, DType dtype) const;

  const char* name_;
  std::vector<ParameterGroup> groups_;
  std::vector<Slot> slots_;
  std::vector<std::string> state_keys_;
  std::vector<StateKind> state_kinds_;
  double initial_learning_rate_;
  Tensor learning_rate_;
  Tensor momentum_;  // float64 []; undefined without momentum
  Tensor step_;
};

/// Parameters of one group without scales.
std::vector<ParameterGroup> single_group(NamedTensors parameters);

namespace optim {
/// Throws Error, naming the optimiser and the option, unless the value is finite and in [low,
/// high).
void require_option(const char* optimizer, const char* option, double value, double low = 0.0,
                    double high = std::numeric_limits<double>::infinity());
}  // namespace optim

}  // namespace cks
