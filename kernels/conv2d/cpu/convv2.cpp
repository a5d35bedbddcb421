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

/// Transposes the rows [begin, end) of [channels][depth] to [depth][width], a square of vectors at
/// a time. Channels from `channels` on become 0.
template <class T>
void pack_panel(const T* filter, std::int64_t channels, std::int64_t depth, IndexRange range,
                std::int64_t width, T* panel) {
  using S = Simd<T, kSimdBytes == 16 ? 16 : kSimdBytes / 2>;  // widths are multiples of it
  for (std::int64_t k = range.begin; k < range.end; k += S::width) {
    const std::int64_t terms = std::min<std::int64_t>(S::width, range.end - k);
    for (std::int64_t lane = 0; lane < width; lane += S::width) {
      typename S::Vec square[S::width] = {};
      for (std::int64_t i = 0; i < std::min<std::int64_t>(S::width, channels - lane); ++i) {
        const T* const from = filter + (lane + i) * depth + k;
        square[i] = terms == S::width ? S::load(from) : S::load_part(from, terms);
      }
      S::transpose(square);
      for (std::int64_t i = 0; i < terms; ++i) {
        S::store(panel + (k + i) * width + lane, square[i]);
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
