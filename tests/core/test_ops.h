#pragma once
#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "cks/core/autograd/autograd.h"
#include "cks/core/ops/output.h"
#include "tests/support/tensors.h"

/// Operations as a user would write them, so that the tests of the tape need no other part of core.
namespace cks::testing {

template <class Function>
Tensor map2(const Tensor& a, const Tensor& b, Function&& function) {
  Tensor result = Tensor::empty(a.shape(), a.dtype());
  visit_real("map2", a.dtype(), [&](auto tag) {
    using T = decltype(tag);
    for (std::int64_t i = 0; i < a.numel(); ++i) {
      result.data_as<T>()[i] = static_cast<T>(function(a.data_as<T>()[i], b.data_as<T>()[i]));
    }
  });
  return result;
}

inline Tensor product(const Tensor& a, const Tensor& b) {
  return map2(a, b, [](auto x, auto y) { return x * y; });
}

struct MultiplyBackward : Node {
  SavedTensor a{this};
  SavedTensor b{this};

  const char* name() const override { return "multiply"; }
  std::vector<Tensor> backward(const Tensor& grad_output,
                               const std::vector<bool>& needed) override {
    return {needed[0] ? product(grad_output, b.get()) : Tensor(),
            needed[1] ? product(grad_output, a.get()) : Tensor()};
  }
};

/// a * b, of equal shapes.
inline Tensor multiply(const Tensor& a, const Tensor& b) {
  return record<MultiplyBackward>(product(a, b), {a, b}, [&](MultiplyBackward& node) {
    node.a.save(a);
    node.b.save(b);
  });
}

struct PlusBackward : Node {
  const char* name() const override { return "plus"; }
  std::vector<Tensor> backward(const Tensor& grad_output, const std::vector<bool>&) override {
    return {grad_output, grad_output};  // the same tensor twice: the engine must not mix them up
  }
};

/// a + b, of equal shapes.
inline Tensor plus(const Tensor& a, const Tensor& b) {
  return record<PlusBackward>(map2(a, b, [](auto x, auto y) { return x + y; }), {a, b},
                              [](PlusBackward&) {});
}

struct SquareRootBackward : Node {
  SavedTensor result{this};

  const char* name() const override { return "square_root"; }
  std::vector<Tensor> backward(const Tensor& grad_output, const std::vector<bool>&) override {
    return {map2(grad_output, result.get(), [](auto g, auto y) { return g / (2 * y); })};
  }
};

/// The root of each element; saves its own result.
inline Tensor square_root(const Tensor& x) {
  const Tensor result = map2(x, x, [](auto a, auto) { return std::sqrt(a); });
  return record<SquareRootBackward>(result, {x},
                                    [&](SquareRootBackward& node) { node.result.save(result); });
}

struct SumBackward : Node {
  Shape input_shape;

  const char* name() const override { return "total"; }
  std::vector<Tensor> backward(const Tensor& grad_output, const std::vector<bool>&) override {
    return {
        Tensor::full(input_shape, grad_output.item(), grad_output.dtype(), grad_output.device())};
  }
};

/// Sum of all elements.
inline Tensor total(const Tensor& x) {
  double sum = 0.0;
  visit_real("total", x.dtype(), [&](auto tag) {
    for (const auto value : x.to_vector<decltype(tag)>()) {
      sum += static_cast<double>(value);
    }
  });
  return record<SumBackward>(Tensor::scalar(sum, x.dtype(), x.device()), {x},
                             [&](SumBackward& node) { node.input_shape = x.shape(); });
}

struct CustomBackward : Node {
  std::function<std::vector<Tensor>(const Tensor&, const std::vector<bool>&)> function;

  const char* name() const override { return "custom"; }
  std::vector<Tensor> backward(const Tensor& grad_output,
                               const std::vector<bool>& needed) override {
    return function(grad_output, needed);
  }
};

/// A copy of the first input whose backward is any function.
template <class Function>
Tensor custom(std::initializer_list<Tensor> inputs, Function&& function) {
  return record<CustomBackward>(
      inputs.begin()->detach().clone(), inputs,
      [&](CustomBackward& node) { node.function = std::forward<Function>(function); });
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace cks::testing
