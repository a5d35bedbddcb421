// Sk-dilated on a GPU: for each filter tap the product dY^T X over the positions at which the tap
// falls inside the image; the zeros between the pixels of a strided dY never exist.
//
//   block       BM output channels x BN input channels of one tap, over one slice of its positions
//   K           positions (n, oh, ow) of the tap's trimmed rectangle, BK at a time; each tap cuts
//               its own positions into `slices` parts
//   shared      two stages of BK x BM of dY and BK x BN of X
// Where X has few channels (first layers), a variant merges the taps with the input channels into
// one N: blocks then run over all positions, and taps outside the image load zeros, which count as
// executed.
// With several slices each block writes a partial filter; a second kernel adds them in order.
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/cuda/kernels.h"
#include "cks/kernels/conv2d/cuda/position_loader.cuh"
#include "cks/kernels/conv2d/cuda/tiles.h"
#include "cks/kernels/conv2d/taps.h"
#include "cks/kernels/mma/epilogue.cuh"
#include "cks/kernels/mma/mainloop.cuh"

namespace cks::kernels::cuda {
namespace {

template <class Tile, int V, bool kMergedTaps>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    tiled_taps_kernel(const __grid_constant__ FilterGradient p) {
  begin_kernel();
  using DyLoader = PositionLoader<Tile, Tile::BM, V, OutputPixels>;
  using XLoader = PositionLoader<Tile, Tile::BN, V, InputPixels<kMergedTaps>>;
  __shared__ __align__(16) Stages<Tile, float> stages;

  const int m0 = static_cast<int>(blockIdx.x) / p.n_tiles * Tile::BM;
  const int n0 = static_cast<int>(blockIdx.x) % p.n_tiles * Tile::BN;
  const int slice = static_cast<int>(blockIdx.z) % p.slices;
  const int group = static_cast<int>(blockIdx.z) / p.slices;
  const int n_size = kMergedTaps ? p.n * p.FH * p.FW : p.n;
  // What this thread loads of dY and X, and the tap of the block or of this column of X.
  const int m = m0 + DyLoader::row(0);
  const int n = n0 + XLoader::row(0);
  const int tap = kMergedTaps ? n / p.n : static_cast<int>(blockIdx.y);
  const int fh = tap / p.FW, fw = tap - fh * p.FW;
  using Range = IndexRangeOf<int>;
  const Range rows = kMergedTaps
                         ? Range{0, p.OH}
                         : tap_outputs(TapAxisOf<int>{p.IH, p.OH, p.FH, p.sh, p.pt, p.dh}, fh);
  const Range columns = kMergedTaps
                            ? Range{0, p.OW}
                            : tap_outputs(TapAxisOf<int>{p.IW, p.OW, p.FW, p.sw, p.pl, p.dw}, fw);

  PositionCursor<Tile> cursor(p.images, rows.size(), columns.size(), slice, p.slices);
  const float* first_dy = p.dy + rows.begin * p.y_row + columns.begin * p.y_pixel +
                          static_cast<std::int64_t>(group) * p.m;
  DyLoader dy({p, first_dy + m}, m < p.m, cursor);
  const int top = fh * p.dh - p.pt, left = fw * p.dw - p.pl;
  const float* first_x = p.x + (rows.begin * p.sh + top) * p.x_row +
                         (columns.begin * p.sw + left) * p.x_pixel +
                         static_cast<std::int64_t>(group) * p.n;
  XLoader x({p, first_x + (kMergedTaps ? n - tap * p.n : n), top, left}, n < n_size, cursor);
  const ThreadTile<Tile> thread;
  float sum[Tile::TM][Tile::TN] = {};
  multiply(stages, dy, x, cursor, thread, sum);

  const std::int64_t filter = static_cast<std::int64_t>(p.FH) * p.FW * p.n;  // of a dY channel
  float* out = p.out + slice * p.filter_size +
               (static_cast<std::int64_t>(group) * p.m + m0) * filter +
               (kMergedTaps ? 0 : tap * p.n) + n0;
  const TileOutput<V == 4 ? Stores::packs : Stores::elements, NoEpilogue<float>> output{
      p.m - m0, n_size - n0, {}};
  store_tile<Tile>(sum, thread, output, [&](int row) { return out + row * filter; });
}

FilterGradient gradient_of(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  const Conv2dProblem& q = conv.problem;
  FilterGradient p{};
  p.x = static_cast<const float*>(operands.x);
  p.dy = static_cast<const float*>(operands.y);
  p.out = static_cast<float*>(gradient_slices(conv, operands));
  p.x_pixel = q.x_pitch;
  p.x_row = q.x_pitch * q.IW;
  p.x_image = p.x_row * q.IH;
  p.y_pixel = q.y_pitch;
  p.y_row = q.y_pitch * q.OW;
  p.y_image = p.y_row * q.OH;
  p.images = narrow(q.N), p.IH = narrow(q.IH), p.IW = narrow(q.IW);
  p.OH = narrow(q.OH), p.OW = narrow(q.OW), p.FH = narrow(q.FH), p.FW = narrow(q.FW);
  p.sh = narrow(q.sh), p.sw = narrow(q.sw), p.pt = narrow(q.pt), p.pl = narrow(q.pl);
  p.dh = narrow(q.dh), p.dw = narrow(q.dw);
  p.m = narrow(q.OC / q.G), p.n = narrow(q.IC / q.G);
  p.filter_size = filter_size(q);
  p.slices = narrow(conv.plan.split_k);
  return p;
}

template <class T, int V, bool kMergedTaps>
void launch_gradient(FilterGradient p, const Conv2dProblem& q) {
  const int n = kMergedTaps ? p.n * p.FH * p.FW : p.n;
  p.n_tiles = ceil_div(n, static_cast<int>(T::BN));
  const dim3 grid(static_cast<unsigned>(ceil_div(p.m, static_cast<int>(T::BM)) * p.n_tiles),
                  static_cast<unsigned>(kMergedTaps ? 1 : p.FH * p.FW),
                  static_cast<unsigned>(p.slices * q.G));
  launch("sk_dilated", tiled_taps_kernel<T, V, kMergedTaps>, grid, T::kThreads, 0, p);
}

}  // namespace

std::int64_t run_tiled_taps(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  const Conv2dProblem& q = conv.problem;
  const FilterGradient p = gradient_of(conv, operands);
  const bool vectors = p.m % 4 == 0 && p.n % 4 == 0 && q.x_pitch % 4 == 0 && q.y_pitch % 4 == 0 &&
                       aligned_for_packs(p.x, p.dy, static_cast<const float*>(operands.result));
  with_tile<kTiledTaps>(conv.plan.tile, [&](auto at) {
    constexpr RatedTile tile = kTiledTaps[at()];
    using T = Tile<tile.size.rows, tile.size.columns, tile.thread_rows, tile.thread_columns>;
    vectors ? launch_gradient<T, 4, false>(p, q) : launch_gradient<T, 1, false>(p, q);
  });
  add_gradient_slices(conv, operands);
  // m*n*k of each tap's GEMM.
  return q.N * valid_pairs(row_axis(q)) * valid_pairs(column_axis(q)) * p.m * p.n * q.G;
}

std::int64_t run_merged_taps(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  const Conv2dProblem& q = conv.problem;
  const FilterGradient p = gradient_of(conv, operands);
  with_tile<kMergedTaps>(conv.plan.tile, [&](auto at) {
    constexpr RatedTile tile = kMergedTaps[at()];
    launch_gradient<Tile<tile.size.rows, tile.size.columns, tile.thread_rows, tile.thread_columns>,
                    1, true>(p, q);
  });
  add_gradient_slices(conv, operands);
  return q.N * q.OH * q.OW * q.OC * q.FH * q.FW * p.n;  // m*n*k of the one GEMM
}

}  // namespace cks::kernels::cuda
