#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include "cks/core/conv/conv2d.h"
#include "tests/golden/golden.h"

// Every convolution of convolutions.safetensors with its three gradients, in float64 and float32.

namespace cks::golden {
namespace {

/// The fields of "<case>.options", in the order of make_golden.py.
struct Case {
  std::int64_t transposed, N, IH, IW, IC, OC, FH, FW, sh, sw, pt, pb, pl, pr, dh, dw, groups, oph,
      opw, bias;

  explicit Case(const Tensor& options) {
    const auto v = options.to_vector<std::int64_t>();
    REQUIRE(v.size() == 20);
    std::size_t i = 0;
    for (std::int64_t* field : {&transposed, &N,  &IH, &IW, &IC, &OC, &FH,     &FW,  &sh,  &sw,
                                &pt,         &pb, &pl, &pr, &dh, &dw, &groups, &oph, &opw, &bias}) {
      *field = v[i++];
    }
  }
  Shape weight() const {
    return transposed != 0 ? Shape{IC, FH, FW, OC / groups} : Shape{OC, FH, FW, IC / groups};
  }
  Tensor run(const Tensor& x, const Tensor& w, const Tensor& b) const {
    if (transposed != 0) {
      return conv_transpose2d(x, w, b,
                              {.stride = {sh, sw},
                               .padding = {pt, pb, pl, pr},
                               .output_padding = {oph, opw},
                               .dilation = {dh, dw},
                               .groups = groups});
    }
    return conv2d(
        x, w, b,
        {.stride = {sh, sw}, .padding = {pt, pb, pl, pr}, .dilation = {dh, dw}, .groups = groups});
  }
};

/// Result and gradients by x, w and, if there is one, the bias.
struct Results {
  Tensor y, dx, dw, db;
};

Results run(const Case& c, std::uint64_t index, DType dtype) {
  const std::uint64_t seed = 1000 * index;
  Tensor x = formula_tensor({c.N, c.IH, c.IW, c.IC}, seed + 1, dtype);
  Tensor w = formula_tensor(c.weight(), seed + 2, dtype);
  Tensor b = c.bias != 0 ? formula_tensor({c.OC}, seed + 3, dtype) : Tensor();
  x.set_requires_grad();
  w.set_requires_grad();
  if (b.defined()) {
    b.set_requires_grad();
  }
  const Tensor y = c.run(x, w, b);
  y.backward(formula_tensor(y.shape(), seed + 4, dtype));
  return {y.detach(), x.grad(), w.grad(), b.defined() ? b.grad() : Tensor()};
}

TEST_CASE("golden: convolutions and transposed convolutions with all gradients") {
  const Golden golden("convolutions");
  Errors errors;
  std::array<int, 2> count{};
  for (std::uint64_t index = 0;; ++index) {
    const std::string digits = std::to_string(index);
    const std::string name = std::string(3 - digits.size(), '0') + digits + ".";
    if (!golden.has(name + "options")) {
      break;
    }
    CAPTURE(name);
    const Case c(golden[name + "options"]);
    ++count[c.transposed != 0 ? 1 : 0];
    const Results wide = run(c, index, DType::float64);
    const Results narrow = run(c, index, DType::float32);
    // Terms of a sum: all elements are below 1, so c * eps * sqrt(L) bounds its error; c = 4.
    const auto tolerance = [](std::int64_t terms) {
      return 4.0 * 0x1p-23 * std::sqrt(static_cast<double>(terms + 1));
    };
    const std::int64_t pixels = wide.y.numel() / c.OC;
    const auto check = [&](const std::string& which, const Tensor& got64, const Tensor& got32,
                           std::int64_t terms) {
      CAPTURE(which);
      const auto exact = compare64(got64, golden[name + which], errors);
      CHECK_MESSAGE(exact.ok, exact.message);
      const auto twin = compare32(got32, golden[name + which], tolerance(terms), errors);
      CHECK_MESSAGE(twin.ok, twin.message);
    };
    check("y", wide.y, narrow.y, c.FH * c.FW * c.IC / c.groups);
    check("dx", wide.dx, narrow.dx, c.FH * c.FW * c.OC / c.groups);
    check("dw", wide.dw, narrow.dw, std::max(pixels, c.N * c.IH * c.IW));
    REQUIRE(golden.has(name + "db") == (c.bias != 0));
    if (c.bias != 0) {
      check("db", wide.db, narrow.db, pixels);
    }
  }
  CHECK(count[0] >= 40);
  CHECK(count[1] >= 30);
  MESSAGE(count[0] << " convolutions, " << count[1]
                   << " transposed; greatest relative error in float64 " << errors.float64
                   << ", in float32 " << errors.float32 << " of the tolerance");
}

}  // namespace
}  // namespace cks::golden
