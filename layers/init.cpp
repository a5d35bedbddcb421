#include "cks/layers/init.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "cks/core/autograd/autograd.h"
#include "cks/core/conv/matmul.h"
#include "cks/core/ops/eigh.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/rearrange.h"
#include "cks/core/tensor/check.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::init {
namespace {

/// Lets `fill` draw into memory of the host, and copies that to where the tensor lives.
template <class Fill>
void draw(const char* operation, Tensor& tensor, Fill&& fill) {
  ops::require_defined(operation, {{"tensor", tensor}});
  if (!is_floating(tensor.dtype())) {  // a copy would cut the fractions off
    throw DtypeError(formatted("{}: the tensor has dtype {}, expected a floating one", operation,
                               tensor.dtype()));
  }
  const bool wide = tensor.dtype() == DType::float64;
  Tensor host = Tensor::empty(tensor.shape(), wide ? DType::float64 : DType::float32);
  fill(host);
  const NoGradGuard no_grad;
  tensor.copy_(host);
}

double kaiming_stddev(const Tensor& weight, const KaimingOptions& options) {
  const Fans fans = fans_of(weight.shape());
  const std::int64_t fan = options.fan == FanMode::fan_in ? fans.in : fans.out;
  return std::sqrt(2.0 / ((1.0 + options.slope * options.slope) * static_cast<double>(fan)));
}

double xavier_stddev(const Tensor& weight, double gain) {
  const Fans fans = fans_of(weight.shape());
  return gain * std::sqrt(2.0 / static_cast<double>(fans.in + fans.out));
}

/// A uniform distribution of a standard deviation.
void uniform_of(Tensor& tensor, double stddev, RandomKey key) {
  const double bound = std::sqrt(3.0) * stddev;
  uniform(tensor, -bound, bound, key);
}

}  // namespace

Fans fans_of(const Shape& weight) {
  if (weight.rank() < 2 || weight.numel() == 0) {
    throw ShapeError(formatted(
        "init: fan_in and fan_out need a weight of rank 2 or more with elements, got {}", weight));
  }
  return {.in = weight.numel() / weight[0], .out = weight.numel() / weight[-1]};
}

RandomKey parameter_key(std::uint64_t seed, const std::string& module_path,
                        const std::string& name) {
  return make_random_key(seed, RandomPurpose::initialize,
                         module_path.empty() ? name : module_path + "." + name);
}

void constant(Tensor& tensor, double value) {
  const NoGradGuard no_grad;
  tensor.fill_(value);
}

void uniform(Tensor& tensor, double low, double high, RandomKey key) {
  draw("init::uniform", tensor, [&](Tensor& host) { fill_uniform(host, low, high, key); });
}

void normal(Tensor& tensor, double mean, double stddev, RandomKey key) {
  draw("init::normal", tensor, [&](Tensor& host) { fill_normal(host, mean, stddev, key); });
}

void kaiming_uniform(Tensor& weight, RandomKey key, const KaimingOptions& options) {
  uniform_of(weight, kaiming_stddev(weight, options), key);
}

void kaiming_normal(Tensor& weight, RandomKey key, const KaimingOptions& options) {
  normal(weight, 0.0, kaiming_stddev(weight, options), key);
}

void xavier_uniform(Tensor& weight, RandomKey key, double gain) {
  uniform_of(weight, xavier_stddev(weight, gain), key);
}

void xavier_normal(Tensor& weight, RandomKey key, double gain) {
  normal(weight, 0.0, xavier_stddev(weight, gain), key);
}

void dirac(Tensor& weight) {
  ops::require_rank("init::dirac", {"weight", weight}, 4, "[OC,FH,FW,IC]");
  const std::int64_t FH = weight.size(1);
  const std::int64_t FW = weight.size(2);
  const std::int64_t IC = weight.size(3);
  if (FH % 2 == 0 || FW % 2 == 0) {
    throw ShapeError(
        formatted("init::dirac: weight has shape {}, expected odd FH and FW", weight.shape()));
  }
  draw("init::dirac", weight, [&](Tensor& host) {
    host.zero_();
    const std::int64_t centre = (FH / 2 * FW + FW / 2) * IC;
    for (std::int64_t i = 0; i < std::min(weight.size(0), IC); ++i) {
      host[i].reshape({-1})[centre + i].fill_(1.0);
    }
  });
}

void whitening(Tensor& weight, const Tensor& images, double eps) {
  const char* operation = "init::whitening";
  ops::require_real(operation, {"weight", weight});
  ops::require_real(operation, {"images", images});
  ops::require_rank(operation, {"weight", weight}, 4, "[OC,FH,FW,IC]");
  ops::require_rank(operation, {"images", images}, 4, "[N,H,W,IC]");
  const std::int64_t OC = weight.size(0);
  const std::int64_t FH = weight.size(1);
  const std::int64_t FW = weight.size(2);
  const std::int64_t rows = images.size(1) - FH + 1;
  const std::int64_t columns = images.size(2) - FW + 1;
  const std::int64_t size = weight.numel() / std::max<std::int64_t>(OC, 1);
  if (images.size(3) != weight.size(3) || images.size(0) < 1 || rows < 1 || columns < 1 ||
      OC % 2 != 0 || OC > 2 * size || OC < 2) {
    throw ShapeError(formatted(
        "{}: weight has shape {} and images {}, expected filters of their channels that fit into "
        "them, an even number of at most two for each value of a window",
        operation, weight.shape(), images.shape()));
  }
  if (!(eps > 0.0)) {
    throw Error(formatted("{}: eps must be above 0, got {}", operation, eps));
  }
  const NoGradGuard no_grad;
  const PrecisionScope precision(Precision::fp32);
  std::vector<Tensor> taps;
  for (std::int64_t fh = 0; fh < FH; ++fh) {
    for (std::int64_t fw = 0; fw < FW; ++fw) {
      taps.push_back(slice(slice(images, 1, fh, fh + rows), 2, fw, fw + columns));
    }
  }
  const Tensor windows = transpose(concat(taps, 3).reshape({-1, size}));
  const Tensor moments = linear(windows, windows) / static_cast<double>(windows.size(1));
  const auto [values, vectors] = eigh(moments.to(DType::float64).to(Device::cpu()));
  const Tensor scaled = transpose(vectors / sqrt(maximum(values, values * 0.0) + eps));
  std::vector<Tensor> filters;
  for (std::int64_t i = 0; i < OC; ++i) {
    const Tensor one = scaled[size - 1 - i % (OC / 2)];  // the greatest is the last
    filters.push_back(i < OC / 2 ? one : -one);
  }
  weight.copy_(stack(filters).reshape(weight.shape()));
}

void weight_and_bias(Tensor& weight, Tensor& bias, std::uint64_t seed,
                     const std::string& module_path) {
  kaiming_uniform(weight, parameter_key(seed, module_path, "weight"), {.slope = std::sqrt(5.0)});
  if (bias.defined()) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(fans_of(weight.shape()).in));
    uniform(bias, -bound, bound, parameter_key(seed, module_path, "bias"));
  }
}

}  // namespace cks::init
