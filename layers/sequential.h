#pragma once
#include <concepts>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "cks/layers/module.h"

namespace cks {

/// A chain of modules that it owns: each one's output is the next one's input.
///
///   Sequential net;
///   net.add<Conv2d>({.in_channels = 1, .out_channels = 8, .kernel_size = 3});  // named "0"
///   net.add<ReLU>();                                                          // named "1"
///   net.add<Linear>("head", {.in_features = 8, .out_features = 10});
///
/// Without modules it is the identity.
class Sequential : public Module {
 public:
  Sequential() = default;
  Sequential(Module* parent, std::string name) : Module(parent, std::move(name)) {}

  /// Appends a layer, named by its position. Throws what its constructor throws; then nothing has
  /// been added.
  template <class M>
  M& add(const typename M::Options& options) {
    return emplace<M>(std::to_string(size()), options);
  }
  template <class M>
  M& add() {
    return add<M>(typename M::Options{});
  }
  /// Appends a layer under a name. Throws Error if the name is taken, empty or has a dot.
  /// (A template, so that braces always mean options.)
  template <class M, std::convertible_to<std::string> Name>
  M& add(const Name& name, const typename M::Options& options) {
    return emplace<M>(name, options);
  }
  template <class M, std::convertible_to<std::string> Name>
  M& add(const Name& name) {
    return emplace<M>(name, typename M::Options{});
  }
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

 private:
  std::vector<std::unique_ptr<Module>> owned_;
};

}  // namespace cks
