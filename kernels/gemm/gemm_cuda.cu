// Matrix products on a GPU: tiles of C, each by one block, with stages of A and B in shared memory.
//
//   block       BM x BN of C over one slice of K
//   groups      of threads that share the k of a stage among themselves, 16 each; their sums are
//               added in order at the end. A small product, of too few tiles to fill the GPU, is
//               bound by the latency of its loads: eight groups need an eighth of the stages.
//   thread      TM x TN of C, as quads, so that shared memory is read 16 bytes at a time
//   slices      of a long K, where even small tiles are too few: each slice writes a partial C, and
//               a second kernel adds them in order
// Tile and slices come from the problem alone. Each operand may lie along k or along its rows or
// columns; a pack at an edge, or one that is not aligned, is loaded element by element.
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/gemm/cut.h"
#include "cks/kernels/gemm/matrix_loader.cuh"
#include "cks/kernels/mma/epilogue.cuh"
#include "cks/kernels/mma/mainloop.cuh"

namespace cks::kernels::cuda {
namespace {

template <class T>
struct Product {
  Operand<T> a, b;
  TypedEpilogue<T> epilogue;  // none where slices are added later
  T* c;                       // [slices][M][N] if there are several
  std::int64_t ldc;
  std::int64_t K, slice;
  std::int64_t slice_size;  // elements of c between slices
  std::int64_t column_tiles;
  bool packs;  // base, ldc and slice_size allow 16-byte stores
};

/// The stages' place is the groups' when all products are added.
template <class Tile, class T>
union SharedTile {
  Stages<Tile, T> stages;
  GroupSums<Tile, T> sums;
};
template <class Tile, class T>
requires(Tile::GROUPS == 1) union SharedTile<Tile, T> {
  Stages<Tile, T> stages;
};

template <class T, class Tile, bool kAAlongK, bool kBAlongK>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    gemm_kernel(const __grid_constant__ Product<T> p) {
  begin_kernel();
  __shared__ __align__(16) SharedTile<Tile, T> shared;
  static_assert(sizeof(shared) <= 48 * 1024, "fits into shared memory");
  const std::int64_t row0 = blockIdx.x / p.column_tiles * Tile::BM;
  const std::int64_t column0 = blockIdx.x % p.column_tiles * Tile::BN;
  const std::int64_t k_begin = blockIdx.y * p.slice;
  const std::int64_t k_end = k_begin + p.slice < p.K ? k_begin + p.slice : p.K;

  MatrixLoader<T, Tile, Tile::BM, kAAlongK> a(p.a, row0, k_begin);
  MatrixLoader<T, Tile, Tile::BN, kBAlongK> b(p.b, column0, k_begin);
  SliceCursor<Tile> cursor{static_cast<int>(k_end - k_begin)};
  const ThreadTile<Tile> thread;
  T sum[Tile::TM][Tile::TN] = {};
  multiply(shared.stages, a, b, cursor, thread, sum);

  const auto existing = [](std::int64_t left, int most) {
    return left < most ? static_cast<int>(left) : most;
  };
  const TileOutput<Stores::aligned, ChannelEpilogue<T>> output{
      existing(p.a.rows - row0, Tile::BM),
      existing(p.b.rows - column0, Tile::BN),
      {p.epilogue, p.c, column0},
      p.packs};
  T* c = p.c + blockIdx.y * p.slice_size + row0 * p.ldc + column0;
  const auto address = [&](int row) { return c + row * p.ldc; };
  if constexpr (Tile::GROUPS > 1) {
    store_groups<Tile>(shared.sums, sum, thread, output, address);
  } else {
    store_tile<Tile>(sum, thread, output, address);
  }
}

template <class T>
__global__ void add_gemm_slices_kernel(const T* partial, TypedEpilogue<T> epilogue, T* c,
                                       std::int64_t M, std::int64_t N, std::int64_t ldc,
                                       std::int64_t slices) {
  begin_kernel();
  const std::int64_t size = M * N;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < size;
       i += stride) {
    const std::int64_t row = i / N;
    const std::int64_t column = i - row * N;
    T sum = partial[i];
    for (std::int64_t s = 1; s < slices; ++s) {
      sum += partial[s * size + i];
    }
    c[row * ldc + column] = epilogue.apply(sum, column, row * ldc + column);
  }
}

template <class T, class Tile>
void launch_tile(const GemmProblem& problem, const GemmCut& cut, const Product<T>& product) {
  Product<T> p = product;
  p.column_tiles = ceil_div<std::int64_t>(problem.N, Tile::BN);
  const dim3 grid(
      static_cast<unsigned>(ceil_div<std::int64_t>(problem.M, Tile::BM) * p.column_tiles),
      static_cast<unsigned>(cut.slices));
  const bool b_along_k = problem.transpose_b;
  const auto a_along_k =
      b_along_k ? gemm_kernel<T, Tile, true, true> : gemm_kernel<T, Tile, true, false>;
  const auto a_along_rows =
      b_along_k ? gemm_kernel<T, Tile, false, true> : gemm_kernel<T, Tile, false, false>;
  launch("gemm", problem.transpose_a ? a_along_rows : a_along_k, grid, Tile::kThreads, 0, p);
}

template <class T>
void run(const GemmProblem& problem, const Epilogue& given, const T* a, const T* b, T* c,
         T* workspace) {
  if (problem.M == 0 || problem.N == 0) {
    return;
  }
  constexpr int V = kPackSize<T>;
  const GemmCut cut = gemm_cut(problem);
  const bool sliced = cut.slices > 1;
  const std::int64_t lda = problem.pitch_a();
  const std::int64_t ldb = problem.pitch_b();
  const std::int64_t ldc = problem.pitch_c();
  Product<T> p{};
  p.a = {a, lda, problem.M, aligned_for_packs(a) && lda % V == 0};
  p.b = {b, ldb, problem.N, aligned_for_packs(b) && ldb % V == 0};
  const TypedEpilogue<T> epilogue(given);
  p.epilogue = sliced ? TypedEpilogue<T>() : epilogue;
  p.c = sliced ? workspace : c;
  p.ldc = sliced ? problem.N : ldc;
  p.K = problem.K;
  p.slice = cut.slice;
  p.slice_size = problem.M * problem.N;
  p.packs = aligned_for_packs(p.c) && p.ldc % V == 0;
  if constexpr (sizeof(T) == 4) {
    if (cut.tile == 128) {
      launch_tile<T, Tile<128, 128, 8, 8, 1, 2>>(problem, cut, p);
    } else if (cut.tile == 64) {
      launch_tile<T, Tile<64, 64, 4, 8, 1, 2>>(problem, cut, p);
    } else {
      launch_tile<T, Tile<32, 32, 4, 4, 8, 1>>(problem, cut, p);
    }
  } else if (cut.tile == 64) {
    launch_tile<T, Tile<64, 64, 4, 4, 1, 2>>(problem, cut, p);
  } else {
    launch_tile<T, Tile<32, 32, 4, 4, 4, 1>>(problem, cut, p);
  }
  if (sliced) {
    launch("gemm", add_gemm_slices_kernel<T>, grid_for(problem.M * problem.N, 256), 256, 0,
           workspace, epilogue, c, problem.M, problem.N, ldc, cut.slices);
  }
}

}  // namespace

std::size_t gemm_workspace_bytes(const GemmProblem& problem) {
  visit_real("gemm", problem.dtype, [](auto) {});
  return bytes_of_slices(problem, gemm_cut(problem));
}

void gemm(const GemmProblem& problem, const void* a, const void* b, const Epilogue& epilogue,
          void* c, void* workspace) {
  const auto run_typed = [&](auto*... arrays) { run(problem, epilogue, arrays...); };
  visit_real_elements("gemm", problem.dtype, run_typed, a, b, c, workspace);
}

}  // namespace cks::kernels::cuda
