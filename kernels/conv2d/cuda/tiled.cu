// ConvV2 and KS-deconv on a GPU: one implicit GEMM over positions that meet the same taps.
//
// Rows and columns are cut into runs of positions with the same live taps (taps.h). A pair of runs
// is a rectangle of positions, in every image, that needs exactly the same sub-filter: its
// images * rows * columns positions are the rows of a dense GEMM whose K runs over live taps and
// channels. No zero of the padding, and none that a stride inserts, is ever loaded or multiplied,
// and the inner loop needs no bounds checks. Pairs with most taps start first, so that the last
// blocks to finish are short ones.
//
//   block       BM positions of one pair x BN channels of the result
//   thread      TM x TN of them, as quads, so that shared memory is read 16 bytes at a time
//   shared      two stages of BK x BM source values and BK x BN filter values
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/cuda/kernels.h"
#include "cks/kernels/conv2d/cuda/region_loader.cuh"
#include "cks/kernels/conv2d/cuda/tiles.h"
#include "cks/kernels/mma/epilogue.cuh"
#include "cks/kernels/mma/mainloop.cuh"

namespace cks::kernels::cuda {
namespace {

template <class Tile, bool kForward, int V>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    tiled_kernel(const __grid_constant__ Correlation p) {
  begin_kernel();
  __shared__ __align__(16) Stages<Tile, float> stages;
  __shared__ std::int64_t target_of_row[Tile::BM];
  __shared__ std::int64_t source_of_row[Tile::BM];

  const int channel0 = static_cast<int>(blockIdx.x) % p.channel_tiles * Tile::BN;
  const int tile = static_cast<int>(blockIdx.x) / p.channel_tiles;
  const int group = static_cast<int>(blockIdx.y);
  const Region region = region_of_tile(p, tile);
  const Positions positions(region, Tile::BM);
  for (int i = static_cast<int>(threadIdx.x); i < Tile::BM; i += Tile::kThreads) {
    const PositionOffsets offsets = offsets_of(region, positions.first + i, positions.count, group);
    source_of_row[i] = offsets.source;
    target_of_row[i] = offsets.target + channel0;
  }
  __syncthreads();

  SourceLoader<Tile, V> source(p.source, source_of_row);
  FilterLoader<Tile, V, kForward> filter(p, filter_of(region, group), channel0);
  TapCursor cursor(region);
  const ThreadTile<Tile> thread;
  float sum[Tile::TM][Tile::TN] = {};
  multiply(stages, source, filter, cursor, thread, sum);

  const std::int64_t left = positions.count - positions.first;
  const TileOutput<V == 4 ? Stores::packs : Stores::elements, ChannelEpilogue<float>> output{
      left < Tile::BM ? static_cast<int>(left) : Tile::BM,
      p.target_channels - channel0,
      {p.epilogue, p.target, group * p.target_channels + channel0}};
  store_tile<Tile>(sum, thread, output, [&](int row) { return p.target + target_of_row[row]; });
}

}  // namespace

std::int64_t run_tiled(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  const auto& planned = conv.data<PlannedCorrelation>();
  const bool forward = conv.plan.pass == Conv2dPass::forward;
  const Correlation p = with_operands(planned.correlation, operands, forward);
  const bool vectors = takes_vectors(conv.problem, p);
  const dim3 grid(static_cast<unsigned>(planned.tiles * p.channel_tiles),
                  static_cast<unsigned>(conv.problem.G));
  with_tile<kTiled>(conv.plan.tile, [&](auto at) {
    constexpr RatedTile tile = kTiled[at()];
    using T = Tile<tile.size.rows, tile.size.columns, tile.thread_rows, tile.thread_columns>;
    const auto forth = vectors ? tiled_kernel<T, true, 4> : tiled_kernel<T, true, 1>;
    const auto back = vectors ? tiled_kernel<T, false, 4> : tiled_kernel<T, false, 1>;
    launch(forward ? "convv2" : "ks_deconv", forward ? forth : back, grid, T::kThreads, 0, p);
  });
  return planned.executed;
}

}  // namespace cks::kernels::cuda
