#include "cks/core/conv/conv_report.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "cks/core/capture/capture.h"
#include "cks/core/conv/conv2d.h"
#include "cks/core/profile/module_path.h"
#include "tests/support/devices.h"
#include "tests/support/tensors.h"

namespace cks {
namespace {

using kernels::Conv2dPass;
using testing::random_tensor;
using testing::test_devices;

TEST_CASE("ConvRecorder: counts the multiply-adds of each call") {
  // 3x3 on a 4x4 map with padding 1: 100 of 144 products per channel pair are inside.
  const Tensor x = random_tensor({2, 4, 4, 3}, 1);
  Tensor w = random_tensor({5, 3, 3, 3}, 2).set_requires_grad();
  ConvRecorder recorder;
  {
    const ConvRecorder nested;
    for (int i = 0; i < 2; ++i) {
      const ModulePathScope scope("stem");
      const Tensor y = conv2d(x, w, {}, {.padding = 1});
      y.backward(Tensor::ones(y.shape(), DType::float64));
    }
    CHECK(nested.records().size() == 2);
  }
  REQUIRE(recorder.records().size() == 2);
  const ConvRecord& forward = recorder.records()[0];
  CHECK(forward.pass == Conv2dPass::forward);
  CHECK(forward.module_path == "stem");
  CHECK(forward.calls == 2);
  CHECK(forward.exact == 2 * 2 * 100 * 3 * 5);
  CHECK(forward.plain == 2 * 2 * 144 * 3 * 5);
  CHECK(forward.executed == forward.exact);
  CHECK(forward.seconds > 0.0);
  const ConvRecord& filter = recorder.records()[1];
  CHECK(filter.pass == Conv2dPass::backward_filter);
  CHECK(filter.module_path == "stem");
  CHECK(filter.executed == filter.exact);
  recorder.clear();
  CHECK(recorder.records().empty());
}

TEST_CASE("ConvRecorder: compares the first call with the reference and leaves results alone") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor x = random_tensor({2, 9, 9, 8}, 1).to(DType::float32).to(device);
    const Tensor dy = random_tensor({2, 5, 5, 12}, 3).to(DType::float32).to(device);
    Tensor w = random_tensor({12, 3, 3, 8}, 2).to(DType::float32).to(device);
    Tensor input = x.clone();
    w.set_requires_grad();
    input.set_requires_grad();
    std::vector<Tensor> expected, results;
    const auto step = [&](std::vector<Tensor>& into) {
      w.zero_grad();
      input.zero_grad();
      const Tensor y = conv2d(input, w, {}, {.stride = 2, .padding = 1});
      y.backward(dy);
      into = {y.detach(), w.grad(), input.grad()};
    };
    step(expected);
    const ConvRecorder recorder({.check = true});
    {
      const ConvRecorder nested;  // asks for nothing
      step(results);
      CHECK(nested.records().size() == 3);
    }
    REQUIRE(recorder.records().size() == 3);
    std::vector<double> errors;
    for (const ConvRecord& record : recorder.records()) {
      CAPTURE(record.plan.to_string());
      CHECK(record.plan.kernel != "reference");
      REQUIRE(record.error.has_value());
      CHECK(*record.error < 1e-5);
      errors.push_back(*record.error);
    }
    CHECK(*std::max_element(errors.begin(), errors.end()) > 0.0);
    for (std::size_t i = 0; i < results.size(); ++i) {
      CHECK(results[i].to_vector<float>() == expected[i].to_vector<float>());
    }
    step(results);
    for (std::size_t i = 0; i < errors.size(); ++i) {
      CHECK(recorder.records()[i].calls == 2);
      CHECK(recorder.records()[i].error == errors[i]);
    }
  }
}

TEST_CASE("ConvRecorder: inside a captured step nothing is compared") {
  const Tensor x = random_tensor({1, 4, 4, 2}, 1);
  const Tensor w = random_tensor({3, 3, 3, 2}, 2);
  CapturedStep step([&] { conv2d(x, w); });
  const ConvRecorder recorder({.check = true});
  step.run();
  step.run();
  REQUIRE(recorder.records().size() == 1);
  CHECK(recorder.records()[0].calls == 2);
  CHECK_FALSE(recorder.records()[0].error.has_value());
}

TEST_CASE("relative_error: the greatest difference by the greatest value expected; keeps a NaN") {
  const auto of = [](const std::vector<double>& values) {
    return Tensor::from_vector(values, {static_cast<std::int64_t>(values.size())});
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(relative_error(of({1.0, -4.5, 2.0}), of({1.25, -5.0, 2.0})) == 0.1);
  CHECK(relative_error(of({0.0, 0.0}), of({0.0, 0.0})) == 0.0);
  CHECK(std::isnan(relative_error(of({nan, 7.0}), of({1.0, 2.0}))));
  CHECK(std::isnan(relative_error(of({7.0, nan}), of({1.0, 2.0}))));
  CHECK_THROWS_AS(relative_error(of({1.0}), of({1.0, 2.0})), ShapeError);
  CHECK_THROWS_AS(relative_error(Tensor::ones({1}), of({1.0})), DtypeError);

  ConvRecord sum{.calls = 1, .executed = 2, .seconds = 0.5};
  sum.add({.calls = 2, .executed = 3, .seconds = 0.25, .error = 1e-7});
  CHECK(sum.calls == 3);
  CHECK(sum.executed == 5);
  CHECK(sum.seconds == 0.75);
  CHECK(sum.error == 1e-7);
  sum.add({.error = 1e-8});
  CHECK(sum.error == 1e-7);
  sum.add({.error = nan});
  sum.add({.error = 1.0});
  CHECK(std::isnan(*sum.error));
}

}  // namespace
}  // namespace cks
