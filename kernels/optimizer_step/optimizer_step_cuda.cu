// The optimisers on a GPU: one launch steps up to kMaxTensors parameters. Each block finds its own,
// works out the scalars once, and steps its stretch of elements.
#include "cks/kernels/common/multi_tensor.cuh"
#include "cks/kernels/common/pack.cuh"
#include "cks/kernels/optimizer_step/formulas_impl.h"

namespace cks::kernels::cuda {
namespace {

constexpr int kThreads = kListThreads;
constexpr int kMaxTensors = 48;  // kernel parameters hold 4 KB

template <class T>
struct Tensors {
  const T* grad[kMaxTensors];
  T* parameter[kMaxTensors];
  T* first[kMaxTensors];
  T* second[kMaxTensors];
  const std::int64_t* step[kMaxTensors];
  std::int64_t size[kMaxTensors];
  double learning_rate_scale[kMaxTensors];
  double weight_decay[kMaxTensors];
  std::int64_t stretch;  // elements of a block
  int first_block[kMaxTensors + 1];
  int count;
  const double* learning_rate;
  const double* grad_scale;
  const std::uint8_t* skip;
};
static_assert(sizeof(Tensors<float>) + sizeof(AdamStepOptions) <= 4000, "fits into 4 KB");

template <class T>
struct Sgd {
  using Scalars = SgdScalars<T>;
  SgdStepOptions options;
  __device__ Scalars scalars(double weight_decay, const StepNumbers& now,
                             const std::int64_t*) const {
    return sgd_scalars<T>(options, weight_decay, now);
  }
  __device__ static void step(const Scalars& s, T gradient, T& parameter, T& first, T&) {
    sgd_element(s, gradient, parameter, first);
  }
};

template <class T>
struct Adam {
  using Scalars = AdamScalars<T>;
  AdamStepOptions options;
  __device__ Scalars scalars(double weight_decay, const StepNumbers& now,
                             const std::int64_t* step) const {
    return adam_scalars<T>(options, weight_decay, now, *step);
  }
  __device__ static void step(const Scalars& s, T gradient, T& parameter, T& first, T& second) {
    adam_element(s, gradient, parameter, first, second);
  }
};

/// One tensor. State that a rule does not keep is null.
template <class T>
struct Addresses {
  const T* grad;
  T* parameter;
  T* first;
  T* second;
  __device__ bool aligned() const {
    const auto bits = [](const T* at) { return reinterpret_cast<std::uintptr_t>(at); };
    return (bits(grad) | bits(parameter) | bits(first) | bits(second)) % 16 == 0;
  }
};

/// Elements [i, i + V) of it.
template <class T, int V>
struct Elements {
  Pack<T, V> grad, parameter, first, second;

  __device__ __forceinline__ void load(const Addresses<T>& at, std::int64_t i) {
    grad = load_pack<V>(at.grad + i);
    parameter = load_pack<V>(at.parameter + i);
    if (at.first != nullptr) {
      first = load_pack<V>(at.first + i);
    }
    if (at.second != nullptr) {
      second = load_pack<V>(at.second + i);
    }
  }
  template <class Rule>
  __device__ __forceinline__ void step(const typename Rule::Scalars& s, const Addresses<T>& at,
                                       std::int64_t i) {
#pragma unroll
    for (int v = 0; v < V; ++v) {
      Rule::step(s, grad[v], parameter[v], first[v], second[v]);
    }
    store_pack<V>(at.parameter + i, parameter);
    if (at.first != nullptr) {
      store_pack<V>(at.first + i, first);
    }
    if (at.second != nullptr) {
      store_pack<V>(at.second + i, second);
    }
  }
};

template <class T, class Rule>
__global__ void __launch_bounds__(kThreads)
    step_kernel(const __grid_constant__ Tensors<T> p, const __grid_constant__ Rule rule) {
  begin_kernel();
  if (p.skip != nullptr && *p.skip != 0) {
    return;  // all threads of all blocks
  }
  __shared__ typename Rule::Scalars shared_scalars;
  const int tensor = dealt_tensor(p);
  if (threadIdx.x == 0) {
    const StepNumbers now{*p.learning_rate * p.learning_rate_scale[tensor],
                          p.grad_scale == nullptr ? 1.0 : *p.grad_scale};
    shared_scalars = rule.scalars(p.weight_decay[tensor], now, p.step[tensor]);
  }
  const Addresses<T> at{p.grad[tensor], p.parameter[tensor], p.first[tensor], p.second[tensor]};
  const auto [begin, end] = stretch_of(p, tensor, static_cast<int>(blockIdx.x));
  constexpr int V = kPackSize<T>;
  constexpr std::int64_t kStep = kThreads * V;
  const std::int64_t rest = at.aligned() ? end - (end - begin) % V : begin;
  std::int64_t i = begin + threadIdx.x * V;
  // What is loaded next is on its way while the scalars are worked out, and one batch is stepped.
  Elements<T, V> next{};
  if (i < rest) {
    next.load(at, i);
  }
  __syncthreads();
  const typename Rule::Scalars s = shared_scalars;
  for (; i < rest; i += kStep) {
    Elements<T, V> elements = next;
    if (i + kStep < rest) {
      next.load(at, i + kStep);
    }
    elements.template step<Rule>(s, at, i);
  }
  for (i = rest + threadIdx.x; i < end; i += kThreads) {
    Elements<T, 1> element{};
    element.load(at, i);
    element.template step<Rule>(s, at, i);
  }
}

/// Steps the tensors whose elements are T, kMaxTensors a launch.
template <class T, class Rule>
void step_tensors(const char* operation, const StepProblem& problem, const Rule& rule) {
  Tensors<T> none{};
  none.learning_rate = problem.learning_rate;
  none.grad_scale = problem.grad_scale;
  none.skip = problem.skip;
  const auto add = [&](Tensors<T>& list, int at, std::int64_t i) {
    const StepTensor& t = problem.tensors[i];
    list.grad[at] = static_cast<const T*>(t.grad);
    list.parameter[at] = static_cast<T*>(t.parameter);
    list.first[at] = static_cast<T*>(t.first);
    list.second[at] = static_cast<T*>(t.second);
    list.step[at] = t.step;
    list.size[at] = t.count;
    list.learning_rate_scale[at] = t.learning_rate_scale;
    list.weight_decay[at] = t.weight_decay;
    return t.dtype == dtype_of<T>() && t.count > 0;
  };
  for_lists(none, problem.count, add, [&](const Tensors<T>& list, int blocks) {
    launch(operation, step_kernel<T, Rule>, static_cast<unsigned>(blocks), kThreads, 0, list, rule);
  });
}

void check_dtypes(const char* operation, const StepProblem& problem) {
  for (std::int64_t i = 0; i < problem.count; ++i) {
    visit_real(operation, problem.tensors[i].dtype, [](auto) {});
  }
}

}  // namespace

void sgd_step(const StepProblem& problem, const SgdStepOptions& options) {
  check_dtypes("sgd", problem);
  step_tensors<float>("sgd", problem, Sgd<float>{options});
  step_tensors<double>("sgd", problem, Sgd<double>{options});
}

void adam_step(const StepProblem& problem, const AdamStepOptions& options) {
  check_dtypes("adam", problem);
  step_tensors<float>("adam", problem, Adam<float>{options});
  step_tensors<double>("adam", problem, Adam<double>{options});
}

}  // namespace cks::kernels::cuda
