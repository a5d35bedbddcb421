#pragma once
#include <concepts>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "cks/layers/layer.h"

namespace cks {

using TensorFunction = std::function<Tensor(const Tensor&)>;

/// A function as a module, without parameters: what Sequential makes of it.
class Function : public Layer<Function, TensorFunction> {
 public:
  using Layer::Layer;
  Tensor forward(const Tensor& input) override { return options()(input); }
};

/// A chain of modules that it owns: each one's output is the next one's input.
///
///   Sequential net;
///   net.add<Conv2d>({.in_channels = 1, .out_channels = 8, .kernel_size = 3});  // named "0"
///   net.add(relu);                                                            // named "1"
///   net.add([](const Tensor& x) { return max_pool2d(x, {.kernel_size = 4}); });
///   net.add<Flatten>();
///   net.add<Linear>("head", {.in_features = 8, .out_features = 10});
///
/// Functions have a place and a name like layers, so that keys of a state_dict are PyTorch's; what
/// they capture is shared by copies. Without modules a chain is the identity.
class Sequential : public Layer<Sequential> {
 public:
  using Layer::Layer;

  /// Appends a layer, named by its position, or by the number behind the greatest one that names a
  /// layer. Throws what its constructor throws; then nothing has been added.
  template <class M>
  M& add(const typename M::Options& options = {}) {
    return emplace<M>(next_name(), options);
  }
  /// Appends a layer under a name. Throws Error if the name is taken, empty or has a dot.
  /// (A template, so that braces always mean options.)
  template <class M, std::convertible_to<std::string> Name>
  M& add(const Name& name, const typename M::Options& options = {}) {
    return emplace<M>(name, options);
  }
  /// Appends a function. Throws Error if it is empty.
  Function& add(TensorFunction function) { return add(next_name(), std::move(function)); }
  Function& add(std::string name, TensorFunction function);
  /// Appends a module made by M(this, name, arguments...): for modules without an Options struct.
  template <class M, class... Arguments>
  M& emplace(std::string name, Arguments&&... arguments) {
    static_assert(std::is_base_of_v<Module, M>, "a Sequential holds modules");
    owned_.reserve(owned_.size() + 1);
    owned_.push_back(
        std::make_unique<M>(this, std::move(name), std::forward<Arguments>(arguments)...));
    return static_cast<M&>(*owned_.back());
  }

  std::int64_t size() const { return static_cast<std::int64_t>(owned_.size()); }
  /// Throws ShapeError outside [0, size()).
  Module& at(std::int64_t index);

  Tensor forward(const Tensor& input) override;
  std::unique_ptr<Module> make_another(Module* parent, std::string name) const override;
  /// Appends to another chain what this one holds, made anew; see Module::make_another().
  void add_others_to(Sequential& chain) const;

 private:
  std::string next_name() const;

  std::vector<std::unique_ptr<Module>> owned_;
};

}  // namespace cks
