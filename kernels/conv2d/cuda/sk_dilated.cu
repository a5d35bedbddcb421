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
#include <algorithm>

#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/common/pack.cuh"
#include "cks/kernels/common/register_tile.cuh"
#include "cks/kernels/conv2d/cuda/gradient_tiles.h"
#include "cks/kernels/conv2d/cuda/kernels.h"
#include "cks/kernels/conv2d/taps.h"

namespace cks::kernels::cuda {
namespace {

struct FilterGradient {
  const float* x;
  const float* dy;
  float* out;  // dW, or [slices][dW]
  std::int64_t x_image, x_row, x_pixel;
  std::int64_t y_image, y_row, y_pixel;
  std::int64_t filter_size;  // elements of dW
  int images, IH, IW, OH, OW, FH, FW;
  int sh, sw, pt, pl, dh, dw;
  int m, n;  // output and input channels of a group
  int n_tiles, slices;
};

template <int BM_, int BN_, int TM_, int TN_>
struct Tile {
  static constexpr int BM = BM_, BN = BN_, TM = TM_, TN = TN_, BK = 16;
  static constexpr int kThreads = (BM / TM) * (BN / TN);
};

template <class T, int VEC, bool kMergedTaps>
__global__ void __launch_bounds__(T::kThreads, 512 / T::kThreads)
    sk_dilated_kernel(const __grid_constant__ FilterGradient p) {
  begin_kernel();
  constexpr int BM = T::BM, BN = T::BN, BK = T::BK, TM = T::TM, TN = T::TN;
  constexpr int kThreads = T::kThreads;
  constexpr int kColumnsOfThreads = BN / TN;
  __shared__ __align__(16) float a_tile[2][BK][BM];
  __shared__ __align__(16) float b_tile[2][BK][BN];

  const int t = static_cast<int>(threadIdx.x);
  const int m0 = static_cast<int>(blockIdx.x) / p.n_tiles * BM;
  const int n0 = static_cast<int>(blockIdx.x) % p.n_tiles * BN;
  // The tap of the block, or of the column of X that this thread loads.
  const int n_of_thread = n0 + static_cast<int>(threadIdx.x) % (BN / VEC) * VEC;
  const int tap = kMergedTaps ? n_of_thread / p.n : static_cast<int>(blockIdx.y);
  const int fh = tap / p.FW, fw = tap - fh * p.FW;
  const int n_size = kMergedTaps ? p.n * p.FH * p.FW : p.n;
  const int slice = static_cast<int>(blockIdx.z) % p.slices;
  const int group = static_cast<int>(blockIdx.z) / p.slices;

  using Range = IndexRangeOf<int>;
  const Range rows = kMergedTaps
                         ? Range{0, p.OH}
                         : tap_outputs(TapAxisOf<int>{p.IH, p.OH, p.FH, p.sh, p.pt, p.dh}, fh);
  const Range columns = kMergedTaps
                            ? Range{0, p.OW}
                            : tap_outputs(TapAxisOf<int>{p.IW, p.OW, p.FW, p.sw, p.pl, p.dw}, fw);
  const int height = rows.size(), width = columns.size();
  const std::int64_t positions = static_cast<std::int64_t>(p.images) * height * width;
  // Slices begin at whole stages.
  const std::int64_t stages_in_all = (positions + BK - 1) / BK;
  const std::int64_t begin = stages_in_all * slice / p.slices * BK;
  const std::int64_t stop = stages_in_all * (slice + 1) / p.slices * BK;
  const std::int64_t end = stop < positions ? stop : positions;
  const int stages = begin < end ? static_cast<int>((end - begin + BK - 1) / BK) : 0;

  constexpr int kVecM = BM / VEC, kVecN = BN / VEC;
  constexpr int kALoads = BM * BK / VEC / kThreads;
  constexpr int kBLoads = BN * BK / VEC / kThreads;
  constexpr int kAStep = kThreads / kVecM, kBStep = kThreads / kVecN;
  static_assert(kAStep > 0 && kBStep > 0 && kALoads * kAStep == BK && kBLoads * kBStep == BK,
                "a stage divides evenly among the threads");
  const int a_lane = (t % kVecM) * VEC, b_lane = (t % kVecN) * VEC;
  const bool a_inside = m0 + a_lane < p.m, b_inside = n0 + b_lane < n_size;
  const float* dy = p.dy + rows.begin * p.y_row + columns.begin * p.y_pixel +
                    static_cast<std::int64_t>(group) * p.m + m0 + a_lane;
  const float* x = p.x + (rows.begin * p.sh - p.pt + fh * p.dh) * p.x_row +
                   (columns.begin * p.sw - p.pl + fw * p.dw) * p.x_pixel +
                   static_cast<std::int64_t>(group) * p.n +
                   (kMergedTaps ? n_of_thread - tap * p.n : n_of_thread);

  // Position of each row of the stage that this thread loads, as (image, row, column) of the
  // rectangle, moved on by BK without a division.
  struct Place {
    int n, h, w;
  };
  const int per_image = max(1, height * width);
  const auto place_of = [&](std::int64_t position) {
    const int n = static_cast<int>(position / per_image);
    const int rest = static_cast<int>(position - static_cast<std::int64_t>(n) * per_image);
    return Place{n, rest / max(1, width), rest % max(1, width)};
  };
  const Place step = place_of(BK);
  const auto advance = [&](Place& at) {
    at.w += step.w;
    int carry = at.w >= width ? 1 : 0;
    at.w -= carry ? width : 0;
    at.h += step.h + carry;
    carry = at.h >= height ? 1 : 0;
    at.h -= carry ? height : 0;
    at.n += step.n + carry;
  };
  Place a_at[kALoads], b_at[kBLoads];
  int left = static_cast<int>(end - begin);
#pragma unroll
  for (int i = 0; i < kALoads; ++i) {
    a_at[i] = place_of(begin + t / kVecM + i * kAStep);
  }
#pragma unroll
  for (int i = 0; i < kBLoads; ++i) {
    b_at[i] = place_of(begin + t / kVecN + i * kBStep);
  }

  float a_stage[kALoads * VEC];
  float b_stage[kBLoads * VEC];
  const auto fetch = [](const float* from, bool inside, float* to) {
    if constexpr (VEC == 4) {
      const float4 v =
          inside ? __ldg(reinterpret_cast<const float4*>(from)) : make_float4(0, 0, 0, 0);
      to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
    } else {
      to[0] = inside ? __ldg(from) : 0.0F;
    }
  };
  const auto load = [&] {
#pragma unroll
    for (int i = 0; i < kALoads; ++i) {
      const bool inside = a_inside && t / kVecM + i * kAStep < left;
      fetch(dy + a_at[i].n * p.y_image + a_at[i].h * p.y_row + a_at[i].w * p.y_pixel, inside,
            a_stage + VEC * i);
      advance(a_at[i]);
    }
#pragma unroll
    for (int i = 0; i < kBLoads; ++i) {
      bool inside = b_inside && t / kVecN + i * kBStep < left;
      if constexpr (kMergedTaps) {
        const int ih = b_at[i].h * p.sh - p.pt + fh * p.dh;
        const int iw = b_at[i].w * p.sw - p.pl + fw * p.dw;
        inside = inside && ih >= 0 && ih < p.IH && iw >= 0 && iw < p.IW;
      }
      fetch(x + b_at[i].n * p.x_image + b_at[i].h * p.sh * p.x_row + b_at[i].w * p.sw * p.x_pixel,
            inside, b_stage + VEC * i);
      advance(b_at[i]);
    }
    left -= BK;
  };
  const auto store = [&](int stage) {
#pragma unroll
    for (int i = 0; i < kALoads; ++i) {
#pragma unroll
      for (int v = 0; v < VEC; ++v) {
        a_tile[stage][t / kVecM + i * kAStep][a_lane + v] = a_stage[VEC * i + v];
      }
    }
#pragma unroll
    for (int i = 0; i < kBLoads; ++i) {
#pragma unroll
      for (int v = 0; v < VEC; ++v) {
        b_tile[stage][t / kVecN + i * kBStep][b_lane + v] = b_stage[VEC * i + v];
      }
    }
  };

  const int tx = t % kColumnsOfThreads;
  const int ty = t / kColumnsOfThreads;
  float sum[TM][TN] = {};
  if (stages > 0) {
    load();
    store(0);
    __syncthreads();
  }
  for (int s = 0; s < stages; ++s) {
    const int now = s & 1;
    const bool more = s + 1 < stages;
    if (more) {
      load();
    }
#pragma unroll
    for (int k = 0; k < BK; ++k) {
      float a[TM], b[TN];
      const auto as_it_is = [](int row) { return row; };
      load_quads<BM>(a_tile[now][k], ty, as_it_is, a);
      load_quads<BN>(b_tile[now][k], tx, as_it_is, b);
      add_outer_product(a, b, sum);
    }
    if (more) {
      store(now ^ 1);
      __syncthreads();
    }
  }

  float* out = p.out + slice * p.filter_size;
#pragma unroll
  for (int i = 0; i < TM; ++i) {
    const int row = m0 + quad_row<BM, TM>(i / 4, ty) + i % 4;
    if (row >= p.m) {
      continue;
    }
    float* to = out + (static_cast<std::int64_t>(group) * p.m + row) * p.FH * p.FW * p.n +
                (kMergedTaps ? 0 : tap * p.n);
#pragma unroll
    for (int q = 0; q < TN / 4; ++q) {
      const int lane = n0 + quad_row<BN, TN>(q, tx);
      if constexpr (VEC == 4) {
        if (lane < n_size) {
          *reinterpret_cast<float4*>(to + lane) =
              make_float4(sum[i][4 * q], sum[i][4 * q + 1], sum[i][4 * q + 2], sum[i][4 * q + 3]);
        }
      } else {
#pragma unroll
        for (int v = 0; v < 4; ++v) {
          if (lane + v < n_size) {
            to[lane + v] = sum[i][4 * q + v];
          }
        }
      }
    }
  }
}

FilterGradient gradient_of(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  const Conv2dProblem& q = conv.problem;
  FilterGradient p{};
  p.x = static_cast<const float*>(operands.x);
  p.dy = static_cast<const float*>(operands.y);
  p.out = static_cast<float*>(conv.plan.split_k > 1 ? operands.workspace : operands.result);
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

template <class T, int VEC, bool kMergedTaps>
void launch_gradient(FilterGradient p, const Conv2dProblem& q) {
  const int n = kMergedTaps ? p.n * p.FH * p.FW : p.n;
  p.n_tiles = ceil_div(n, static_cast<int>(T::BN));
  const dim3 grid(static_cast<unsigned>(ceil_div(p.m, static_cast<int>(T::BM)) * p.n_tiles),
                  static_cast<unsigned>(kMergedTaps ? 1 : p.FH * p.FW),
                  static_cast<unsigned>(p.slices * q.G));
  launch("sk_dilated", sk_dilated_kernel<T, VEC, kMergedTaps>, grid, T::kThreads, 0, p);
}

void add_slices_of(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  if (conv.plan.split_k > 1) {
    add_slices(static_cast<const float*>(operands.workspace), static_cast<float*>(operands.result),
               filter_size(conv.problem), conv.plan.split_k);
  }
}

}  // namespace

std::int64_t run_tiled_taps(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  const Conv2dProblem& q = conv.problem;
  const FilterGradient p = gradient_of(conv, operands);
  const bool vectors = p.m % 4 == 0 && p.n % 4 == 0 && q.x_pitch % 4 == 0 && q.y_pitch % 4 == 0 &&
                       aligned_for_packs(p.x, p.dy, static_cast<const float*>(operands.result));
  with_tile<kTiledTaps>(conv.plan.tile, [&](auto at) {
    constexpr RatedTile tile = kTiledTaps[at()];
    using T = Tile<tile.rows, tile.columns, tile.thread_rows, tile.thread_columns>;
    vectors ? launch_gradient<T, 4, false>(p, q) : launch_gradient<T, 1, false>(p, q);
  });
  add_slices_of(conv, operands);
  std::int64_t executed = 0;
  for (std::int64_t fh = 0; fh < q.FH; ++fh) {
    for (std::int64_t fw = 0; fw < q.FW; ++fw) {  // m*n*k of each tap's GEMM
      executed += q.N * tap_outputs(row_axis(q), fh).size() *
                  tap_outputs(column_axis(q), fw).size() * p.m * p.n * q.G;
    }
  }
  return executed;
}

std::int64_t run_merged_taps(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  const Conv2dProblem& q = conv.problem;
  const FilterGradient p = gradient_of(conv, operands);
  with_tile<kMergedTaps>(conv.plan.tile, [&](auto at) {
    constexpr RatedTile tile = kMergedTaps[at()];
    launch_gradient<Tile<tile.rows, tile.columns, tile.thread_rows, tile.thread_columns>, 1, true>(
        p, q);
  });
  add_slices_of(conv, operands);
  return q.N * q.OH * q.OW * q.OC * q.FH * q.FW * p.n;  // m*n*k of the one GEMM
}

}  // namespace cks::kernels::cuda
