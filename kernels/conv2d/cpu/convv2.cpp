#include "cks/kernels/conv2d/cpu/methods.h"
#include "cks/kernels/conv2d/cpu/trimmed_correlation.h"

// ConvV2, the forward pass: Y is a trimmed correlation of X (trimmed_correlation.h).
//
//   positions  output pixels (n,oh,ow); a run holds the outputs whose live taps are the same
//              [fh_begin, fh_end), so borders get short filters instead of zeros
//   vectors    output channels of a group
//   panel      the filter, transposed once per call: W[oc][fh][fw][ic] -> [fh][fw][ic][oc lane]
namespace cks::kernels::CKS_CPU {
namespace {

/// Transposes the rows [begin, end) of [channels][depth] to [depth][width], 16 entries at a time so
/// that both sides stay in cache. VectorsOver without a channel become 0.
template <class T>
void pack_panel(const T* filter, std::int64_t channels, std::int64_t depth, IndexRange range,
                std::int64_t width, T* panel) {
  constexpr std::int64_t kChunk = 16;
  for (std::int64_t k0 = range.begin; k0 < range.end; k0 += kChunk) {
    const std::int64_t k1 = std::min(range.end, k0 + kChunk);
    for (std::int64_t lane = 0; lane < width; ++lane) {
      for (std::int64_t k = k0; k < k1; ++k) {
        panel[k * width + lane] = lane < channels ? filter[lane * depth + k] : T{0};
      }
    }
  }
}

template <class T>
void pack_filter(const T* filter, const CorrelationLayout& layout, std::int64_t depth, T* panels) {
  const ChannelBlocks blocks(layout.vector_channels, kSimdBytes, dtype_of<T>());
  const std::int64_t chunk = 512;  // of the depth
  const std::int64_t chunks = ceil_div(depth, chunk);
  parallel_for(layout.groups * blocks.count() * chunks, [&](std::int64_t block) {
    const std::int64_t unit = block / chunks;
    const std::int64_t group = unit / blocks.count();
    const std::int64_t lane = blocks.begin(unit % blocks.count());
    const std::int64_t k = block % chunks * chunk;
    pack_panel(filter + (group * layout.vector_channels + lane) * depth,
               layout.vector_channels - lane, depth, {k, std::min(depth, k + chunk)},
               blocks.width(unit % blocks.count()),
               panels + (group * blocks.padded() + lane) * depth);
  });
}

}  // namespace

template <class T>
std::int64_t convv2(const Conv2dProblem& p, const T* x, const T* w,
                    const TypedEpilogue<T>& epilogue, T* y, void* workspace) {
  const CorrelationLayout layout(Conv2dPass::forward, p, kSimdBytes);
  auto* const bytes = static_cast<std::byte*>(workspace);
  pack_filter(w, layout, p.FH * p.FW * layout.inner_channels, reinterpret_cast<T*>(bytes));
  return correlate_pass(Conv2dPass::forward, p, layout, x, epilogue, y, bytes);
}

template std::int64_t convv2(const Conv2dProblem&, const float*, const float*,
                             const TypedEpilogue<float>&, float*, void*);
template std::int64_t convv2(const Conv2dProblem&, const double*, const double*,
                             const TypedEpilogue<double>&, double*, void*);

}  // namespace cks::kernels::CKS_CPU
