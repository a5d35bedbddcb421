#include "cks/core/conv/conv2d.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "cks/core/autograd/autograd.h"
#include "cks/core/autograd/grad_check.h"
#include "cks/core/conv/conv_plan.h"
#include "cks/core/conv/conv_report.h"
#include "cks/core/conv/matmul.h"
#include "cks/core/ops/activation.h"
#include "cks/core/profile/module_path.h"
#include "tests/support/devices.h"
#include "tests/support/tensors.h"

namespace cks {
namespace {

using kernels::Conv2dPass;
using testing::compare;
using testing::message_of;
using testing::random_tensor;

struct Case {
  const char* name;
  std::int64_t N, H, W, in, out;
  Size2 filter;
  ConvTranspose2dOptions options;  // output_padding only where transposed
  bool bias = true;
};

const std::vector<Case>& convolutions() {
  static const std::vector<Case> cases = {
      {"1x1", 2, 3, 4, 3, 2, {1, 1}, {}},
      {"3x3 padded", 2, 5, 4, 2, 3, {3, 3}, {.padding = 1}},
      {"no bias", 1, 4, 4, 2, 2, {2, 3}, {.padding = 1}, false},
      {"stride 2", 2, 6, 7, 2, 3, {3, 3}, {.stride = 2, .padding = 1}},
      {"mixed strides", 1, 7, 5, 3, 2, {3, 2}, {.stride = {3, 1}, .padding = {1, 0}}},
      {"asymmetric padding", 2, 4, 5, 2, 2, {3, 4}, {.stride = 2, .padding = {0, 2, 3, 1}}},
      {"stride above filter", 1, 9, 8, 2, 2, {2, 1}, {.stride = {3, 4}}},
      {"pixels never read", 1, 8, 8, 1, 2, {3, 3}, {.stride = 4}},
      {"dilation", 1, 8, 9, 2, 2, {3, 2}, {.padding = 2, .dilation = {2, 3}}},
      {"dilation and stride", 1, 9, 9, 2, 2, {3, 3}, {.stride = 2, .padding = 2, .dilation = 2}},
      {"groups", 2, 5, 5, 4, 6, {3, 3}, {.stride = {2, 1}, .padding = 1, .groups = 2}},
      {"depthwise", 2, 5, 4, 3, 3, {3, 3}, {.padding = 1, .groups = 3}},
      {"filter beyond the map", 2, 1, 2, 2, 3, {5, 5}, {.padding = 2}},
      {"padding above filter", 1, 3, 3, 1, 1, {2, 2}, {.stride = 2, .padding = 3}},
  };
  return cases;
}

const std::vector<Case>& transposed_convolutions() {
  static const std::vector<Case> cases = {
      {"1x1", 2, 3, 2, 3, 2, {1, 1}, {}},
      {"2x2 stride 2", 2, 3, 4, 2, 3, {2, 2}, {.stride = 2}},
      {"output padding", 1, 3, 2, 2, 2, {3, 3}, {.stride = 2, .padding = 1, .output_padding = 1}},
      {"no bias", 1, 2, 3, 2, 2, {3, 2}, {.stride = {1, 3}, .output_padding = {0, 2}}, false},
      {"asymmetric padding", 1, 3, 3, 2, 2, {4, 3}, {.stride = 2, .padding = {0, 1, 2, 1}}},
      {"stride above filter", 2, 3, 2, 2, 2, {1, 2}, {.stride = 3, .output_padding = {2, 1}}},
      {"dilation", 1, 3, 3, 2, 1, {2, 3}, {.output_padding = {2, 0}, .dilation = {3, 2}}},
      {"groups", 2, 3, 3, 4, 6, {3, 3}, {.stride = 2, .padding = 1, .groups = 2}},
      {"depthwise", 1, 4, 3, 3, 3, {3, 3}, {.stride = 2, .groups = 3}},
  };
  return cases;
}

Conv2dOptions plain_options(const ConvTranspose2dOptions& o) {
  return {.stride = o.stride,
          .padding = o.padding,
          .dilation = o.dilation,
          .groups = o.groups,
          .negative_slope = o.negative_slope};
}

/// Input, weight and bias of a case.
std::array<Tensor, 3> arguments(const Case& c, bool transposed, DType dtype = DType::float64) {
  const std::int64_t G = c.options.groups;
  const Shape filter = transposed ? Shape{c.in, c.filter.h, c.filter.w, c.out / G}
                                  : Shape{c.out, c.filter.h, c.filter.w, c.in / G};
  return {random_tensor({c.N, c.H, c.W, c.in}, 1, dtype), random_tensor(filter, 2, dtype),
          c.bias ? random_tensor({c.out}, 3, dtype) : Tensor()};
}

Tensor run(const Case& c, bool transposed, const std::array<Tensor, 3>& a) {
  return transposed ? conv_transpose2d(a[0], a[1], a[2], c.options)
                    : conv2d(a[0], a[1], a[2], plain_options(c.options));
}

template <class Body>
void for_each_case(Body&& body) {
  for (const Case& c : convolutions()) {
    CAPTURE(c.name);
    body(c, false);
  }
  for (const Case& c : transposed_convolutions()) {
    CAPTURE(c.name);
    body(c, true);
  }
}

void check_gradients(const Case& c, bool transposed) {
  CAPTURE(transposed);
  const auto a = arguments(c, transposed);
  std::vector<Tensor> inputs = {a[0], a[1]};
  if (c.bias) {
    inputs.push_back(a[2]);
  }
  const GradCheckReport report = grad_check(
      [&](const std::vector<Tensor>& x) {
        return run(c, transposed, {x[0], x[1], c.bias ? x[2] : Tensor()});
      },
      inputs);
  CHECK_MESSAGE(report.ok, report.message);
}

TEST_CASE("convolutions: gradients agree with finite differences") {
  for_each_case(check_gradients);
}

/// Result and gradients of input, weight and bias, the activation being in the convolution's pass
/// or an operation of its own.
std::vector<Tensor> outcome(const Case& c, bool transposed, bool fused, double slope, Device device,
                            DType dtype, Precision precision) {
  const PrecisionScope scope(precision);
  auto a = arguments(c, transposed, dtype);
  for (Tensor& tensor : a) {
    tensor = tensor.defined() ? tensor.to(device).set_requires_grad() : tensor;
  }
  Case with = c;
  with.options.negative_slope = fused ? slope : 1.0;
  Tensor y = run(with, transposed, a);
  if (!fused) {
    y = slope == 0.0 ? relu(y) : leaky_relu(y, slope);
  }
  y.backward(random_tensor(y.shape(), 4, y.dtype()).to(device));
  return {y.detach(), a[0].grad(), a[1].grad(), c.bias ? a[2].grad() : Tensor()};
}

TEST_CASE("convolutions: an activation in the same pass is that of an operation of its own") {
  struct Kind {
    DType dtype;
    Precision precision;
    double leaky_tolerance;  // where it is rounded once, and not twice; ReLU rounds nothing
  };
  for (const Device device : testing::test_devices()) {
    for (const Kind& kind :
         {Kind{DType::float64, Precision::fp32, 1e-15}, Kind{DType::float32, Precision::fp32, 1e-6},
          Kind{DType::float32, Precision::bf16, 0.01}}) {
      for (const double slope : {0.0, 0.01}) {
        CAPTURE(device.to_string());
        CAPTURE(name_of(kind.dtype));
        CAPTURE(slope);
        for_each_case([&](const Case& c, bool transposed) {
          CAPTURE(transposed);
          const auto of = [&](bool fused) {
            return outcome(c, transposed, fused, slope, device, kind.dtype, kind.precision);
          };
          const std::vector<Tensor> fused = of(true);
          const std::vector<Tensor> single = of(false);
          testing::Tolerance tolerance;
          if (slope != 0.0) {
            tolerance = {.absolute = 1e300, .relative_l2 = kind.leaky_tolerance};
          }
          for (std::size_t i = 0; i < fused.size(); ++i) {
            CAPTURE(i);
            REQUIRE(fused[i].defined() == single[i].defined());
            if (fused[i].defined()) {
              CHECK(fused[i].dtype() == single[i].dtype());
              const auto same = compare(fused[i], single[i], tolerance);
              CHECK_MESSAGE(same.ok, same.message);
            }
          }
        });
      }
    }
  }
}

TEST_CASE("convolutions: gradients through an activation agree with finite differences") {
  for (const double slope : {0.0, 0.3}) {
    CAPTURE(slope);
    for_each_case([&](Case c, bool transposed) {
      c.options.negative_slope = slope;
      check_gradients(c, transposed);
    });
  }
}

TEST_CASE("conv2d: NaN passes an activation both ways") {
  const Tensor x = Tensor::from_vector<float>({1, std::nanf(""), -1, 2}, {1, 2, 2, 1});
  for (const Device device : testing::test_devices()) {
    for (const Precision precision : {Precision::fp32, Precision::bf16}) {
      for (const double slope : {0.0, 0.5}) {
        CAPTURE(device.to_string());
        CAPTURE(slope);
        const PrecisionScope scope(precision);
        const Tensor input = x.clone().to(device).set_requires_grad();
        const Tensor weight = Tensor::ones({1, 1, 1, 1}).to(device).set_requires_grad();
        const Tensor bias = Tensor::zeros({1}).to(device).set_requires_grad();
        const Tensor y = conv2d(input, weight, bias, {.negative_slope = slope});
        const std::vector<double> values = testing::doubles(y);
        CHECK(std::isnan(values[1]));
        CHECK(values[0] == 1.0);
        CHECK(values[2] == -slope);
        y.backward(Tensor::from_vector<float>({1, 1, 1, std::nanf("")}, y.shape())
                       .to(y.dtype())
                       .to(device));
        const std::vector<double> dx = testing::doubles(input.grad());
        CHECK(dx[0] == 1.0);
        CHECK(dx[2] == slope);
        CHECK(std::isnan(dx[3]));
        CHECK(std::isnan(testing::doubles(weight.grad())[0]));
        CHECK(std::isnan(testing::doubles(bias.grad())[0]));
      }
    }
  }
}

TEST_CASE("convolutions: the default plans agree with the reference") {
  for_each_case([](const Case& c, bool transposed) {
    CAPTURE(transposed);
    std::array<std::vector<Tensor>, 2> results;
    for (const bool reference : {false, true}) {
      const ConvPlanScope scope(
          reference ? "forward=reference,backward_data=reference,backward_filter=reference" : "");
      auto a = arguments(c, transposed);
      for (Tensor& tensor : a) {
        if (tensor.defined()) {
          tensor.set_requires_grad();
        }
      }
      const Tensor y = run(c, transposed, a);
      y.backward(random_tensor(y.shape(), 4));
      results[reference ? 1 : 0] = {y.detach(), a[0].grad(), a[1].grad()};
      if (c.bias) {
        results[reference ? 1 : 0].push_back(a[2].grad());
      }
    }
    for (std::size_t i = 0; i < results[0].size(); ++i) {
      const auto same = compare(results[0][i], results[1][i], {.absolute = 1e-12});
      CHECK_MESSAGE(same.ok, same.message);
    }
  });
}

TEST_CASE("conv2d: a hand-computed result") {
  // A 2x2 box over a 3x3 ramp, one column of zeros on the left.
  const Tensor input = Tensor::from_vector<double>({1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 3, 3, 1});
  const Tensor weight = Tensor::ones({1, 2, 2, 1}, DType::float64);
  const Tensor bias = Tensor::full({1}, 0.5, DType::float64);
  const Tensor y = conv2d(input, weight, bias, {.padding = {0, 0, 1, 0}});
  CHECK(y.shape() == Shape{1, 2, 3, 1});
  CHECK(y.to_vector<double>() == std::vector<double>{5.5, 12.5, 16.5, 11.5, 24.5, 28.5});
}

TEST_CASE("conv2d: only needed gradients are computed") {
  Case c{"", 2, 5, 5, 2, 3, {3, 3}, {.stride = 2, .padding = 1}};
  for (const bool transposed : {false, true}) {
    for (const int mask : {1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15}) {
      CAPTURE(mask);
      c.options.negative_slope = mask < 8 ? 1.0 : 0.1;
      auto a = arguments(c, transposed);
      for (int i = 0; i < 3; ++i) {
        if ((mask >> i & 1) != 0) {
          a[static_cast<std::size_t>(i)].set_requires_grad();
        }
      }
      const Tensor y = run(c, transposed, a);
      const ConvRecorder recorder;
      y.backward(random_tensor(y.shape(), 4));
      // One kernel call for the input and one for the weight; the bias needs none.
      CHECK(recorder.records().size() == static_cast<std::size_t>((mask & 1) + (mask >> 1 & 1)));
      for (int i = 0; i < 3; ++i) {
        CHECK(a[static_cast<std::size_t>(i)].grad().defined() == ((mask >> i & 1) != 0));
      }
    }
  }
}

TEST_CASE("conv2d: an empty batch gives an empty result and zero gradients") {
  for_each_case([](Case c, bool transposed) {
    c.N = 0;
    auto a = arguments(c, transposed);
    a[0].set_requires_grad();
    a[1].set_requires_grad();
    const Tensor y = run(c, transposed, a);
    CHECK(y.size(0) == 0);
    y.backward(Tensor::empty(y.shape(), DType::float64));
    CHECK(a[0].grad().shape() == a[0].shape());
    CHECK(compare(a[1].grad(), Tensor::zeros(a[1].shape(), DType::float64)).ok);
  });
}

TEST_CASE("conv2d: bad arguments are named with all shapes") {
  const auto x = [](Shape shape) { return Tensor::zeros(shape); };
  CHECK(message_of<ShapeError>([&] {
          conv2d(x({8, 32, 32, 3}), x({16, 3, 3, 4}), {}, {.padding = 1});
        }) ==
        "conv2d: input has 3 channels, weight expects 4 (input [8,32,32,3], weight [16,3,3,4], "
        "stride {1,1}, padding {1,1})");
  CHECK(message_of<ShapeError>([&] {
          conv2d(x({1, 4, 4, 4}), x({6, 3, 3, 4}), {}, {.dilation = 2, .groups = 2});
        }) ==
        "conv2d: input has 4 channels, weight expects 8 (input [1,4,4,4], weight [6,3,3,4], "
        "stride {1,1}, padding {0,0}, dilation {2,2}, groups 2)");
  CHECK(message_of<ShapeError>([&] {
          conv2d(x({1, 4, 4, 3}), x({6, 3, 3, 3}), x({5}), {.padding = {0, 1, 2, 3}});
        }) ==
        "conv2d: bias has shape [5], expected [6] (input [1,4,4,3], weight [6,3,3,3], bias [5], "
        "stride {1,1}, padding {0,1,2,3})");
  CHECK(message_of<ShapeError>([&] {
          conv2d(x({4, 4, 3}), x({6, 3, 3, 3}));
        }) ==
        "conv2d: input has rank 3, expected 4: [N,H,W,channels] (input [4,4,3], weight [6,3,3,3], "
        "stride {1,1}, padding {0,0})");
  CHECK(
      message_of<ShapeError>([&] {
        conv_transpose2d(x({1, 4, 4, 3}), x({6, 3, 3, 3}), {}, {.stride = 2, .output_padding = 1});
      }) ==
      "conv_transpose2d: input has 3 channels, weight expects 6 (input [1,4,4,3], weight "
      "[6,3,3,3], stride {2,2}, padding {0,0}, output_padding {1,1})");

  CHECK(message_of<ShapeError>([&] {
          conv2d(x({1, 4, 4, 3}), x({6, 3, 3, 3}), {}, {.out_channels = 5});
        }) ==
        "conv2d: out_channels is 5, the weight's is 6 (input [1,4,4,3], weight [6,3,3,3], stride "
        "{1,1}, padding {0,0})");
  CHECK_THROWS_AS(conv2d(x({1, 4, 4, 3}), x({6, 3, 3, 3}), {}, {.in_channels = 4}), ShapeError);
  CHECK_THROWS_AS(conv2d(x({1, 4, 4, 3}), x({6, 3, 3, 3}), {}, {.kernel_size = {3, 2}}),
                  ShapeError);
  CHECK_THROWS_AS(conv2d(x({1, 4, 4, 3}), x({6, 3, 3, 3}), x({6}), {.bias = false}), ShapeError);
  CHECK_THROWS_AS(
      conv_transpose2d(x({1, 4, 4, 6}), x({6, 3, 3, 2}), {}, {.out_channels = 2, .groups = 2}),
      ShapeError);
  CHECK(conv_transpose2d(x({1, 4, 4, 6}), x({6, 3, 3, 2}), {},
                         {.in_channels = 6, .out_channels = 4, .kernel_size = 3, .groups = 2})
            .size(3) == 4);

  CHECK_THROWS_AS(conv2d(x({1, 2, 2, 1}), x({1, 3, 3, 1})), ShapeError);  // filter above the image
  CHECK_THROWS_AS(conv2d(x({1, 4, 4, 1}), x({1, 3, 3, 1}), {}, {.stride = 0}), ShapeError);
  CHECK_THROWS_AS(conv2d(x({1, 4, 4, 1}), x({1, 3, 3, 1}), {}, {.padding = -1}), ShapeError);
  CHECK_THROWS_AS(conv2d(x({1, 4, 4, 1}), x({1, 3, 3, 1}), {}, {.groups = 0}), ShapeError);
  for (const std::int64_t groups : {std::int64_t{3}, INT64_MAX - 1, INT64_MAX}) {
    CHECK_THROWS_AS(conv2d(x({1, 4, 4, 2}), x({2, 3, 3, 2}), {}, {.groups = groups}), ShapeError);
    CHECK_THROWS_AS(conv_transpose2d(x({1, 4, 4, 2}), x({2, 3, 3, 2}), {}, {.groups = groups}),
                    ShapeError);
  }
  CHECK_THROWS_AS(conv2d(x({1, 4, 4, 3}), x({3, 3, 3, 1}), {}, {.groups = 2}), ShapeError);
  CHECK_THROWS_AS(conv_transpose2d(x({1, 4, 4, 1}), x({1, 3, 3, 1}), {}, {.output_padding = 1}),
                  ShapeError);
  CHECK(message_of<Error>([&] {
          conv2d(x({1, 4, 4, 1}), x({1, 3, 3, 1}), {}, {.negative_slope = -0.1});
        }) == "conv2d: negative_slope must lie in [0, 1], got -0.1");
  CHECK_THROWS_AS(
      conv_transpose2d(x({1, 4, 4, 1}), x({1, 3, 3, 1}), {}, {.negative_slope = std::nan("")}),
      Error);
  CHECK_THROWS_AS(conv2d(x({1, 4, 4, 1}), Tensor()), Error);
  CHECK_THROWS_AS(conv2d(x({1, 4, 4, 1}), Tensor::zeros({1, 3, 3, 1}, DType::float64)), DtypeError);
  CHECK_THROWS_AS(
      conv2d(Tensor::zeros({1, 4, 4, 1}, DType::int64), Tensor::zeros({1, 3, 3, 1}, DType::int64)),
      DtypeError);
}

TEST_CASE("conv2d: a precision that the CPU lacks is an error") {
  const PrecisionScope scope(Precision::tf32);
  CHECK(message_of<DeviceError>([] {
          conv2d(Tensor::zeros({1, 4, 4, 1}), Tensor::zeros({1, 3, 3, 1}));
        }) == "conv2d: cpu has no precision mode tf32; it has fp32, bf16");
}

TEST_CASE("conv2d, conv_transpose2d, linear: bf16 rounds operands and result, and no more") {
  for (const Device device : testing::test_devices()) {
    CAPTURE(device.to_string());
    Tensor x = random_tensor({3, 7, 6, 8}, 1, DType::float32).to(device).set_requires_grad();
    Tensor w = random_tensor({8, 3, 3, 8}, 2, DType::float32).to(device).set_requires_grad();
    Tensor b = random_tensor({8}, 3, DType::float32).to(device).set_requires_grad();
    const auto rounded = [](const Tensor& tensor) {
      return tensor.detach().to(DType::bfloat16).to(DType::float64).set_requires_grad();
    };
    const auto near = [](const Tensor& got, const Tensor& expected, double tolerance) {
      const auto result = testing::compare(got, expected, {tolerance});
      CHECK_MESSAGE(result.ok, result.message);
    };
    const auto check = [&](const auto& call) {
      x.zero_grad();
      w.zero_grad();
      b.zero_grad();
      Tensor y;
      {
        const PrecisionScope scope(Precision::bf16);
        y = call(x, w, b);
      }
      CHECK(y.dtype() == DType::bfloat16);
      const Tensor xs = rounded(x), ws = rounded(w), bs = rounded(b);
      const Tensor expected = call(xs, ws, bs);
      near(y, expected, 0.04);
      const Tensor gradient = random_tensor(y.shape(), 4, DType::bfloat16).to(device);
      y.backward(gradient);
      expected.backward(gradient.to(DType::float64));
      CHECK(x.grad().dtype() == DType::float32);
      near(x.grad(), xs.grad(), 0.06);  // rounded on the way back to what gave x
      near(w.grad(), ws.grad(), 1e-4);  // not rounded
      near(b.grad(), bs.grad(), 1e-4);
    };
    check([](const Tensor& in, const Tensor& weight, const Tensor& bias) {
      return conv2d(in, weight, bias, {.stride = 2, .padding = 1});
    });
    check([](const Tensor& in, const Tensor& weight, const Tensor& bias) {
      return conv_transpose2d(in, weight, bias, {.stride = 2, .padding = 1});
    });
    check([](const Tensor& in, const Tensor& weight, const Tensor& bias) {
      return linear(in.reshape({-1, 8}), weight.reshape({-1, 8}).slice(0, 8), bias);
    });
  }
}

TEST_CASE("ConvPlanScope: forces, nests, and names what is possible") {
  const Tensor x = random_tensor({1, 4, 4, 2}, 1);
  const Tensor w = random_tensor({3, 3, 3, 2}, 2);
  const auto algorithm = [&] {
    const ConvRecorder recorder;
    conv2d(x, w);
    return std::string(recorder.records().at(0).plan.method());
  };
  CHECK(algorithm() == "convv2");
  {
    const ConvPlanScope outer("forward=reference");
    CHECK(algorithm() == "reference");
    {
      const ConvPlanScope inner("backward_data=reference");  // says nothing about forward
      CHECK(algorithm() == "reference");
      const ConvPlanScope innermost("forward=convv2");
      CHECK(algorithm() == "convv2");
    }
    CHECK(algorithm() == "reference");
  }
  CHECK(algorithm() == "convv2");

  CHECK(message_of<PlanError>([] { ConvPlanScope scope("forward=ks_deconv"); }) ==
        "conv2d: no algorithm \"ks_deconv\" for the pass forward; possible are convv2, simd, "
        "reference, box, pointwise, planes, halo, stem, box80, planes80, band, tiled, thin, gemm "
        "and direct");
  CHECK(message_of<PlanError>([] {
          ConvPlanScope scope("backward=reference");
        }).find("forward, backward_data, backward_filter") != std::string::npos);
  CHECK_THROWS_AS(parse_conv_plan_names("forward"), PlanError);
  CHECK_THROWS_AS(parse_conv_plan_names("forward="), PlanError);
  CHECK_THROWS_AS(parse_conv_plan_names("forward=reference,forward"), PlanError);
  CHECK_THROWS_AS(parse_conv_plan_names(",forward=convv2"), PlanError);
}

TEST_CASE("conv2d: in tf32 operands that are not aligned give the same, gradients too") {
  if (!testing::has_gpu()) {
    return;
  }
  const PrecisionScope tf32(Precision::tf32);
  const Shape shape{64, 8, 8, 64};
  const auto run = [&](bool aligned) {
    // A float behind the beginning of its memory, or at it.
    const Tensor all = random_tensor({1 + shape.numel()}, 1, DType::float32).to(Device::cuda());
    const Tensor odd = all.slice(1, all.size(0)).reshape(shape);
    const Tensor x = (aligned ? odd.clone() : odd.detach()).set_requires_grad();
    const Tensor w =
        random_tensor({64, 3, 3, 64}, 2, DType::float32).to(Device::cuda()).set_requires_grad();
    const Tensor y = conv2d(x, w, {}, {.padding = 1});
    std::vector<Tensor> all_results = gradients(y, std::vector<Tensor>{x, w}, odd.clone());
    all_results.push_back(y.detach());
    return all_results;
  };
  const std::vector<Tensor> odd = run(false);
  const std::vector<Tensor> even = run(true);
  for (std::size_t i = 0; i < even.size(); ++i) {
    CAPTURE(i);
    const auto result = compare(odd[i], even[i], {.absolute = 1e300, .relative_l2 = 2e-3});
    CHECK_MESSAGE(result.ok, result.message);
  }
}

}  // namespace
}  // namespace cks
