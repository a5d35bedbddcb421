// The rungs of a GPU: how they are launched, and what they execute.
#include "apps/ladder/coalesced.cuh"
#include "apps/ladder/one_thread.cuh"
#include "apps/ladder/register_tile.cuh"
#include "apps/ladder/rungs.h"
#include "apps/ladder/shared_tile.cuh"
#include "apps/ladder/tensor_cores.cuh"
#include "apps/ladder/zeros_skipped.cuh"
#include "cks/kernels/common/launch.cuh"

namespace cks::ladder {
namespace {

using kernels::ceil_div;
using kernels::round_up;
using kernels::cuda::launch;

unsigned blocks(int count, int of) { return static_cast<unsigned>(ceil_div(count, of)); }

std::int64_t product(std::int64_t rows, std::int64_t columns, std::int64_t terms) {
  return rows * columns * terms;
}

/// One thread for each element.
template <class Pass, void (*kKernel)(Pass, float*)>
std::int64_t run_elements(const Pass& pass, float* result) {
  launch("ladder", kKernel, blocks(pass.rows() * pass.columns(), 256), 256, 0, pass, result);
  return product(pass.rows(), pass.columns(), pass.terms());
}

template <class Pass>
std::int64_t shared_tile(const Pass& pass, float* result) {
  launch("ladder", shared_tile_kernel<Pass>,
         dim3(blocks(pass.rows(), 16), blocks(pass.columns(), 16)), dim3(16, 16), 0, pass, result);
  return product(round_up(pass.rows(), 16), round_up(pass.columns(), 16),
                 round_up(pass.terms(), 16));
}

template <class Pass>
std::int64_t register_tile(const Pass& pass, float* result) {
  launch("ladder", register_tile_kernel<Pass>,
         dim3(blocks(pass.rows(), kTile), blocks(pass.columns(), kTile)), 256, 0, pass, result);
  return product(round_up(pass.rows(), kTile), round_up(pass.columns(), kTile),
                 round_up(pass.terms(), kTerms));
}

/// One block for each place and tile; the steps that the blocks walk over are added up.
template <class Pass, void (*kKernel)(Pass, float*), unsigned kThreads>
std::int64_t run_places(const Pass& pass, float* result) {
  launch("ladder", kKernel,
         dim3(static_cast<unsigned>(pass.places()), blocks(pass.place_rows(), kTile),
              blocks(pass.place_columns(), kTile)),
         kThreads, 0, pass, result);
  std::int64_t terms = 0;
  for (int place = 0; place < pass.places(); ++place) {
    for (int i = 0; i < pass.steps(place); ++i) {
      terms += round_up(pass.step(place, i).terms, kTerms);
    }
  }
  return product(round_up(pass.place_rows(), kTile), round_up(pass.place_columns(), kTile), terms);
}

}  // namespace

template <class Pass>
const std::vector<Rung<Pass>>& gpu_rungs() {
  static const std::vector<Rung<Pass>> rungs{
      {"one thread an output", run_elements<Pass, one_thread_kernel<Pass>>},
      {"coalesced", run_elements<Pass, coalesced_kernel<Pass>>},
      {"shared memory", shared_tile<Pass>},
      {"register tile", register_tile<Pass>},
      {"zeros skipped", run_places<Pass, zeros_skipped_kernel<Pass>, 256>},
      {"tensor cores, tf32", run_places<Pass, tensor_cores_kernel<Pass>, 128>, true}};
  return rungs;
}

template const std::vector<Rung<Forward>>& gpu_rungs();
template const std::vector<Rung<BackwardData>>& gpu_rungs();
template const std::vector<Rung<BackwardFilter>>& gpu_rungs();

}  // namespace cks::ladder
