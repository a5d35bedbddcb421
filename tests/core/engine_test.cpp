#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include "cks/core/autograd/autograd.h"
#include "cks/core/conv/conv2d.h"
#include "cks/core/conv/matmul.h"
#include "cks/core/memory/storage.h"
#include "cks/core/ops/activation.h"
#include "cks/core/ops/dropout.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/pool2d.h"
#include "cks/core/ops/rearrange.h"
#include "cks/core/ops/reduce.h"
#include "cks/core/profile/module_path.h"
#include "cks/core/tensor/tensor_impl.h"
#include "tests/core/test_ops.h"
#include "tests/support/devices.h"
#include "tests/support/fill.h"
#include "tests/support/tensors.h"

namespace cks {
namespace {

using testing::compare_all;
using testing::contains;
using testing::custom;
using testing::message_of;
using testing::multiply;
using testing::plus;
using testing::random_tensor;
using testing::test_devices;
using testing::total;

Tensor ones_leaf(std::int64_t count) { return Tensor::ones({count}).set_requires_grad(); }

/// The message when a node's backward returns these gradients for an input of shape [2].
template <class Exception>
std::string message_for(const std::vector<Tensor>& gradients) {
  Tensor x = ones_leaf(2);
  Tensor bad;
  {
    const ModulePathScope path("head");
    bad = custom({x}, [&](const Tensor&, const std::vector<bool>&) { return gradients; });
  }
  const Tensor loss = total(bad);
  const std::string message = message_of<Exception>([&] { loss.backward(); });
  CHECK_FALSE(x.grad().defined());
  return message;
}

TEST_CASE("engine: a gradient that does not fit is refused, with both shapes and dtypes") {
  const std::string shape = message_for<ShapeError>({Tensor::ones({3})});
  CHECK(contains(shape, "custom: backward, gradient of input 0 (forward pass in module head)"));
  CHECK(contains(shape, "got [3] float32"));
  CHECK(contains(shape, "expected [2] float32"));
  const std::string dtype = message_for<DtypeError>({Tensor::ones({2}, DType::float64)});
  CHECK(contains(dtype, "got [2] float64"));
  CHECK(contains(dtype, "expected [2] float32"));
  CHECK(contains(message_for<AutogradError>({Tensor()}), "undefined"));
  CHECK(contains(message_for<AutogradError>({}), "returned 0 gradients, expected 1"));
  CHECK(contains(message_for<AutogradError>({Tensor::ones({2}), Tensor::ones({2})}),
                 "returned 2 gradients, expected 1"));
}

TEST_CASE("engine: a node may return a leaf as a gradient, which stays its own tensor") {
  Tensor weight = ones_leaf(2);
  Tensor x = ones_leaf(2);
  total(custom({x}, [&](const Tensor&, const std::vector<bool>&) {
    return std::vector<Tensor>{weight};
  })).backward();
  CHECK(x.grad().to_vector<float>() == std::vector<float>{1, 1});
  CHECK_FALSE(x.grad().requires_grad());
  CHECK(x.grad().storage() != weight.storage());
}

TEST_CASE("engine: an exception leaves every leaf's gradient as it was") {
  Tensor x = ones_leaf(2);
  Tensor y = ones_leaf(2);
  total(multiply(x, y)).backward();
  const Tensor failing = custom({x}, [](const Tensor&, const std::vector<bool>&) {
    throw Error("disk on fire");
    return std::vector<Tensor>{};
  });
  const Tensor loss = total(plus(failing, multiply(y, y)));
  CHECK_THROWS_WITH_AS(loss.backward(), "disk on fire", Error);
  CHECK(x.grad().to_vector<float>() == std::vector<float>{1, 1});
  CHECK(y.grad().to_vector<float>() == std::vector<float>{1, 1});
  CHECK(grad_enabled());
  CHECK(current_module_path().empty());
  CHECK_THROWS_AS(loss.backward(), AutogradError);  // the graph is gone
}

TEST_CASE("engine: running out of memory while leaves are stored changes none of them") {
  constexpr std::int64_t kCount = 1 << 18;
  Tensor x = ones_leaf(kCount);
  Tensor y = ones_leaf(kCount);
  total(multiply(x, y)).backward();
  total(multiply(x, y)).backward();
  std::int64_t limit = memory_stats().in_use;
  int failures = 0;
  bool done = false;
  while (!done) {
    Tensor loss = total(plus(multiply(x, y), plus(x, y)));
    set_memory_limit(limit);
    try {
      loss.backward();
      done = true;
    } catch (const OutOfMemoryError&) {
      ++failures;
      CHECK(x.grad().data_as<float>()[7] == 2);
      CHECK(y.grad().data_as<float>()[7] == 2);
    }
    set_memory_limit(0);
    limit += kCount * 2;
  }
  CHECK(failures > 3);
  CHECK(x.grad().data_as<float>()[7] == 4);
  CHECK(y.grad().data_as<float>()[7] == 4);
}

TEST_CASE("engine: a chain of 100,000 operations neither walks nor dies recursively") {
  const Tensor x = ones_leaf(1);
  {
    Tensor y = x;
    for (int i = 0; i < 100'000; ++i) {
      y = plus(y, x);
    }
    y.backward();
    CHECK(x.grad().item() == 100'001);
  }
  Tensor unused = x;
  for (int i = 0; i < 100'000; ++i) {
    unused = unused.reshape({1});
  }
  unused = {};  // destroyed without a walk
}

TEST_CASE("engine: a graph whose nodes share inputs many times is walked once a node") {
  Tensor x = ones_leaf(1);
  int calls = 0;
  Tensor y = custom({x}, [&](const Tensor& grad_output, const std::vector<bool>&) {
    ++calls;
    return std::vector<Tensor>{grad_output};
  });
  for (int i = 0; i < 20; ++i) {
    y = plus(y, y);  // 2^20 paths
  }
  y.backward();
  CHECK(calls == 1);
  CHECK(x.grad().item() == 0x1p20);
}

TEST_CASE("engine: the order of sums follows from the graph: the same bits every time") {
  std::vector<float> values;
  for (std::uint64_t i = 0; i < 64; ++i) {
    values.push_back(static_cast<float>(testing::random_real(3, i)));
  }
  std::vector<float> first;
  for (int repeat = 0; repeat < 5; ++repeat) {
    Tensor x = Tensor::from_vector(values, {64}).set_requires_grad();
    const auto noise = std::make_unique<char[]>(static_cast<std::size_t>(repeat) * 1000 + 1);
    Tensor sum = x;
    for (int i = 0; i < 10; ++i) {
      sum = plus(sum, multiply(multiply(x, x), sum));
    }
    total(sum).backward();
    if (repeat == 0) {
      first = x.grad().to_vector<float>();
    }
    CHECK(x.grad().to_vector<float>() == first);
  }
}

TEST_CASE("engine: saved tensors and gradients are freed while backward runs") {
  constexpr std::int64_t kCount = 1 << 16;
  constexpr std::int64_t kBytes = kCount * 4;
  const Tensor x = ones_leaf(kCount);
  const std::int64_t before = memory_stats().in_use;
  Tensor y = x;
  for (int i = 0; i < 20; ++i) {
    y = multiply(y, y);
  }
  const Tensor loss = total(y);
  y = {};
  const std::int64_t recorded = memory_stats().in_use;
  CHECK(recorded >= before + 19 * kBytes);
  reset_peak_memory();
  loss.backward();
  CHECK(memory_stats().peak <= recorded + 5 * kBytes);
  CHECK(memory_stats().in_use <= before + kBytes + kBytes / 2);  // x's gradient and the loss
}

TEST_CASE("record_node: refuses results that are on the tape, inputs, integers, used nodes") {
  const Tensor x = ones_leaf(2);
  const Tensor inputs[] = {x};
  const auto node = [] {
    auto made = std::make_shared<testing::CustomBackward>();
    made->function = [](const Tensor& grad_output, const std::vector<bool>&) {
      return std::vector<Tensor>{grad_output};
    };
    return made;
  };
  CHECK_THROWS_AS(record_node(x, node(), inputs), AutogradError);
  CHECK_THROWS_AS(record_node(Tensor(), node(), inputs), AutogradError);
  CHECK_THROWS_AS(record_node(Tensor::ones({2}), nullptr, inputs), AutogradError);
  CHECK_THROWS_AS(record_node(Tensor::arange(2), node(), inputs), DtypeError);
  const Tensor constant = Tensor::ones({2});
  const Tensor both[] = {x, constant};
  CHECK_THROWS_AS(record_node(constant, node(), both), AutogradError);
  const auto used = node();
  record_node(Tensor::ones({2}), used, inputs);
  CHECK_THROWS_AS(record_node(Tensor::ones({2}), used, inputs), AutogradError);
}

TEST_CASE("engine: a leaf whose shape changed since the forward pass is refused") {
  Tensor x = ones_leaf(2);
  Tensor y = ones_leaf(2);
  const Tensor loss = total(plus(y, x));
  x.set_data(Tensor::ones({3}));
  CHECK_THROWS_AS(loss.backward(), ShapeError);
  CHECK_FALSE(y.grad().defined());
}

TEST_CASE("engine: backward may run inside a backward") {
  Tensor x = Tensor::full({1}, 3).set_requires_grad();
  // A checkpoint: the inside is computed again when its gradient is needed.
  const Tensor y = custom({x}, [&](const Tensor& grad_output, const std::vector<bool>&) {
    const GradMode on(true);
    Tensor again = x.detach().set_requires_grad();
    multiply(again, again).backward(grad_output);
    return std::vector<Tensor>{again.grad()};
  });
  multiply(y, x).backward();  // y counts as x^2 in backward, and is 3 in forward
  CHECK(x.grad().item() == 3 * 6 + 3);
}

TEST_CASE("engine: threads walk graphs of their own, with modes of their own") {
  const Tensor shared = Tensor::full({64}, 2);  // read by all
  std::vector<std::thread> threads;
  std::vector<float> results(4, 0.0F);
  for (std::size_t thread = 0; thread < results.size(); ++thread) {
    threads.emplace_back([&, thread] {
      const PrecisionScope precision(thread % 2 == 0 ? Precision::fp32 : Precision::tf32);
      const ModulePathScope path("thread" + std::to_string(thread));
      Tensor x = Tensor::full({64}, static_cast<double>(thread)).set_requires_grad();
      for (int repeat = 0; repeat < 30; ++repeat) {
        if (repeat % 7 == 0) {
          const NoGradGuard no_grad;
          multiply(x, shared);
        }
        x.zero_grad();
        total(multiply(multiply(x, x), shared)).backward();
      }
      results[thread] = x.grad().to_vector<float>()[63];
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(results == std::vector<float>{0, 4, 8, 12});
}

/// Notes what it is told, and doubles each gradient in place.
struct Doubler : GradientListener {
  std::vector<Tensor> leaves;
  int ends = 0;
  void on_gradient(const Tensor& leaf, Tensor& gradient) override {
    leaves.push_back(leaf);
    for (std::int64_t i = 0; i < gradient.numel(); ++i) {
      gradient.data_as<float>()[i] *= 2.0F;
    }
  }
  void on_end() override { ++ends; }
};

TEST_CASE("engine: a listener gets each leaf's gradient once, when its last term has come") {
  const Tensor used_twice = ones_leaf(2);
  const Tensor late = ones_leaf(2);
  const Tensor early = ones_leaf(2);
  // One tensor returned for two leaves: each gets its own to write to.
  const Tensor shared = custom({late, used_twice}, [](const Tensor& grad, const auto&) {
    return std::vector<Tensor>{grad, grad};
  });
  const Tensor loss = total(plus(multiply(shared, early), used_twice));
  Doubler doubler;
  {
    const GradientListenerScope scope(&doubler);
    loss.backward();
  }
  CHECK(doubler.ends == 1);
  REQUIRE(doubler.leaves.size() == 3);
  CHECK(is_same(doubler.leaves[0], early));
  for (const Tensor& leaf : {late, used_twice}) {
    CHECK((is_same(doubler.leaves[1], leaf) || is_same(doubler.leaves[2], leaf)));
  }
  CHECK(early.grad().to_vector<float>() == std::vector<float>(2, 2.0F));
  CHECK(late.grad().to_vector<float>() == std::vector<float>(2, 2.0F));
  CHECK(used_twice.grad().to_vector<float>() == std::vector<float>(2, 4.0F));
  {
    const GradientListenerScope scope(&doubler);
    const Tensor first = ones_leaf(2);
    const Tensor second = ones_leaf(2);
    total(plus(first, second)).backward();  // one tensor is the gradient of both
    CHECK(first.grad().to_vector<float>() == std::vector<float>(2, 2.0F));
    CHECK(second.grad().to_vector<float>() == std::vector<float>(2, 2.0F));
  }
  // Nobody listens any more.
  total(early).backward();
  CHECK(doubler.leaves.size() == 5);
}

/// Notes what it was asked for; its gradients are new tensors of its inputs' device.
struct Asked : Node {
  std::size_t inputs = 1;
  std::function<Tensor()> make;
  std::shared_ptr<GradientWork> asked = std::make_shared<GradientWork>();

  const char* name() const override { return "asked"; }
  std::vector<Tensor> backward(const Tensor&, const std::vector<bool>&) override {
    *asked = work();
    std::vector<Tensor> gradients;
    for (std::size_t i = 0; i < inputs; ++i) {
      gradients.push_back(make());
    }
    return gradients;
  }
};

struct AskedResult {
  Tensor result;
  std::shared_ptr<GradientWork> asked;
};

/// Records an operation of these inputs, and what it will be asked for.
AskedResult ask(const std::vector<Tensor>& inputs, const std::function<Tensor()>& make,
                const NodeAbilities& abilities = {}) {
  const auto node = std::make_shared<Asked>();
  node->inputs = inputs.size();
  node->make = make;
  const Tensor result = record_node(make(), node, inputs);
  node->declare(abilities);
  return {result, node->asked};
}

TEST_CASE("engine: gradients behind the first may be late only where nobody reads them before") {
  const auto make = [] { return Tensor::ones({2}); };
  const auto may_run_on = [&](const std::function<AskedResult()>& forward) {
    const AskedResult one = forward();
    total(one.result).backward();
    return one.asked->may_run_on;
  };
  const Tensor weight = ones_leaf(2);
  const Tensor bias = ones_leaf(2);
  const Tensor made = plus(ones_leaf(2), ones_leaf(2));
  CHECK(may_run_on([&] { return ask({made, weight, bias}, make); }));
  CHECK(may_run_on([&] { return ask({ones_leaf(2), weight, Tensor::ones({2})}, make); }));
  // An operation reads the second, or the third.
  CHECK_FALSE(may_run_on([&] { return ask({weight, plus(bias, bias)}, make); }));
  CHECK_FALSE(may_run_on([&] { return ask({weight, bias, plus(bias, bias)}, make); }));
  // A sum of leaves' gradients, with one that is to come, came before, or comes from it as well.
  CHECK_FALSE(may_run_on([&] { return ask({plus(weight, weight), weight}, make); }));
  CHECK_FALSE(may_run_on([&] {
    AskedResult one = ask({bias, weight}, make);
    one.result = plus(weight, one.result);
    return one;
  }));
  CHECK_FALSE(may_run_on([&] { return ask({bias, weight, weight}, make); }));
  // Who asks for gradients reads them at the end.
  const AskedResult asked = ask({bias, weight}, make);
  gradients(total(asked.result), std::vector<Tensor>{weight});
  CHECK_FALSE(asked.asked->may_run_on);
}

TEST_CASE("engine: on a GPU an operation masks for the activations whose results it alone reads") {
  // Nothing is computed: no GPU is needed for what nodes are asked.
  const auto make = [] {
    static double elements[2];
    auto storage = Storage::adopt(elements, sizeof elements, Device::cuda(), {});
    return make_view(std::move(storage), 0, {2}, DType::float64);
  };
  const auto leaf = [&] { return make().set_requires_grad(); };
  const auto slopes = [](const AskedResult& reader) { return reader.asked->input_slopes; };
  const AskedResult relu = ask({leaf()}, make, {.result_slope = 0.0});
  const AskedResult leaky = ask({leaf()}, make, {.result_slope = 0.1});
  const AskedResult plain = ask({leaf()}, make);
  const AskedResult both =
      ask({relu.result, leaf(), leaky.result, plain.result}, make, {.masked_inputs = 3});
  both.result.backward(make());
  CHECK(slopes(both) == std::vector<double>{0.0, 1.0, 0.1});
  CHECK(relu.asked->is_masked);
  CHECK(leaky.asked->is_masked);
  CHECK_FALSE(plain.asked->is_masked);
  // One that another operation reads as well masks the sum itself.
  const AskedResult shared = ask({leaf()}, make, {.added_terms = 2, .result_slope = 0.1});
  const AskedResult first = ask({shared.result}, make, {.masked_inputs = 1});
  const AskedResult second = ask({shared.result}, make, {.masked_inputs = 1});
  ask({first.result, second.result}, make).result.backward(make());
  CHECK(slopes(first) == std::vector<double>{1.0});
  CHECK(slopes(second) == std::vector<double>{1.0});
  CHECK_FALSE(shared.asked->is_masked);
  CHECK(shared.asked->terms.size() == 1);
}

TEST_CASE("engine: what operations mask and add up for each other changes no gradient") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const auto leaf = [&](const Shape& shape, std::uint64_t seed) {
      return random_tensor(shape, seed, DType::float64).to(device).set_requires_grad();
    };
    for (const double slope : {0.0, 0.1}) {
      CAPTURE(slope);
      for (const int readers : {1, 2, 3, 4, 5, 6}) {
        CAPTURE(readers);
        // Convolutions with the activation as their end, or as an operation of its own, then put
        // side by side and pooled.
        const auto run = [&](bool ends) {
          const auto conv = [&](const Tensor& x, const Tensor& weight) {
            const Tensor y =
                conv2d(x, weight, {}, {.padding = 1, .negative_slope = ends ? slope : 1.0});
            return ends ? y : leaky_relu(y, slope);
          };
          const std::vector<Tensor> leaves{leaf({2, 6, 6, 4}, 1), leaf({8, 3, 3, 4}, 2),
                                           leaf({3, 3, 3, 4}, 3), leaf({4, 3, 3, 4}, 4)};
          const Tensor x = max_pool2d(conv(leaves[0], leaves[3]), {.kernel_size = 3, .stride = 1});
          const Tensor shared = conv(x, leaves[2]);
          const Tensor both = concat({conv(x, leaves[1]), x, shared}, -1);
          Tensor loss = sum(shared * leaf(shared.shape(), 20).detach());
          for (int i = 0; i < readers; ++i) {
            const Tensor factor = leaf(both.shape(), static_cast<std::uint64_t>(10 + i)).detach();
            loss = loss + sum((i % 2 == 0 ? both : max_pool2d(both, {.kernel_size = 1})) * factor);
          }
          return gradients(loss, leaves);
        };
        const auto result = compare_all(run(true), run(false), {1e-11});
        CHECK_MESSAGE(result.ok, result.message);
      }
    }
  }
}

TEST_CASE("engine: linear layers and dropout mask for the activations of linear layers") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const auto leaf = [&](const Shape& shape, std::uint64_t seed) {
      return random_tensor(shape, seed, DType::float64).to(device).set_requires_grad();
    };
    for (const double slope : {0.0, 0.1}) {
      for (const bool shares : {false, true}) {  // a result that others read as well
        CAPTURE(slope);
        CAPTURE(shares);
        const auto run = [&](bool ends) {
          const std::vector<Tensor> leaves{leaf({9, 12}, 1), leaf({8, 12}, 2), leaf({8}, 3),
                                           leaf({16, 8}, 4), leaf({3, 16}, 5)};
          const auto dense = [&](const Tensor& x, const Tensor& weight, const Tensor& bias) {
            const Tensor y = linear(x, weight, bias, ends ? slope : 1.0);
            return ends ? y : leaky_relu(y, slope);
          };
          const Tensor step = Tensor::zeros({}, DType::int64, device);
          const Tensor first = dense(leaves[0], leaves[1], leaves[2]);
          const Tensor dropped =
              dropout(first, 0.4, make_random_key(3, RandomPurpose::dropout), step);
          const Tensor second = dense(dropped, leaves[3], {});
          const Tensor last = dense(second, leaves[4], {});
          Tensor loss = sum(last * leaf(last.shape(), 6).detach());
          if (shares) {
            loss = loss + sum(first * leaf(first.shape(), 7).detach()) + sum(second);
          }
          return gradients(loss, leaves);
        };
        const auto result = compare_all(run(true), run(false), {1e-13});
        CHECK_MESSAGE(result.ok, result.message);
      }
    }
  }
}

TEST_CASE("engine: a result that changed is noticed by the operation that masks by it") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const auto leaf = [&](const Shape& shape, std::uint64_t seed) {
      return random_tensor(shape, seed, DType::float64).to(device).set_requires_grad();
    };
    const auto refusal = [](Tensor result, const auto& reader) {
      {
        const NoGradGuard no_grad;
        result.fill_(1.0);
      }
      const Tensor loss = sum(reader(result));
      return message_of<AutogradError>([&] { loss.backward(); });
    };
    const Tensor map =
        conv2d(leaf({1, 4, 4, 2}, 1), leaf({2, 1, 1, 2}, 2), {}, {.negative_slope = 0.0});
    const auto side_by_side = [](const Tensor& y) { return concat({y, y.detach()}, -1); };
    CHECK(contains(refusal(map, side_by_side), "conv2d"));
    const auto dense = [&] { return linear(leaf({3, 4}, 1), leaf({5, 4}, 2), {}, 0.0); };
    const auto drop = [&](const Tensor& y) {
      const RandomKey key = make_random_key(3, RandomPurpose::dropout);
      return dropout(y, 0.5, key, Tensor::zeros({}, DType::int64, device));
    };
    CHECK(contains(refusal(dense(), drop), "linear"));
    const auto next = [&](const Tensor& y) { return linear(y, leaf({2, 5}, 3)); };
    CHECK(contains(refusal(dense(), next), "linear"));
  }
}

}  // namespace
}  // namespace cks
