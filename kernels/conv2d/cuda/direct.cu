// Kernels that take any problem: one thread for each element of the result, bounds found per
// thread. Templates over the element and the accumulator: with float64 sums they are the reference
// on the GPU; with the element's own type they are the generic ConvV2, KS-deconv and Sk-dilated for
// depthwise and grouped convolutions and for problems with too many kinds of positions.
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/cuda/cost.h"
#include "cks/kernels/conv2d/cuda/kernels.h"
#include "cks/kernels/conv2d/taps.h"

namespace cks::kernels::cuda {
namespace {

constexpr int kThreads = 256;

template <class T, class Sum>
__global__ void direct_forward_kernel(Conv2dProblem p, const T* x, const T* w,
                                      TypedEpilogue<T> epilogue, T* y, std::int64_t count) {
  begin_kernel();
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t group_in = p.IC / p.G, group_out = p.OC / p.G;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += step) {
    const std::int64_t oc = i % p.OC, pixel = i / p.OC;
    const std::int64_t ow = pixel % p.OW, oh = pixel / p.OW % p.OH, n = pixel / p.OW / p.OH;
    Sum sum = epilogue.bias != nullptr ? widen<Sum>(epilogue.bias[oc]) : Sum{0};
    for (std::int64_t fh = 0; fh < p.FH; ++fh) {
      const std::int64_t ih = oh * p.sh - p.pt + fh * p.dh;
      if (ih < 0 || ih >= p.IH) {
        continue;
      }
      for (std::int64_t fw = 0; fw < p.FW; ++fw) {
        const std::int64_t iw = ow * p.sw - p.pl + fw * p.dw;
        if (iw < 0 || iw >= p.IW) {
          continue;
        }
        const T* from = x + ((n * p.IH + ih) * p.IW + iw) * p.x_pitch + oc / group_out * group_in;
        const T* weight = w + ((oc * p.FH + fh) * p.FW + fw) * group_in;
        for (std::int64_t c = 0; c < group_in; ++c) {
          sum += widen<Sum>(from[c]) * widen<Sum>(weight[c]);
        }
      }
    }
    const std::int64_t at = pixel * p.y_pitch + oc;
    y[at] = narrowed<T>(epilogue.finish(sum, oc, at));
  }
}

template <class T, class Sum>
__global__ void direct_backward_data_kernel(Conv2dProblem p, const T* dy, const T* w,
                                            TypedEpilogue<T> epilogue, T* dx, std::int64_t count) {
  begin_kernel();
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t group_in = p.IC / p.G, group_out = p.OC / p.G;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += step) {
    const std::int64_t ic = i % p.IC, pixel = i / p.IC;
    const std::int64_t iw = pixel % p.IW, ih = pixel / p.IW % p.IH, n = pixel / p.IW / p.IH;
    const std::int64_t group = ic / group_in;
    Sum sum = epilogue.bias != nullptr ? widen<Sum>(epilogue.bias[ic]) : Sum{0};
    for (std::int64_t fh = 0; fh < p.FH; ++fh) {
      const std::int64_t up = ih + p.pt - fh * p.dh;
      if (up < 0 || up % p.sh != 0 || up / p.sh >= p.OH) {
        continue;
      }
      for (std::int64_t fw = 0; fw < p.FW; ++fw) {
        const std::int64_t left = iw + p.pl - fw * p.dw;
        if (left < 0 || left % p.sw != 0 || left / p.sw >= p.OW) {
          continue;
        }
        const T* from =
            dy + ((n * p.OH + up / p.sh) * p.OW + left / p.sw) * p.y_pitch + group * group_out;
        const T* weight =
            w + ((group * group_out * p.FH + fh) * p.FW + fw) * group_in + ic % group_in;
        for (std::int64_t c = 0; c < group_out; ++c) {
          sum += widen<Sum>(from[c]) * widen<Sum>(weight[c * p.FH * p.FW * group_in]);
        }
      }
    }
    const std::int64_t at = pixel * p.x_pitch + ic;
    dx[at] = narrowed<T>(epilogue.finish(sum, ic, at));
  }
}

/// One thread for an element of dW and a slice of the rows of all images; neighbouring threads are
/// neighbouring output channels, which for depthwise filters are neighbours in memory.
template <class T, class Sum, class Out>
__global__ void direct_backward_filter_kernel(Conv2dProblem p, const T* x, const T* dy, Out* out,
                                              std::int64_t size, std::int64_t slices) {
  begin_kernel();
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t group_in = p.IC / p.G, group_out = p.OC / p.G;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
       i < size * slices; i += step) {
    const std::int64_t slice = i / size, element = i % size;
    const std::int64_t oc = element % p.OC, rest = element / p.OC;
    const std::int64_t ic = rest % group_in, tap = rest / group_in;
    const std::int64_t fw = tap % p.FW, fh = tap / p.FW;
    const IndexRange rows = tap_outputs(row_axis(p), fh);
    const IndexRange columns = tap_outputs(column_axis(p), fw);
    const std::int64_t height = rows.size();
    const std::int64_t begin = p.N * height * slice / slices;
    const std::int64_t end = p.N * height * (slice + 1) / slices;
    Sum sum{0};
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t n = row / height;
      const std::int64_t oh = rows.begin + row - n * height;
      const std::int64_t ih = oh * p.sh - p.pt + fh * p.dh;
      const T* from =
          x + ((n * p.IH + ih) * p.IW + columns.begin * p.sw - p.pl + fw * p.dw) * p.x_pitch +
          oc / group_out * group_in + ic;
      const T* gradient = dy + ((n * p.OH + oh) * p.OW + columns.begin) * p.y_pitch + oc;
      for (std::int64_t ow = columns.begin; ow < columns.end; ++ow) {
        sum += widen<Sum>(*from) * widen<Sum>(*gradient);
        from += p.sw * p.x_pitch;
        gradient += p.y_pitch;
      }
    }
    out[slice * size + ((oc * p.FH + fh) * p.FW + fw) * group_in + ic] = narrowed<Out>(sum);
  }
}

template <class T, class Sum>
void run_typed(const PreparedConv2d& conv, const Conv2dOperands& o) {
  const Conv2dProblem& p = conv.problem;
  if (conv.plan.pass == Conv2dPass::backward_filter) {
    using Out = ComputeType<T>;  // of dW and the partial sums
    const std::int64_t size = filter_size(p);
    const std::int64_t split_k = conv.plan.split_k;
    launch("sk_dilated", direct_backward_filter_kernel<T, Sum, Out>,
           grid_for(size * split_k, kThreads), kThreads, 0, p, static_cast<const T*>(o.x),
           static_cast<const T*>(o.y), static_cast<Out*>(gradient_slices(conv, o)), size, split_k);
    return add_gradient_slices(conv, o);
  }
  const bool forward = conv.plan.pass == Conv2dPass::forward;
  const std::int64_t count = p.N * (forward ? p.OH * p.OW * p.OC : p.IH * p.IW * p.IC);
  if (count > 0) {
    launch(forward ? "convv2" : "ks_deconv",
           forward ? direct_forward_kernel<T, Sum> : direct_backward_data_kernel<T, Sum>,
           grid_for(count, kThreads), kThreads, 0, p, static_cast<const T*>(forward ? o.x : o.y),
           static_cast<const T*>(o.w), TypedEpilogue<T>(o.epilogue), static_cast<T*>(o.result),
           count);
  }
}

/// In the problem's type, with sums of it (bfloat16: float32), or of float64.
template <bool kWide>
std::int64_t run_any(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  using Sum = std::conditional_t<kWide, double, float>;
  const DType type = conv.problem.x_type;
  const auto run = type == DType::float64    ? run_typed<double, double>
                   : type == DType::bfloat16 ? run_typed<bfloat16, Sum>
                                             : run_typed<float, Sum>;
  run(conv, operands);
  return exact_multiply_adds(conv.problem);
}

}  // namespace

std::int64_t run_direct(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  return run_any<false>(conv, operands);
}

std::int64_t run_reference(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  return run_any<true>(conv, operands);
}

}  // namespace cks::kernels::cuda
