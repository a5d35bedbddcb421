#include "cks/kernels/conv2d/cpu/methods.h"
#include "cks/kernels/conv2d/cpu/trimmed_correlation.h"

// KS-deconv, the input gradient: the input pixels fall into sh*sw residue classes, and each class
// is a stride-1 correlation of dY with a dense sub-filter: the taps that can reach the class at
// all. No stride-inserted zero exists, and borders are trimmed as in ConvV2.
//
//   positions  input pixels of one class; a run holds those with the same live taps
//   vectors    input channels of a group
//   panel      the filter, its taps ordered class by class in the order of rising output pixels:
//              W[oc][fh][fw][ic] -> [slot][slot][oc][ic lane]
// Pixels that no tap reaches hold the epilogue of 0.
namespace cks::kernels::CKS_CPU {
namespace {

/// Copies one group's channels [lane, lane+width) of one pair of taps: [oc][ic] -> [oc][width].
template <class T>
void pack_tap(const T* filter, std::int64_t outer, std::int64_t outer_step, std::int64_t channels,
              std::int64_t width, T* panel) {
  const std::int64_t real = std::min(channels, width);
  for (std::int64_t oc = 0; oc < outer; ++oc, panel += width) {
    std::copy_n(filter + oc * outer_step, real, panel);
    std::fill(panel + real, panel + width, T{0});
  }
}

/// As pack_tap with one channel a group: vectors hold groups.
template <class T>
void pack_depthwise_tap(const T* filter, std::int64_t taps, std::int64_t channels,
                        std::int64_t width, T* panel) {
  for (std::int64_t lane = 0; lane < width; ++lane) {
    panel[lane] = lane < channels ? filter[lane * taps] : T{0};
  }
}

template <class T>
void pack_filter(const Conv2dProblem& p, const T* filter, const CorrelationLayout& layout,
                 const std::int64_t* row_slots, const std::int64_t* column_slots, T* panels) {
  const ChannelBlocks blocks(layout.vector_channels, kSimdBytes, dtype_of<T>());
  const std::int64_t taps = p.FH * p.FW;
  const std::int64_t ic = p.IC / p.G;
  parallel_for(layout.groups * blocks.count() * p.FH, [&](std::int64_t block) {
    const std::int64_t unit = block / p.FH;
    const std::int64_t row_slot = block % p.FH;
    const std::int64_t group = unit / blocks.count();
    const std::int64_t lane = blocks.begin(unit % blocks.count());
    const std::int64_t width = blocks.width(unit % blocks.count());
    T* const panel = panels + (group * blocks.padded() + lane) * taps * layout.inner_channels;
    for (std::int64_t column_slot = 0; column_slot < p.FW; ++column_slot) {
      const std::int64_t tap = row_slots[row_slot] * p.FW + column_slots[column_slot];
      T* const to = panel + (row_slot * p.FW + column_slot) * layout.inner_channels * width;
      if (is_depthwise(p)) {
        pack_depthwise_tap(filter + lane * taps + tap, taps, layout.vector_channels - lane, width,
                           to);
      } else {
        pack_tap(filter + (group * layout.inner_channels * taps + tap) * ic + lane,
                 layout.inner_channels, taps * ic, layout.vector_channels - lane, width, to);
      }
    }
  });
}

}  // namespace

template <class T>
std::int64_t ks_deconv(const Conv2dProblem& p, const T* dy, const T* w,
                       const TypedEpilogue<T>& epilogue, T* dx, void* workspace) {
  const CorrelationLayout layout(Conv2dPass::backward_data, p, kSimdBytes);
  auto* const bytes = static_cast<std::byte*>(workspace);
  auto* const row_slots =
      reinterpret_cast<std::int64_t*>(bytes + layout.panel_bytes + layout.run_bytes);
  auto* const column_slots = row_slots + p.FH;
  deconv_slots(row_axis(p), row_slots);
  deconv_slots(column_axis(p), column_slots);
  pack_filter(p, w, layout, row_slots, column_slots, reinterpret_cast<T*>(bytes));
  return correlate_pass(Conv2dPass::backward_data, p, layout, dy, epilogue, dx, bytes);
}

template std::int64_t ks_deconv(const Conv2dProblem&, const float*, const float*,
                                const TypedEpilogue<float>&, float*, void*);
template std::int64_t ks_deconv(const Conv2dProblem&, const double*, const double*,
                                const TypedEpilogue<double>&, double*, void*);

}  // namespace cks::kernels::CKS_CPU
