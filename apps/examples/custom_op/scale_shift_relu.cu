// Your own operations on CPU and GPU, in one file that you can copy: y = relu(x * scale + shift) in
// one pass over memory, scale and shift being one number a channel (the last axis), and one without
// a gradient. Checks its gradients on every device, and that a captured step (a CUDA graph on a
// GPU) repeats forward and backward with new inputs; expected: "cpu: ok", and "cuda:0: ok" where
// there is a GPU.
#include <cmath>
#include <cstdio>
#include <exception>
#include <string>

#include "cks/cks.h"
#include "cks/kernels/common/host_device.h"
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/common/parallel_for.h"

namespace {

using cks::Device;
using cks::Tensor;

// 1. The formulas, one for each pass: what happens to element i, the same on both devices.
template <class T>
struct Forward {
  const T* x;
  const T* scale;
  const T* shift;
  T* y;
  std::int64_t channels;
  CKS_HOST_DEVICE void operator()(std::int64_t i) const {
    const T value = x[i] * scale[i % channels] + shift[i % channels];
    y[i] = value > T(0) ? value : T(0);
  }
};

/// The gradient of x * scale + shift: that of y where y is above 0.
template <class T>
struct Backward {
  const T* y;
  const T* grad_y;
  T* grad;
  CKS_HOST_DEVICE void operator()(std::int64_t i) const {
    grad[i] = y[i] > T(0) ? grad_y[i] : T(0);
  }
};

// 2. How elements are walked through.
template <class Body>
__global__ void elements_kernel(std::int64_t count, Body body) {
  cks::kernels::cuda::begin_kernel();
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) {
    body(i);
  }
}

template <class Body>
void for_each_element(const char* operation, Device device, std::int64_t count, Body body) {
  if (cks::ops::select_cuda(device)) {  // queued on this thread's current stream
    namespace cuda = cks::kernels::cuda;
    cuda::launch(operation, elements_kernel<Body>, cuda::grid_for(count, 256), 256, 0, count, body);
    return;
  }
  cks::kernels::parallel_for_ranges(count, 4096, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      body(i);
    }
  });
}

// 3. The place on the tape: what backward needs, and what it makes of it. Products and sums are
// left to operations that there are.
struct ScaleShiftReluBackward : cks::Node {
  cks::SavedTensor x{this};
  cks::SavedTensor scale{this};
  cks::SavedTensor y{this};

  const char* name() const override { return "scale_shift_relu"; }
  std::vector<Tensor> backward(const Tensor& grad_output,
                               const std::vector<bool>& needed) override {
    Tensor grad = cks::ops::make_output(name(), grad_output.shape(), grad_output.dtype(),
                                        grad_output.device());
    cks::visit_real(name(), grad.dtype(), [&](auto tag) {
      using T = decltype(tag);
      for_each_element(
          name(), grad.device(), grad.numel(),
          Backward<T>{y.get().data_as<T>(), grad_output.data_as<T>(), grad.data_as<T>()});
    });
    const Tensor rows = grad.reshape({-1, grad.size(-1)});
    return {needed[0] ? grad * scale.get() : Tensor(),
            needed[1] ? cks::sum(rows * x.get().reshape(rows.shape()), {0}) : Tensor(),
            needed[2] ? cks::sum(rows, {0}) : Tensor()};
  }
};

// 4. The operation: checks, a fresh result, the pass, the tape.
/// relu(x * scale + shift). Shapes: x [..,C] with a row, scale and shift [C]. float32 or float64.
Tensor scale_shift_relu(const Tensor& x, const Tensor& scale, const Tensor& shift) {
  const char* operation = "scale_shift_relu";
  cks::ops::require_same(operation, {{"x", x}, {"scale", scale}, {"shift", shift}});
  cks::ops::require_shape(operation, {"scale", scale}, {x.size(-1)});
  cks::ops::require_shape(operation, {"shift", shift}, {x.size(-1)});
  Tensor y = cks::ops::make_output(operation, x.shape(), x.dtype(), x.device());
  cks::visit_real(operation, x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    for_each_element(operation, x.device(), x.numel(),
                     Forward<T>{x.data_as<T>(), scale.data_as<T>(), shift.data_as<T>(),
                                y.data_as<T>(), x.size(-1)});
  });
  return cks::record<ScaleShiftReluBackward>(y, {x, scale, shift},
                                             [&](ScaleShiftReluBackward& node) {
                                               node.x.save(x);
                                               node.scale.save(scale);
                                               node.y.save(y);
                                             });
}

// 5. An operation without a gradient says so: backward() through it is then an error with its name,
// instead of parameters that learn nothing.
template <class T>
struct RoundToGrid {
  const T* x;
  T* y;
  T step;
  CKS_HOST_DEVICE void operator()(std::int64_t i) const { y[i] = std::floor(x[i] / step) * step; }
};

/// The next multiple of `step` below or at each element. float32 or float64.
Tensor round_to_grid(const Tensor& x, double step) {
  const char* operation = "round_to_grid";
  cks::ops::require_defined(operation, {{"x", x}});
  Tensor y = cks::ops::make_output(operation, x.shape(), x.dtype(), x.device());
  cks::visit_real(operation, x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    for_each_element(operation, x.device(), x.numel(),
                     RoundToGrid<T>{x.data_as<T>(), y.data_as<T>(), static_cast<T>(step)});
  });
  return cks::record_no_gradient(operation, y, {x});
}

/// Values in [-1, 1).
Tensor random(const cks::Shape& shape, Device device, std::uint64_t seed) {
  Tensor tensor = Tensor::empty(shape, cks::DType::float64, device);
  cks::fill_uniform(tensor, -1.0, 1.0, cks::make_random_key(seed, cks::RandomPurpose::data));
  return tensor;
}

/// Whether a step that is recorded once computes with what its inputs hold when it is repeated.
bool repeats(Device device) {
  Tensor x = random({4, 5}, device, 1);
  Tensor scale = random({5}, device, 2).set_requires_grad();
  const Tensor shift = random({5}, device, 3);
  Tensor y;
  cks::CapturedStep step(
      [&] {
        scale.zero_grad();
        y = scale_shift_relu(x, scale, shift);
        cks::sum(y).backward();
      },
      device);
  for (std::uint64_t seed = 4; seed < 8; ++seed) {
    x.copy_(random({4, 5}, device, seed));
    step.run();
    const Tensor got = scale.grad().clone();
    scale.zero_grad();
    const Tensor expected = scale_shift_relu(x, scale, shift);
    cks::sum(expected).backward();
    if (y.to_vector<double>() != expected.to_vector<double>() ||
        got.to_vector<double>() != scale.grad().to_vector<double>()) {
      return false;
    }
  }
  return true;
}

/// Whether backward through the operation without a gradient is an error that names it.
bool refuses(Device device) {
  const Tensor x = random({3}, device, 9).set_requires_grad();
  try {
    cks::sum(round_to_grid(x * 2.0, 0.5)).backward();
  } catch (const cks::AutogradError& error) {
    return std::string(error.what()).starts_with("round_to_grid: has no gradient");
  }
  return false;
}

bool check(Device device) {
  const auto report = cks::grad_check(
      [](const std::vector<Tensor>& in) { return scale_shift_relu(in[0], in[1], in[2]); },
      {random({4, 3, 3, 5}, device, 1), random({5}, device, 2), random({5}, device, 3)});
  const char* text = !report            ? report.message.c_str()
                     : !repeats(device) ? "a captured step computes something else"
                     : !refuses(device) ? "no error for a gradient that there is not"
                                        : "ok";
  std::printf("%s: %s\n", device.to_string().c_str(), text);
  return std::string(text) == "ok";
}

}  // namespace

int main() try {
  bool ok = check(Device::cpu());
  if (cks::cuda_device_count() > 0) {
    ok = check(Device::cuda()) && ok;
  }
  return ok ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
