#include "cks/kernels/conv2d/reference.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <string>

#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/conv2d/cpu/kernels.h"

namespace cks::kernels::CKS_CPU {
namespace {

void require_floating(const char* operation, const char* argument, DType dtype) {
  if (!is_floating(dtype)) {
    throw DtypeError(std::string(operation) + ": " + argument +
                     " must be float32, float64 or bfloat16, got " + name_of(dtype));
  }
}

/// Calls body(A{}, F{}) with the types of activations (X, Y) and of the filter (W, bias).
template <class Body>
void visit_types(const char* operation, const Conv2dProblem& p, Body&& body) {
  if (p.x_type != p.y_type) {
    throw DtypeError(std::string(operation) + ": X and Y must have one dtype, got " +
                     name_of(p.x_type) + " and " + name_of(p.y_type) + " (" + to_string(p) + ")");
  }
  require_floating(operation, "X", p.x_type);
  require_floating(operation, "W", p.w_type);
  visit_floating(operation, p.x_type, [&](auto activation) {
    visit_floating(operation, p.w_type, [&](auto filter) { body(activation, filter); });
  });
}

/// Channels whose sums backward_filter keeps at once: it would wait for memory with one alone.
constexpr std::int64_t kChannels = 16;

bool inside(std::int64_t index, std::int64_t extent) { return index >= 0 && index < extent; }

}  // namespace

std::int64_t reference_forward(const Conv2dProblem& p, const void* x_base, const void* w_base,
                               const Epilogue& given, void* y_base) {
  std::atomic<std::int64_t> executed = 0;
  visit_types("conv2d forward (reference)", p, [&]<class A, class F>(A, F) {
    const auto* x = static_cast<const A*>(x_base);
    const auto* w = static_cast<const F*>(w_base);
    const TypedEpilogue<A, F> epilogue(given);
    auto* y = static_cast<A*>(y_base);
    const std::int64_t ic_per_group = p.IC / p.G;
    const std::int64_t oc_per_group = p.OC / p.G;

    parallel_for(p.N * p.OH, [&](std::int64_t block) {  // one row of Y
      const std::int64_t n = block / p.OH;
      const std::int64_t oh = block % p.OH;
      std::int64_t products = 0;
      for (std::int64_t ow = 0; ow < p.OW; ++ow) {
        for (std::int64_t oc = 0; oc < p.OC; ++oc) {
          const std::int64_t first_ic = oc / oc_per_group * ic_per_group;
          double sum = epilogue.bias == nullptr ? 0.0 : widen<double>(epilogue.bias[oc]);
          for (std::int64_t fh = 0; fh < p.FH; ++fh) {
            for (std::int64_t fw = 0; fw < p.FW; ++fw) {
              const std::int64_t ih = oh * p.sh - p.pt + fh * p.dh;
              const std::int64_t iw = ow * p.sw - p.pl + fw * p.dw;
              if (!inside(ih, p.IH) || !inside(iw, p.IW)) {
                continue;
              }
              for (std::int64_t ic = 0; ic < ic_per_group; ++ic) {
                sum += widen<double>(x[((n * p.IH + ih) * p.IW + iw) * p.x_pitch + first_ic + ic]) *
                       widen<double>(w[((oc * p.FH + fh) * p.FW + fw) * ic_per_group + ic]);
                ++products;
              }
            }
          }
          const std::int64_t at = ((n * p.OH + oh) * p.OW + ow) * p.y_pitch + oc;
          y[at] = narrowed<A>(epilogue.finish(sum, oc, at));
        }
      }
      executed += products;
    });
  });
  return executed;
}

std::int64_t reference_backward_data(const Conv2dProblem& p, const void* dy_base,
                                     const void* w_base, const Epilogue& given, void* dx_base) {
  std::atomic<std::int64_t> executed = 0;
  visit_types("conv2d backward_data (reference)", p, [&]<class A, class F>(A, F) {
    const auto* dy = static_cast<const A*>(dy_base);
    const auto* w = static_cast<const F*>(w_base);
    const TypedEpilogue<A, F> epilogue(given);
    auto* dx = static_cast<A*>(dx_base);
    const std::int64_t ic_per_group = p.IC / p.G;
    const std::int64_t oc_per_group = p.OC / p.G;

    parallel_for(p.N * p.IH, [&](std::int64_t block) {  // one row of dX
      const std::int64_t n = block / p.IH;
      const std::int64_t ih = block % p.IH;
      std::int64_t products = 0;
      for (std::int64_t iw = 0; iw < p.IW; ++iw) {
        for (std::int64_t ic = 0; ic < p.IC; ++ic) {
          const std::int64_t group = ic / ic_per_group;
          double sum = epilogue.bias == nullptr ? 0.0 : widen<double>(epilogue.bias[ic]);
          for (std::int64_t fh = 0; fh < p.FH; ++fh) {
            for (std::int64_t fw = 0; fw < p.FW; ++fw) {
              // Tap (fh,fw) reads (ih,iw) at the output with oh*sh = ih + pt - fh*dh, if any.
              const std::int64_t oh_times_sh = ih + p.pt - fh * p.dh;
              const std::int64_t ow_times_sw = iw + p.pl - fw * p.dw;
              if (oh_times_sh % p.sh != 0 || ow_times_sw % p.sw != 0) {
                continue;
              }
              const std::int64_t oh = oh_times_sh / p.sh;
              const std::int64_t ow = ow_times_sw / p.sw;
              if (!inside(oh, p.OH) || !inside(ow, p.OW)) {
                continue;
              }
              for (std::int64_t oc = group * oc_per_group; oc < (group + 1) * oc_per_group; ++oc) {
                sum += widen<double>(dy[((n * p.OH + oh) * p.OW + ow) * p.y_pitch + oc]) *
                       widen<double>(
                           w[((oc * p.FH + fh) * p.FW + fw) * ic_per_group + ic % ic_per_group]);
                ++products;
              }
            }
          }
          const std::int64_t at = ((n * p.IH + ih) * p.IW + iw) * p.x_pitch + ic;
          dx[at] = narrowed<A>(epilogue.finish(sum, ic, at));
        }
      }
      executed += products;
    });
  });
  return executed;
}

std::int64_t reference_backward_filter(const Conv2dProblem& p, const void* x_base,
                                       const void* dy_base, void* dw_base) {
  std::atomic<std::int64_t> executed = 0;
  visit_types("conv2d backward_filter (reference)", p, [&]<class A, class F>(A, F) {
    const auto* x = static_cast<const A*>(x_base);
    const auto* dy = static_cast<const A*>(dy_base);
    auto* dw = static_cast<F*>(dw_base);
    const std::int64_t ic_per_group = p.IC / p.G;
    const std::int64_t oc_per_group = p.OC / p.G;

    parallel_for(p.OC * p.FH * p.FW, [&](std::int64_t block) {  // all channels of one tap
      const std::int64_t oc = block / (p.FH * p.FW);
      const std::int64_t fh = block / p.FW % p.FH;
      const std::int64_t fw = block % p.FW;
      const std::int64_t first_ic = oc / oc_per_group * ic_per_group;
      std::int64_t products = 0;
      for (std::int64_t begin = 0; begin < ic_per_group; begin += kChannels) {
        const std::int64_t count = std::min(kChannels, ic_per_group - begin);
        double sums[kChannels] = {};
        for (std::int64_t n = 0; n < p.N; ++n) {
          for (std::int64_t oh = 0; oh < p.OH; ++oh) {
            for (std::int64_t ow = 0; ow < p.OW; ++ow) {
              const std::int64_t ih = oh * p.sh - p.pt + fh * p.dh;
              const std::int64_t iw = ow * p.sw - p.pl + fw * p.dw;
              if (!inside(ih, p.IH) || !inside(iw, p.IW)) {
                continue;
              }
              const double factor =
                  widen<double>(dy[((n * p.OH + oh) * p.OW + ow) * p.y_pitch + oc]);
              const A* pixel = x + ((n * p.IH + ih) * p.IW + iw) * p.x_pitch + first_ic + begin;
              for (std::int64_t c = 0; c < count; ++c) {
                sums[c] += factor * widen<double>(pixel[c]);
                ++products;
              }
            }
          }
        }
        for (std::int64_t c = 0; c < count; ++c) {
          dw[block * ic_per_group + begin + c] = narrowed<F>(sums[c]);
        }
      }
      executed += products;
    });
  });
  return executed;
}

namespace {

bool reads(const Conv2dProblem& p) {
  return p.x_type == p.y_type && is_floating(p.x_type) && is_floating(p.w_type);
}

std::vector<Conv2dCandidate> candidates(const Conv2dRequest& request) {
  if (!reads(request.problem)) {
    return {};
  }
  return {{{.reason = "loops of the definition, sums in float64"},
           std::numeric_limits<double>::infinity()}};
}

bool accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return reads(p) && plan.tile == Conv2dTile{} && plan.split_k == 1;
}

std::int64_t run(const PreparedConv2d& conv, const Conv2dOperands& o) {
  switch (conv.plan.pass) {
    case Conv2dPass::forward:
      return reference_forward(conv.problem, o.x, o.w, o.epilogue, o.result);
    case Conv2dPass::backward_data:
      return reference_backward_data(conv.problem, o.y, o.w, o.epilogue, o.result);
    case Conv2dPass::backward_filter:
      break;
  }
  return reference_backward_filter(conv.problem, o.x, o.y, o.result);
}

constexpr Conv2dKernel kKernel = {
    .name = "reference",
    .passes = {Conv2dPass::forward, Conv2dPass::backward_data, Conv2dPass::backward_filter},
    .arithmetic = {Arithmetic::fp32, Arithmetic::fp64, Arithmetic::bf16},
    .compute_capability = 0,
    .candidates = candidates,
    .accepts = accepts,
    .run = run};

}  // namespace

const Conv2dKernel& reference() { return kKernel; }

}  // namespace cks::kernels::CKS_CPU
