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
#include <algorithm>

#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/common/register_tile.cuh"
#include "cks/kernels/gemm/gemm.h"
#include "cks/kernels/gemm/tile_mover.cuh"

namespace cks::kernels::cuda {
namespace {

constexpr std::int64_t kWantedBlocks = 132;  // about one a multiprocessor of a large GPU
constexpr std::int64_t kMinSlice = 512;      // of K
constexpr std::int64_t kMaxSlices = 64;
constexpr std::int64_t kSliceStep = 128;  // whole stages of every tile

template <class T>
struct Product {
  Operand<T> a, b;
  const T* bias;  // null where slices are added later
  T* c;           // [slices][M][N] if there are several
  std::int64_t ldc;
  std::int64_t K, slice;
  std::int64_t slice_size;  // elements of c between slices
  std::int64_t column_tiles;
  bool packs;  // base, ldc and slice_size allow 16-byte stores
};

template <class T, class Shape, bool kAAlongK, bool kBAlongK>
__global__ void __launch_bounds__(Shape::kThreads,
                                  Shape::kThreads <= 256 ? 512 / Shape::kThreads : 1)
    gemm_kernel(const __grid_constant__ Product<T> p) {
  begin_kernel();
  constexpr int BM = Shape::BM, BN = Shape::BN, BK = Shape::BK, TM = Shape::TM, TN = Shape::TN;
  constexpr int kDepth = static_cast<int>(kGroupDepth);
  constexpr int kBuffers = Shape::BUFFERS;
  constexpr int kSummedRows = Shape::GROUPS > 1 ? BM : 1;
  union Shared {
    struct {
      T a[kBuffers][BK][BM];
      T b[kBuffers][BK][BN];
    } tile;
    T sums[Shape::GROUPS][kSummedRows][BN];
  };
  static_assert(sizeof(Shared) <= 48 * 1024, "fits into shared memory");
  __shared__ __align__(16) Shared shared;

  const int t = static_cast<int>(threadIdx.x);
  const std::int64_t row0 = blockIdx.x / p.column_tiles * BM;
  const std::int64_t column0 = blockIdx.x % p.column_tiles * BN;
  const std::int64_t k_begin = blockIdx.y * p.slice;
  const std::int64_t k_end = k_begin + p.slice < p.K ? k_begin + p.slice : p.K;
  const std::int64_t stages = k_begin < k_end ? (k_end - k_begin + BK - 1) / BK : 0;
  const auto depth_of = [&](std::int64_t stage) {
    const std::int64_t left = k_end - k_begin - stage * BK;
    return left < BK ? static_cast<int>(left) : BK;
  };

  const int group = t / Shape::kGroupThreads;
  const int in_group = t % Shape::kGroupThreads;
  const int tx = in_group % (BN / TN);
  const int ty = in_group / (BN / TN);
  Mover<T, Shape, BM, kAAlongK> a_mover(p.a, row0, k_begin);
  Mover<T, Shape, BN, kBAlongK> b_mover(p.b, column0, k_begin);
  T sum[TM][TN] = {};
  if (stages > 0) {
    a_mover.load(depth_of(0));
    b_mover.load(depth_of(0));
    a_mover.store(shared.tile.a[0]);
    b_mover.store(shared.tile.b[0]);
    __syncthreads();
  }
  for (std::int64_t s = 0; s < stages; ++s) {
    const int now = kBuffers == 1 ? 0 : static_cast<int>(s & 1);
    const bool more = s + 1 < stages;
    if (more) {
      a_mover.load(depth_of(s + 1));
      b_mover.load(depth_of(s + 1));
    }
#pragma unroll
    for (int step = 0; step < kDepth; ++step) {
      const int k = group * kDepth + step;
      T a[TM], b[TN];
#pragma unroll
      for (int q = 0; q < TM / 4; ++q) {
        const int row = quad_row<BM, TM>(q, ty);
        load_quad(&shared.tile.a[now][k][swizzle<kAAlongK>(step, row)], a + 4 * q);
      }
#pragma unroll
      for (int q = 0; q < TN / 4; ++q) {
        const int column = quad_row<BN, TN>(q, tx);
        load_quad(&shared.tile.b[now][k][swizzle<kBAlongK>(step, column)], b + 4 * q);
      }
      add_outer_product(a, b, sum);
    }
    if (more) {
      if (kBuffers == 1) {
        __syncthreads();  // everyone has read the stage that is overwritten
      }
      a_mover.store(shared.tile.a[kBuffers == 1 ? 0 : now ^ 1]);
      b_mover.store(shared.tile.b[kBuffers == 1 ? 0 : now ^ 1]);
      __syncthreads();
    }
  }

  T* c = p.c + blockIdx.y * p.slice_size;
  if constexpr (Shape::GROUPS > 1) {
    __syncthreads();  // the sums take the place of the last stage
    static_assert(TN % 4 == 0, "columns of a thread are quads");
    constexpr int V = kPackLanes<T>;
#pragma unroll
    for (int i = 0; i < TM; ++i) {
#pragma unroll
      for (int j = 0; j < TN; j += V) {
        const int row = (i / 4) * (BM / (TM / 4)) + ty * 4 + i % 4;
        const int column = (j / 4) * (BN / (TN / 4)) + tx * 4 + j % 4;
        Pack<T, V> pack;
#pragma unroll
        for (int v = 0; v < V; ++v) {
          pack.lane[v] = sum[i][j + v];
        }
        store_pack<V>(&shared.sums[group][row][column], pack);
      }
    }
    __syncthreads();
    for (int at = t; at < BM * BN; at += Shape::kThreads) {
      const int row = at / BN;
      const int column = at % BN;
      if (row0 + row < p.a.lanes && column0 + column < p.b.lanes) {
        T total = shared.sums[0][row][column];
#pragma unroll
        for (int g = 1; g < Shape::GROUPS; ++g) {
          total += shared.sums[g][row][column];
        }
        c[(row0 + row) * p.ldc + column0 + column] =
            p.bias == nullptr ? total : total + p.bias[column0 + column];
      }
    }
  } else {
    constexpr int V = kPackLanes<T>;
#pragma unroll
    for (int i = 0; i < TM; ++i) {
      const std::int64_t row = row0 + (i / 4) * (BM / (TM / 4)) + ty * 4 + i % 4;
      if (row >= p.a.lanes) {
        continue;
      }
#pragma unroll
      for (int j = 0; j < TN; j += V) {
        const std::int64_t column = column0 + (j / 4) * (BN / (TN / 4)) + tx * 4 + j % 4;
        Pack<T, V> result;
#pragma unroll
        for (int v = 0; v < V; ++v) {
          const bool biased = p.bias != nullptr && column + v < p.b.lanes;
          result.lane[v] = sum[i][j + v] + (biased ? p.bias[column + v] : T{0});
        }
        T* to = c + row * p.ldc + column;
        if (p.packs && column + V <= p.b.lanes) {
          store_pack<V>(to, result);
        } else {
#pragma unroll
          for (int v = 0; v < V; ++v) {
            if (column + v < p.b.lanes) {
              to[v] = result.lane[v];
            }
          }
        }
      }
    }
  }
}

template <class T>
__global__ void add_gemm_slices_kernel(const T* partial, const T* bias, T* c, std::int64_t M,
                                       std::int64_t N, std::int64_t ldc, std::int64_t slices) {
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
    c[row * ldc + column] = bias == nullptr ? sum : sum + bias[column];
  }
}

/// How the work is cut into blocks: by the problem, never by the device.
struct Cut {
  std::int64_t tile;  // rows and columns
  std::int64_t slices, slice;
};

Cut cut_of(const GemmProblem& p) {
  const auto tiles = [&](std::int64_t tile) { return ceil_div(p.M, tile) * ceil_div(p.N, tile); };
  const std::int64_t most_slices = std::clamp<std::int64_t>(p.K / kMinSlice, 1, kMaxSlices);
  Cut cut{32, 1, 0};
  const std::int64_t largest = p.dtype == DType::float64 ? 64 : 128;
  for (std::int64_t tile = largest; tile > 32; tile /= 2) {
    if (tiles(tile) * most_slices >= kWantedBlocks && p.M > tile / 2 && p.N > tile / 2) {
      cut.tile = tile;
      break;
    }
  }
  const std::int64_t count = std::max<std::int64_t>(1, tiles(cut.tile));
  if (count < kWantedBlocks) {
    cut.slices = std::min(most_slices, ceil_div(2 * kWantedBlocks, count));
  }
  const std::int64_t slice = std::max<std::int64_t>(1, ceil_div(p.K, cut.slices));
  cut.slice = ceil_div(slice, kSliceStep) * kSliceStep;
  cut.slices = std::max<std::int64_t>(1, ceil_div(p.K, cut.slice));
  return cut;
}

template <class T, class Shape>
void launch_tile(const GemmProblem& problem, const Cut& cut, const Product<T>& product) {
  Product<T> p = product;
  p.column_tiles = ceil_div<std::int64_t>(problem.N, Shape::BN);
  const dim3 grid(
      static_cast<unsigned>(ceil_div<std::int64_t>(problem.M, Shape::BM) * p.column_tiles),
      static_cast<unsigned>(cut.slices));
  const bool a_along_k = !problem.transpose_a;
  const bool b_along_k = problem.transpose_b;
  const auto run = [&](void (*kernel)(Product<T>)) {
    launch("gemm", kernel, grid, Shape::kThreads, 0, p);
  };
  if (a_along_k) {
    run(b_along_k ? gemm_kernel<T, Shape, true, true> : gemm_kernel<T, Shape, true, false>);
  } else {
    run(b_along_k ? gemm_kernel<T, Shape, false, true> : gemm_kernel<T, Shape, false, false>);
  }
}

template <class T>
void run(const GemmProblem& problem, const T* a, const T* b, const T* bias, T* c, T* workspace) {
  if (problem.M == 0 || problem.N == 0) {
    return;
  }
  constexpr int V = kPackLanes<T>;
  const Cut cut = cut_of(problem);
  const bool sliced = cut.slices > 1;
  const auto leading = [](std::int64_t given, std::int64_t dense) {
    return given != 0 ? given : dense;
  };
  const std::int64_t lda = leading(problem.lda, problem.transpose_a ? problem.M : problem.K);
  const std::int64_t ldb = leading(problem.ldb, problem.transpose_b ? problem.K : problem.N);
  const std::int64_t ldc = leading(problem.ldc, problem.N);
  Product<T> p{};
  p.a = {a, lda, problem.M, aligned_for_packs(a) && lda % V == 0};
  p.b = {b, ldb, problem.N, aligned_for_packs(b) && ldb % V == 0};
  p.bias = sliced ? nullptr : bias;
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
           workspace, bias, c, problem.M, problem.N, ldc, cut.slices);
  }
}

}  // namespace

std::size_t gemm_workspace_bytes(const GemmProblem& problem) {
  return visit_real("gemm", problem.dtype, [&](auto zero) -> std::size_t {
    const Cut cut = cut_of(problem);
    return cut.slices == 1 ? 0
                           : static_cast<std::size_t>(cut.slices * problem.M * problem.N) *
                                 sizeof(decltype(zero));
  });
}

void gemm(const GemmProblem& problem, const void* a, const void* b, const void* bias, void* c,
          void* workspace) {
  visit_real("gemm", problem.dtype, [&](auto zero) {
    using T = decltype(zero);
    run<T>(problem, static_cast<const T*>(a), static_cast<const T*>(b), static_cast<const T*>(bias),
           static_cast<T*>(c), static_cast<T*>(workspace));
  });
}

}  // namespace cks::kernels::cuda
