#pragma once
#include <type_traits>

#include "cks/layers/init.h"
#include "cks/layers/module.h"

namespace cks {

/// Of a layer that has none.
struct NoOptions {};

/// Base of layers and networks: what they share, so that each says only what it alone does.
///
///   struct ScaleOptions {
///     std::int64_t channels = 0;
///   };
///   struct Scale : Layer<Scale, ScaleOptions> {  // itself, and its options unless it has none
///     Scale(Module* parent, std::string name, const Options& options)
///         : Layer(parent, std::move(name), options) {
///       register_parameter("factor", factor, Tensor::ones({options.channels}));
///     }
///     Tensor forward(const Tensor& x) override { return x * factor; }
///     Tensor factor;
///   };
///
/// GCC names neither a misspelt option nor the struct where it initialises a member. A second line
///     template <class Expected = Options> Scale(Module*, std::string, ...) = delete;
/// takes what fits no options, and the error then says `Expected = ScaleOptions`.
///
/// Where a constructor has nothing to do, `using Layer::Layer;` stands in its place. The options
/// are kept, and clone() makes another from them. forward() may have other arguments than one
/// tensor; the call then has the same, and keeps hooks, paths and the places of errors:
///
///   struct Bilinear : Layer<Bilinear> {
///     using Module::forward;  // says that hiding the one of one tensor is meant
///     Tensor forward(const Tensor& a, const Tensor& b) { return left(a) * right(b); }
///     ...
///   };
///   bilinear(a, b);
template <class Self, class OptionsType = NoOptions, class Base = Module>
class Layer : public Base {
 public:
  using Options = OptionsType;

  explicit Layer(const Options& options = {}) : Layer(nullptr, {}, options) {}
  Layer(Module* parent, std::string name, const Options& options = {})
      : Base(parent, std::move(name)), options_(options) {}

  const Options& options() const { return options_; }

  /// As Module's, for whatever arguments Self's forward() takes.
  template <class... Inputs>
  auto operator()(const Inputs&... inputs) {
    return this->call([&] { return static_cast<Self&>(*this).forward(inputs...); }, inputs...);
  }

  /// As Module's.
  std::unique_ptr<Self> clone() const {
    return std::unique_ptr<Self>(static_cast<Self*>(this->Module::clone().release()));
  }

  std::unique_ptr<Module> make_another(Module* parent, std::string name) const override {
    if constexpr (std::is_constructible_v<Self, Module*, std::string, const Options&>) {
      return std::make_unique<Self>(parent, std::move(name), options_);
    } else if constexpr (std::is_default_constructible_v<Self>) {
      if (parent == nullptr) {
        return std::make_unique<Self>();
      }
    }
    // NOLINTNEXTLINE(bugprone-parent-virtual-call): the root's says what is missing
    return this->Module::make_another(parent, std::move(name));
  }

 private:
  Options options_;
};

/// Base of Conv2d, ConvTranspose2d and Linear: a weight and, unless options().bias is false, a
/// bias, drawn as PyTorch draws them (init::weight_and_bias).
template <class Self, class OptionsType>
class WeightLayer : public Layer<Self, OptionsType> {
 public:
  Tensor weight;
  Tensor bias;

 protected:
  using Layer<Self, OptionsType>::Layer;

  /// Registers both, the bias of as many elements as there are outputs, if there is one.
  void make_weight_and_bias(const Shape& shape, std::int64_t outputs, StateLayout layout) {
    this->register_parameter("weight", weight, Tensor::empty(shape), layout);
    if (this->options().bias) {
      this->register_parameter("bias", bias, Tensor::empty({outputs}));
    }
    WeightLayer::reset_parameters(0);
  }
  void reset_parameters(std::uint64_t seed) override {
    init::weight_and_bias(weight, bias, seed, this->path());
  }
};

}  // namespace cks
