#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "cks/core/autograd/autograd.h"
#include "cks/core/autograd/grad_check.h"
#include "tests/core/ops/op_table.h"
#include "tests/support/devices.h"
#include "tests/support/tensors.h"
#include "tests/support/threads.h"

// What every operation owes its users, asked of each row of the table.

namespace cks {
namespace {

using testing::compare;
using testing::doubles;
using testing::op_table;
using testing::OpInput;
using testing::OpRow;
using testing::random_tensor;
using testing::test_devices;
using testing::ThreadCount;

constexpr std::int64_t kOwnBatch = -1;

Tensor make_input(const OpInput& input, Device device, DType dtype,
                  std::int64_t batch = kOwnBatch) {
  const Shape shape =
      input.batched && batch != kOwnBatch ? input.shape.with(0, batch) : input.shape;
  std::vector<double> values;
  for (std::int64_t i = 0; i < shape.numel(); ++i) {
    values.push_back(input.value(i));
  }
  return Tensor::from_vector(values, shape).to(input.is_real ? dtype : input.dtype).to(device);
}

/// The row's inputs; bit i of `wanted` asks for the gradient of real input i.
std::vector<Tensor> make_inputs(const OpRow& row, Device device, DType dtype, unsigned wanted = ~0U,
                                std::int64_t batch = kOwnBatch) {
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < row.inputs.size(); ++i) {
    inputs.push_back(make_input(row.inputs[i], device, dtype, batch));
    if (row.inputs[i].is_real && ((wanted >> i) & 1U) != 0) {
      inputs.back().set_requires_grad();
    }
  }
  return inputs;
}

/// A gradient of the result.
Tensor random_gradient(const Tensor& result) {
  return random_tensor(result.shape(), 77, result.dtype()).to(result.device());
}

/// Result and gradients of all inputs (undefined where there is none), for one random gradient of
/// the result.
struct Outcome {
  Tensor result;
  std::vector<Tensor> gradients;
};

Outcome run(const OpRow& row, const std::vector<Tensor>& inputs) {
  Outcome outcome;
  outcome.result = row.call(inputs);
  if (outcome.result.requires_grad()) {
    outcome.result.backward(random_gradient(outcome.result));
  }
  for (const Tensor& input : inputs) {
    outcome.gradients.push_back(input.grad());
  }
  return outcome;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.defined() == b.defined() &&
         (!a.defined() || (a.shape() == b.shape() && doubles(a) == doubles(b)));
}

/// Error of `got` relative to the largest element of `expected`, at least to 1e-3.
double relative_error(const Tensor& got, const Tensor& expected) {
  double largest = 1e-3;
  for (const double value : doubles(expected)) {
    largest = std::max(largest, std::abs(value));
  }
  const auto comparison = compare(got, expected, {std::numeric_limits<double>::max()});
  return comparison.ok ? comparison.max_error / largest : std::numeric_limits<double>::infinity();
}

TEST_CASE("operations: rows have names of their own") {
  std::set<std::string> names;
  for (const OpRow& row : op_table()) {
    CHECK_MESSAGE(names.insert(row.name).second, row.name, " is there twice");
  }
  CHECK(names.size() > 60);
}

TEST_CASE("operations: gradients against differences in float64") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    for (const OpRow& row : op_table()) {
      const std::vector<Tensor> all = make_inputs(row, device, DType::float64, 0);
      std::vector<Tensor> real;
      for (std::size_t i = 0; i < all.size(); ++i) {
        if (row.inputs[i].is_real) {
          real.push_back(all[i]);
        }
      }
      const auto function = [&](const std::vector<Tensor>& given) {
        std::vector<Tensor> inputs;
        std::size_t next = 0;
        for (std::size_t i = 0; i < all.size(); ++i) {
          inputs.push_back(row.inputs[i].is_real ? given[next++] : all[i]);
        }
        return row.call(inputs);
      };
      const GradCheckReport report = grad_check(function, real);
      CHECK_MESSAGE(report.ok, row.name, ": ", report.message);
    }
  }
}

TEST_CASE("operations: float32 is near float64, results and gradients") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    for (const OpRow& row : op_table()) {
      CAPTURE(row.name);
      const Outcome wide = run(row, make_inputs(row, device, DType::float64));
      const Outcome narrow = run(row, make_inputs(row, device, DType::float32));
      CHECK(narrow.result.dtype() == DType::float32);
      CHECK(relative_error(narrow.result, wide.result) <= row.float32_tolerance);
      for (std::size_t i = 0; i < row.inputs.size(); ++i) {
        if (row.inputs[i].is_real) {
          REQUIRE(narrow.gradients[i].defined());
          CHECK(narrow.gradients[i].dtype() == DType::float32);
          CHECK(relative_error(narrow.gradients[i], wide.gradients[i]) <= row.float32_tolerance);
        }
      }
    }
  }
}

TEST_CASE("operations: bfloat16 is near float64 of the same numbers, results and gradients") {
  constexpr double kTolerance = 0.02;  // an element has 8 bits; some operations round three times
  const PrecisionScope precision(Precision::bf16);
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    for (const OpRow& row : op_table()) {
      CAPTURE(row.name);
      const std::vector<Tensor> inputs = make_inputs(row, device, DType::bfloat16);
      std::vector<Tensor> wide_inputs;
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        wide_inputs.push_back(row.inputs[i].is_real
                                  ? inputs[i].detach().to(DType::float64).set_requires_grad()
                                  : inputs[i]);
      }
      const Tensor result = row.call(inputs);
      const Tensor wide = row.call(wide_inputs);
      const Tensor gradient = random_gradient(result);
      result.backward(gradient);
      wide.backward(gradient.to(DType::float64));
      CHECK(relative_error(result, wide) <= kTolerance);
      for (std::size_t i = 0; i < row.inputs.size(); ++i) {
        if (row.inputs[i].is_real) {
          REQUIRE(inputs[i].grad().defined());
          CHECK(inputs[i].grad().dtype() == DType::bfloat16);
          CHECK(relative_error(inputs[i].grad(), wide_inputs[i].grad()) <= kTolerance);
        }
      }
    }
  }
}

TEST_CASE("operations: gradients for exactly the inputs that require one") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    for (const OpRow& row : op_table()) {
      CAPTURE(row.name);
      const Outcome all = run(row, make_inputs(row, device, DType::float64));
      for (unsigned wanted = 0; wanted < (1U << row.inputs.size()); ++wanted) {
        CAPTURE(wanted);
        bool any = false;
        for (std::size_t i = 0; i < row.inputs.size(); ++i) {
          any = any || (row.inputs[i].is_real && ((wanted >> i) & 1U) != 0);
        }
        const Outcome some = run(row, make_inputs(row, device, DType::float64, wanted));
        CHECK(some.result.requires_grad() == any);
        CHECK(same_bits(some.result, all.result));
        for (std::size_t i = 0; i < row.inputs.size(); ++i) {
          const bool asked = row.inputs[i].is_real && ((wanted >> i) & 1U) != 0;
          CHECK(same_bits(some.gradients[i], asked ? all.gradients[i] : Tensor()));
        }
      }
    }
  }
}

TEST_CASE("operations: nothing is recorded under NoGradGuard") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    for (const OpRow& row : op_table()) {
      CAPTURE(row.name);
      const std::vector<Tensor> inputs = make_inputs(row, device, DType::float64);
      const Tensor recorded = row.call(inputs);
      CHECK(recorded.requires_grad());
      const NoGradGuard guard;
      const Tensor result = row.call(inputs);
      CHECK(!result.requires_grad());
      CHECK(same_bits(result, recorded));
    }
  }
}

TEST_CASE("operations: an empty batch") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    for (const OpRow& row : op_table()) {
      CAPTURE(row.name);
      const std::vector<Tensor> inputs = make_inputs(row, device, DType::float64, ~0U, 0);
      if (!row.takes_empty_batch) {
        CHECK_THROWS_AS(row.call(inputs), ShapeError);
        continue;
      }
      const Outcome outcome = run(row, inputs);
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        if (!row.inputs[i].is_real) {
          continue;
        }
        REQUIRE(outcome.gradients[i].defined());
        CHECK(outcome.gradients[i].shape() == inputs[i].shape());
        for (const double value : doubles(outcome.gradients[i])) {
          CHECK(std::isfinite(value));
        }
      }
    }
  }
}

TEST_CASE("operations: the same bits for every number of threads") {
  const ThreadCount restore;
  for (const OpRow& row : op_table()) {
    CAPTURE(row.name);
    Outcome first;
    for (const int threads : {1, 2, 5}) {
      kernels::set_num_threads(threads);
      const Outcome outcome = run(row, make_inputs(row, Device::cpu(), DType::float32, ~0U, 6007));
      if (threads == 1) {
        first = outcome;
        continue;
      }
      CHECK(same_bits(outcome.result, first.result));
      for (std::size_t i = 0; i < row.inputs.size(); ++i) {
        CHECK(same_bits(outcome.gradients[i], first.gradients[i]));
      }
    }
  }
}

TEST_CASE("operations: a GPU computes what the CPU does, twenty times the same bits") {
  if (!testing::has_gpu()) {
    return;
  }
  struct Setting {
    DType dtype;
    std::int64_t batch;
  };
  for (const OpRow& row : op_table()) {
    CAPTURE(row.name);
    for (const Setting& setting :
         {Setting{DType::float64, kOwnBatch}, Setting{DType::float32, kOwnBatch},
          Setting{DType::float64, 6007}}) {
      CAPTURE(setting.batch);
      const double tolerance = setting.dtype == DType::float64 ? 1e-12 : row.float32_tolerance;
      const auto inputs_on = [&](Device device) {
        return make_inputs(row, device, setting.dtype, ~0U, setting.batch);
      };
      const Outcome expected = run(row, inputs_on(Device::cpu()));
      Outcome first;
      for (int repeat = 0; repeat < 20; ++repeat) {
        const Outcome outcome = run(row, inputs_on(Device::cuda()));
        if (repeat == 0) {
          first = outcome;
          CHECK(outcome.result.device() == Device::cuda());
          CHECK(outcome.result.dtype() == expected.result.dtype());
          CHECK(relative_error(outcome.result, expected.result) <= tolerance);
        }
        CHECK(same_bits(outcome.result, first.result));
        for (std::size_t i = 0; i < row.inputs.size(); ++i) {
          CHECK(same_bits(outcome.gradients[i], first.gradients[i]));
          REQUIRE(outcome.gradients[i].defined() == expected.gradients[i].defined());
          if (repeat == 0 && outcome.gradients[i].defined()) {
            CHECK(relative_error(outcome.gradients[i], expected.gradients[i]) <= tolerance);
          }
        }
      }
    }
  }
}

TEST_CASE("operations: inputs are not written to") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    for (const OpRow& row : op_table()) {
      CAPTURE(row.name);
      const std::vector<Tensor> inputs = make_inputs(row, device, DType::float64);
      const Outcome outcome = run(row, inputs);
      const std::vector<Tensor> fresh = make_inputs(row, device, DType::float64);
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        CHECK(same_bits(inputs[i], fresh[i]));
      }
    }
  }
}

TEST_CASE("operations: a changed input is noticed or does not matter") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    for (const OpRow& row : op_table()) {
      const Outcome expected = run(row, make_inputs(row, device, DType::float64));
      for (std::size_t changed = 0; changed < row.inputs.size(); ++changed) {
        CAPTURE(row.name);
        CAPTURE(changed);
        std::vector<Tensor> inputs = make_inputs(row, device, DType::float64);
        const Tensor result = row.call(inputs);
        {
          const NoGradGuard guard;
          inputs[changed].fill_(1.0);
        }
        try {
          result.backward(random_gradient(result));
        } catch (const AutogradError& error) {
          const std::string message = error.what();
          const std::string operation = row.name.substr(0, row.name.find_first_of(" ,"));
          CHECK_MESSAGE(message.find(operation) != std::string::npos, message);
          continue;
        }
        for (std::size_t i = 0; i < inputs.size(); ++i) {
          CHECK(same_bits(inputs[i].grad(), expected.gradients[i]));
        }
      }
    }
  }
}

TEST_CASE("operations: an undefined tensor throws") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    for (const OpRow& row : op_table()) {
      for (std::size_t missing = 0; missing < row.inputs.size(); ++missing) {
        if (row.inputs[missing].is_optional) {
          continue;
        }
        CAPTURE(row.name);
        std::vector<Tensor> inputs = make_inputs(row, device, DType::float64);
        inputs[missing] = Tensor();
        CHECK_THROWS_AS(row.call(inputs), Error);
      }
    }
  }
}

}  // namespace
}  // namespace cks
