#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "cks/core/ops/forward_pass.h"
#include "cks/core/profile/module_path.h"
#include "cks/core/tensor/tensor.h"

namespace cks {

/// How a parameter lies in a file. PyTorch's state_dict stores filters with the channels before the
/// window; in memory they come after it.
enum class StateLayout : std::uint8_t {
  as_is,
  filter,  // memory [a,FH,FW,b], file [a,b,FH,FW]
};

/// Thrown when a file's tensors do not fit a module: lists missing, unexpected and mis-shaped keys.
class StateDictError : public Error {
 public:
  using Error::Error;
};

class Module;
/// Makes `target` equal to `source`, of the same structure: parameters, buffers, training state,
/// device, dtype, mode, which parameters require a gradient and which tensors are shared. Throws
/// StateDictError otherwise.
void copy_module_state(const Module& source, Module& target);

/// A part of a network: parameters, buffers and children, each with a name.
///
/// Members register themselves with the module they are given:
///
///   struct Net : Module {
///     Conv2d conv1{this, "conv1", {.in_channels = 1, .out_channels = 6, .kernel_size = 5}};
///     Linear fc{this, "fc", {.in_features = 864, .out_features = 10}};
///     Tensor forward(const Tensor& x) override { return fc(flatten_chw(relu(conv1(x)))); }
///   };
///   Net net;
///   net.initialize(7);  // all parameters drawn from seed 7; without it, from seed 0
///
/// A module is neither copied nor moved, because its children point to it; clone() makes a deep
/// copy. The path of a child is its parent's path, a dot and its name; the root's is empty. Layers,
/// modules that have options, several inputs or copies derive from Layer (layers/layer.h).
class Module {
 public:
  Module() = default;                        // a root
  Module(Module* parent, std::string name);  // a child, or a root if parent is null
  virtual ~Module();
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// The module's function of one tensor. One with other inputs has a forward() of its own instead
  /// (see Layer); then this one throws Error.
  virtual Tensor forward(const Tensor& input);
  /// forward(), then the forward hook, with this module's path in reports and at the end of error
  /// messages: see in_module().
  Tensor operator()(const Tensor& input);

  const std::string& name() const { return name_; }
  std::string path() const;
  /// The kind of layer, for tables: "Conv2d", "LeNet5"; the name of the class unless overridden.
  virtual std::string type_name() const;
  /// Its options in a few words, for tables: "5x5, 6 -> 16".
  virtual std::string description() const { return {}; }

  const std::vector<Module*>& children() const { return children_; }
  /// This module and all below it, parents first.
  std::vector<Module*> modules();

  /// Parameters and buffers of this module and all below it, by path, in order of registration.
  /// What several modules share (decoder.weight = encoder.weight) stands under its first path
  /// alone, so that it is counted and stepped once.
  NamedTensors named_parameters() const { return handles(Role::parameter); }
  NamedTensors named_buffers() const { return handles(Role::buffer); }
  std::vector<Tensor> parameters() const;
  std::int64_t num_parameters() const;
  void zero_grad();
  /// Whether the parameters of this module and all below it collect gradients. Without, they are
  /// frozen: backward leaves out what only they need, and optimisers leave them as they are.
  /// Buffers move on in training all the same, as BatchNorm2d's running statistics; eval() keeps
  /// them.
  ///
  ///   net.features.set_requires_grad(false);  // train the classifier alone
  void set_requires_grad(bool on);

  /// Draws every parameter anew, from a seed and each parameter's own path: adding a layer leaves
  /// the others' values unchanged. Runs on the host, so every device starts with the same bits.
  void initialize(std::uint64_t seed);

  bool training() const { return training_; }
  /// Switches dropout and batch normalisation between training and evaluation.
  void train(bool on = true);
  void eval() { train(false); }
  /// Moves or converts the parameters and floating buffers; all handles see it.
  void to(Device device);
  void to(DType dtype);

  /// Copies of all parameters and buffers, named and laid out as PyTorch's state_dict: shared ones
  /// under each of their paths.
  NamedTensors state_dict() const { return copies(/*training_only=*/false); }
  /// Its keys, in its order.
  std::vector<std::string> state_keys() const;
  /// Copies the tensors in. Nothing is changed if anything does not fit.
  /// Throws StateDictError with all missing, unexpected and mis-shaped keys (strict), or with the
  /// mis-shaped ones only. Of a shared tensor's paths one suffices; of several the last holds.
  void load_state_dict(const NamedTensors& state, bool strict = true);

  /// Copies of what a resumed run needs beyond state_dict(), by path: dropout's key and step
  /// count. PyTorch's state_dict has no such keys, so a checkpoint keeps them apart.
  NamedTensors training_state() const { return copies(/*training_only=*/true); }
  /// Copies them back. Nothing is changed if anything does not fit: throws StateDictError.
  void load_training_state(const NamedTensors& state);

  /// A deep copy, a root: made from the same options, with copies of parameters, buffers, training
  /// state, device, dtype, mode and of which parameters require a gradient. Throws Error for a
  /// module that does not say how to make another.
  std::unique_ptr<Module> clone() const;
  /// A new module of the same class, options and structure. Layer and Sequential override it.
  virtual std::unique_ptr<Module> make_another(Module* parent, std::string name) const;

  /// Called after each forward() of a module, with its tensors and its result, unless that is no
  /// tensor: for summaries, timing and looking for the first bad layer. Set on a root for all
  /// modules below it; empty: none.
  using ForwardHook =
      std::function<void(Module& module, const std::vector<Tensor>& inputs, const Tensor& output)>;
  void set_forward_hook(ForwardHook hook) { hook_ = std::move(hook); }

 protected:
  /// What operator() does around forward(): `body` in this module's path, as a ForwardPass if none
  /// is under way, then the hook.
  template <class Body, class... Inputs>
  auto call(Body&& body, const Inputs&... inputs) {
    return in_module(path(), [&] {
      ForwardPass pass([this] { return parameters(); });
      auto output = body();
      pass.finish();
      if constexpr (std::is_same_v<decltype(output), Tensor>) {
        if (hook_of_root()) {
          const ForwardHook hook = hook_of_root();  // a copy, since it may set another
          std::vector<Tensor> tensors;
          (append_if_tensor(tensors, inputs), ...);
          hook(*this, tensors, output);
        }
      }
      return output;
    });
  }

  /// Registers a member, which must live as long as the module. Throws Error if the name is taken,
  /// empty or has a dot.
  void register_parameter(std::string name, Tensor& member, Tensor value,
                          StateLayout layout = StateLayout::as_is);
  void register_buffer(std::string name, Tensor& member, Tensor value);
  /// A tensor that a run needs to go on as if uninterrupted, but that is no part of the network.
  void register_training_state(std::string name, Tensor& member, Tensor value);
  /// Draws this module's own parameters from a seed (see layers/init.h); its children do so
  /// themselves. Constructors call it with seed 0.
  virtual void reset_parameters(std::uint64_t /*seed*/) {}
  /// Called after load_training_state and copy_module_state: for values that a module keeps on the
  /// host beside a tensor.
  virtual void on_state_loaded() {}

 private:
  enum class Role : std::uint8_t { parameter, buffer, training_state };
  struct Entry {
    std::string name;
    Tensor* tensor;
    StateLayout layout;
    Role role;
  };
  using PathEntries = std::vector<std::pair<std::string, const Entry*>>;
  /// Of this module and all below it; their paths follow on this one's, the prefix.
  PathEntries entries(const std::string& prefix = {}) const;
  NamedTensors handles(Role role) const;
  NamedTensors copies(bool training_only) const;
  template <class Convert>
  void replace_tensors(Convert&& convert);
  void load(const char* operation, const NamedTensors& state, bool training_only, bool strict);
  void add_entry(std::string name, Tensor& member, Tensor value, StateLayout layout, Role role);
  void require_free(const std::string& name) const;
  const ForwardHook& hook_of_root() const;
  static void append_if_tensor(std::vector<Tensor>& tensors, const Tensor& input) {
    tensors.push_back(input);
  }
  template <class Other>
  static void append_if_tensor(std::vector<Tensor>&, const Other&) {}
  void copy_modes(const Module& source);
  friend void copy_module_state(const Module& source, Module& target);

  Module* parent_ = nullptr;
  std::string name_;
  std::vector<Module*> children_;
  std::vector<Entry> entries_;
  bool training_ = true;
  ForwardHook hook_;
};

}  // namespace cks
