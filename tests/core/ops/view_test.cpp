#include <doctest/doctest.h>

#include "cks/core/autograd/grad_check.h"
#include "cks/core/tensor/random.h"
#include "tests/core/test_ops.h"

// Gradients of reshape, slice, clone and to; tensor_test.cpp checks their values and errors.

namespace cks {
namespace {

using testing::multiply;

Tensor values(const Shape& shape) {
  Tensor tensor = Tensor::empty(shape, DType::float64);
  fill_uniform(tensor, -1.0, 1.0, make_random_key(2, RandomPurpose::data));
  return tensor;
}

/// Squares it, so that gradients differ between elements.
Tensor squared(const Tensor& x) { return multiply(x, x); }

TEST_CASE("views: gradients of reshape, slice and clone") {
  using Inputs = std::vector<Tensor>;
  CHECK(grad_check(
      [](const Inputs& x) {
        return squared(x[0].reshape({-1, 2}));
      },
      {values({3, 4})}));
  CHECK(grad_check(
      [](const Inputs& x) {
        return squared(squared(x[0]).reshape({4, 3}));
      },
      {values({3, 4})}));
  CHECK(grad_check([](const Inputs& x) { return squared(x[0].slice(1, 3)); }, {values({4, 3})}));
  CHECK(grad_check([](const Inputs& x) { return squared(squared(x[0]).slice(0, 4)); },
                   {values({4, 3})}));
  CHECK(grad_check([](const Inputs& x) { return squared(x[0].clone()); }, {values({5})}));
  CHECK(grad_check([](const Inputs& x) { return multiply(x[0].slice(0, 2), x[0].slice(1, 3)); },
                   {values({3, 2})}));
  CHECK(grad_check([](const Inputs& x) { return squared(x[0].slice(2, 2)); }, {values({3, 2})}));
  CHECK(grad_check([](const Inputs& x) { return squared(x[0].reshape({1})); }, {values({})}));
}

TEST_CASE("to(dtype): the gradient comes back in the dtype of the input") {
  const Tensor x = Tensor::from_vector<float>({1, 2, 3}, {3}).set_requires_grad();
  squared(x.to(DType::float64)).backward(Tensor::ones({3}, DType::float64));
  CHECK(x.grad().dtype() == DType::float32);
  CHECK(x.grad().to_vector<float>() == std::vector<float>{2, 4, 6});
  const Tensor y = Tensor::from_vector<double>({1.5}, {1}).set_requires_grad();
  squared(y.to(DType::float32)).backward();
  CHECK(y.grad().to_vector<double>() == std::vector<double>{3});
}

TEST_CASE("views share memory on the tape as off it") {
  const Tensor x = values({4, 2}).set_requires_grad();
  CHECK(x.reshape({8}).storage() == x.storage());
  CHECK(x.slice(1, 2).storage() == x.storage());
  CHECK(x.clone().storage() != x.storage());
  CHECK(x.reshape({8}).requires_grad());
  CHECK_FALSE(x.detach().requires_grad());
}

TEST_CASE("views of empty tensors") {
  const Tensor x = Tensor::empty({0, 4}).set_requires_grad();
  const Tensor y = x.reshape({0, 2, 2}).slice(0, 0).clone();
  CHECK(y.shape() == Shape{0, 2, 2});
  y.backward(Tensor::empty({0, 2, 2}));
  CHECK(x.grad().shape() == Shape{0, 4});
  CHECK(Tensor::empty({0, 4}).reshape({-1, 4}).shape() == Shape{0, 4});
}

}  // namespace
}  // namespace cks
