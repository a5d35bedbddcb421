// Batch normalisation on a GPU; row_sums.cuh says how work is cut.
#include <algorithm>
#include <type_traits>

#include "cks/kernels/batch_norm/batch_norm.h"
#include "cks/kernels/batch_norm/elements.cuh"
#include "cks/kernels/batch_norm/row_sums.cuh"

namespace cks::kernels::cuda {
namespace {

/// The threads' channels, computed once a block and laid where all of its threads find them; what
/// lies beyond C is left.
template <class Channel, class Make>
__device__ __forceinline__ void share_channels(Channel* shared, std::int64_t C, int V,
                                               std::int64_t channel_blocks, const Make& make) {
  const int channel = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  const int width = static_cast<int>(blockDim.x) * V;
  const std::int64_t c = blockIdx.x % channel_blocks * width + channel;
  if (channel < width && c < C) {
    shared[channel] = make(c);
  }
  __syncthreads();
}

/// A pass over all elements, each with what channel_at says of its channel.
template <class Elements, class ChannelAt>
__global__ void __launch_bounds__(kThreads, kResident)
    elements_kernel(const __grid_constant__ Elements elements,
                    const __grid_constant__ ChannelAt channel_at, std::int64_t channel_blocks) {
  begin_kernel();
  constexpr int V = Elements::kChannels;
  using Channel = typename Elements::Channel;
  __shared__ Channel channels[kThreads];
  const std::int64_t c = channel_of<V>(channel_blocks);
  const std::int64_t height = Elements::kRows * static_cast<std::int64_t>(blockDim.y);
  const std::int64_t step = gridDim.x / channel_blocks * height;
  const std::int64_t end = elements.rows;
  std::int64_t first = c < elements.C ? blockIdx.x / channel_blocks * height + threadIdx.y : end;
  typename Elements::Batch next;
  if (first < end) {
    elements.load(next, c, first);
  }
  share_channels(channels, elements.C, V, channel_blocks, channel_at);
  Channel channel[V];
#pragma unroll
  for (int v = 0; v < V; ++v) {
    channel[v] = channels[threadIdx.x * V + v];
  }
  while (first < end) {
    const typename Elements::Batch batch = next;
    const std::int64_t after = first + step;
    if (after < end) {
      elements.load(next, c, after);
    }
    Pack<typename Elements::Element, V> result[Elements::kRows];
#pragma unroll
    for (int i = 0; i < Elements::kRows; ++i) {
#pragma unroll
      for (int v = 0; v < V; ++v) {
        result[i][v] =
            narrowed<typename Elements::Element>(elements.compute(batch, i, v, channel[v]));
      }
    }
    store_rows(elements.result + c, result, first, end, elements.C);
    first = after;
  }
}

template <class T>
__global__ void inv_std_kernel(std::int64_t C, double eps, const T* var, T* inv_std) {
  begin_kernel();
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; c < C;
       c += stride) {
    inv_std[c] = static_cast<T>(inverse_std(static_cast<double>(var[c]), eps));
  }
}

template <class Elements, class ChannelAt>
void pass_over_elements(const BatchNormProblem& p, const Elements& elements,
                        const ChannelAt& channel_at) {
  const Cut cut = cut_of(p, Elements::kChannels, Elements::kRows);
  launch("batch_norm", elements_kernel<Elements, ChannelAt>,
         static_cast<unsigned>(cut.row_blocks * cut.channel_blocks),
         dim3(static_cast<unsigned>(cut.columns), static_cast<unsigned>(cut.rows)), 0, elements,
         channel_at, cut.channel_blocks);
}

template <class T>
__global__ void merge_kernel(std::int64_t C, std::int64_t parts, const double* moments,
                             const __grid_constant__ ChannelFinish<T> finish) {
  begin_kernel();
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; c < C;
       c += stride) {
    merge_moments(c, C, parts, moments, finish);
  }
}

__global__ void rows_kernel(double rows, double* to) {
  begin_kernel();
  *to = rows;
}

template <class T, class X, class Finish>
void sum_statistics(const BatchNormProblem& p, const X* x, const Finish& finish, double* partial) {
  with_channels<X, kMostChannels>(p.C, aligned_for_packs(x), [&](auto V) {
    sum_rows(p, StatisticsTerms<X, T, V>{x, p.rows, p.C}, finish, partial);
  });
}

template <class X, class T>
void statistics(const BatchNormProblem& p, double eps, double momentum, const X* x, T* mean,
                T* inv_std, T* running_mean, T* running_var, double* partial) {
  const StatisticsFinish<X, T> finish{
      x, {mean, inv_std, running_mean, running_var, eps, momentum}, static_cast<double>(p.rows)};
  sum_statistics<T>(p, x, finish, partial);
}

template <class X>
void moments(const BatchNormProblem& p, const X* x, double* to, double* partial) {
  sum_statistics<ComputeType<X>>(p, x, MomentsFinish<X>{x, to, static_cast<double>(p.rows), p.C},
                                 partial);
}

template <class T>
void merge(const BatchNormProblem& p, std::int64_t parts, const double* moments, double eps,
           double momentum, T* mean, T* inv_std, T* running_mean, T* running_var) {
  const ChannelFinish<T> finish{mean, inv_std, running_mean, running_var, eps, momentum};
  launch("batch_norm", merge_kernel<T>, grid_for(p.C, kThreads), kThreads, 0, p.C, parts, moments,
         finish);
}

/// Calls body with the activation.
template <class X, class T, class Body>
void with_activation(bool is_gelu, double slope, Body&& body) {
  is_gelu ? body(GeluActivation<X, T>{}) : body(SlopeActivation<T>{static_cast<T>(slope)});
}

template <class X, class T>
void forward(const BatchNormProblem& p, const X* x, const T* mean, const T* inv_std,
             const T* weight, const T* bias, const BatchNormEnd& end, X* y) {
  if (p.rows == 0 || p.C == 0) {
    return;
  }
  const auto* const residual = static_cast<const X*>(end.residual);
  with_channels<X, kMostChannels>(p.C, aligned_for_packs(x, residual, y), [&](auto V) {
    const auto pass = [&](auto has_residual, auto activation) {
      pass_over_elements(p,
                         ForwardElements<has_residual, decltype(activation), X, T, V>{
                             x, residual, y, activation, p.rows, p.C},
                         ForwardChannels<T>{mean, inv_std, weight, bias});
    };
    if (residual != nullptr) {
      pass(std::true_type{}, SlopeActivation<T>{static_cast<T>(end.slope)});
    } else {
      with_activation<X, T>(end.gelu, end.slope,
                            [&](auto activation) { pass(std::false_type{}, activation); });
    }
  });
}

/// Calls body(masking, activation, two_terms) with how `mask` masks, by what, and whether dY has
/// two terms, as integral constants.
template <class X, class T, class Body>
void with_masking(const BatchNormMask& mask, Body&& body) {
  const SlopeActivation<T> slope{static_cast<T>(mask.slope)};
  const auto terms = [&](auto masking, auto activation) {
    mask.dy_term == nullptr ? body(masking, activation, std::false_type{})
                            : body(masking, activation, std::true_type{});
  };
  if (mask.y == nullptr) {
    body(std::integral_constant<Masking, Masking::none>{}, slope, std::false_type{});
  } else if (mask.by_input) {
    with_activation<X, T>(mask.gelu, mask.slope, [&](auto activation) {
      terms(std::integral_constant<Masking, Masking::by_input>{}, activation);
    });
  } else {
    terms(std::integral_constant<Masking, Masking::by_result>{}, slope);
  }
}

/// Whether dX is computed from dY as it is, and masks it by the input if at all.
bool reads_dy(const BatchNormMask& mask) {
  return mask.y == nullptr || (mask.by_input && mask.dy_term == nullptr);
}

/// And the residual's gradient, if it is wanted.
template <class X, class T>
void sum_gradients(const BatchNormProblem& p, const X* x, const X* dy, const T* mean,
                   const T* inv_std, const BatchNormMask& mask, const GradientFinish<T>& finish,
                   double* partial) {
  if (p.C == 0) {
    return;
  }
  const auto* const y = mask.by_input ? nullptr : static_cast<const X*>(mask.y);
  const auto* const dy_term = static_cast<const X*>(mask.dy_term);
  auto* const dresidual = static_cast<X*>(mask.dresidual);
  with_channels<X, kMostChannels>(
      p.C, aligned_for_packs(x, dy, dy_term, y, dresidual), [&](auto V) {
        with_masking<X, T>(mask, [&](auto masking, auto activation, auto two_terms) {
          sum_rows(p,
                   GradientTerms<masking, decltype(activation), two_terms, X, T, V>{
                       x, dy, dy_term, y, dresidual, activation, mean, inv_std,
                       static_cast<const T*>(mask.weight), static_cast<const T*>(mask.bias), p.rows,
                       p.C},
                   finish, partial);
        });
      });
}

/// `sums` and `shared_rows` as GradientChannels takes them; unless reads_dy(), sum_gradients() has
/// been called and dY is taken as it masked it.
template <class X, class T>
void input_gradient(const BatchNormProblem& p, const X* x, const X* dy, const T* mean,
                    const T* inv_std, const T* weight, const BatchNormMask& mask,
                    const double* sums, const double* shared_rows, X* dx) {
  if (p.rows == 0 || p.C == 0 || dx == nullptr) {
    return;
  }
  const X* const gradient = reads_dy(mask) ? dy : static_cast<const X*>(mask.dresidual);
  const GradientChannels<T> channels{
      {mean, inv_std, weight, static_cast<const T*>(mask.bias)}, sums, shared_rows, p.rows, p.C};
  with_channels<X, kMostChannels>(p.C, aligned_for_packs(x, gradient, dx), [&](auto V) {
    const auto pass = [&](auto is_masked, auto activation) {
      pass_over_elements(
          p,
          GradientElements<is_masked, decltype(activation), X, T, V>{
              x, gradient, dx, activation, static_cast<T>(mask.input_slope), p.rows, p.C},
          channels);
    };
    if (mask.y != nullptr && reads_dy(mask)) {
      with_activation<X, T>(mask.gelu, mask.slope,
                            [&](auto activation) { pass(std::true_type{}, activation); });
    } else {
      pass(std::false_type{}, SlopeActivation<T>{});
    }
  });
}

template <class X, class T>
void backward(const BatchNormProblem& p, BatchNormMode mode, const X* x, const X* dy, const T* mean,
              const T* inv_std, const T* weight, const BatchNormMask& mask, X* dx, T* dweight,
              T* dbias, double* partial) {
  const bool uses_sums = dx != nullptr && mode == BatchNormMode::batch_statistics;
  if (dweight != nullptr || dbias != nullptr || uses_sums || mask.dresidual != nullptr) {
    sum_gradients(p, x, dy, mean, inv_std, mask,
                  GradientFinish<T>{inv_std, dweight, dbias, partial, p.C}, partial);
  }
  input_gradient(p, x, dy, mean, inv_std, weight, mask, uses_sums ? partial : nullptr, nullptr, dx);
}

template <class X, class T>
void gradient_sums(const BatchNormProblem& p, const X* x, const X* dy, const T* mean,
                   const T* inv_std, const BatchNormMask& mask, double* sums, T* dweight, T* dbias,
                   double* partial) {
  sum_gradients(p, x, dy, mean, inv_std, mask,
                GradientFinish<T>{inv_std, dweight, dbias, sums, p.C}, partial);
  launch("batch_norm", rows_kernel, 1U, 1, 0, static_cast<double>(p.rows), sums + 2 * p.C);
}

template <class X, class T>
void shared_input_gradient(const BatchNormProblem& p, const X* x, const X* dy, const T* mean,
                           const T* inv_std, const T* weight, const BatchNormMask& mask,
                           const double* sums, X* dx) {
  input_gradient(p, x, dy, mean, inv_std, weight, mask, sums, sums + 2 * p.C, dx);
}

/// Calls body with the types of images and of channels.
template <class Body>
void visit_types(DType dtype, const Body& body) {
  if (dtype == DType::bfloat16) {
    body.template operator()<bfloat16, float>();
  } else {
    visit_real("batch_norm", dtype, [&]<class T>(T) { body.template operator()<T, T>(); });
  }
}

}  // namespace

std::size_t batch_norm_workspace_bytes(const BatchNormProblem& problem) {
  // Whichever packs the addresses allow, and the smallest batches.
  const auto row_blocks_of = [&](int V) { return cut_of(problem, V, kLeastRows).row_blocks; };
  const std::int64_t row_blocks =
      std::max({row_blocks_of(1), row_blocks_of(kPackSize<double>), row_blocks_of(kMostChannels)});
  return static_cast<std::size_t>(row_blocks * 2 * problem.C) * sizeof(double);
}

void batch_norm_inv_std(const BatchNormProblem& problem, double eps, const void* var,
                        void* inv_std) {
  visit_types(problem.dtype, [&]<class X, class T>() {
    launch("batch_norm", inv_std_kernel<T>, grid_for(problem.C, kThreads), kThreads, 0, problem.C,
           eps, static_cast<const T*>(var), static_cast<T*>(inv_std));
  });
}

#include "cks/kernels/batch_norm/entry_points_impl.h"

}  // namespace cks::kernels::cuda
