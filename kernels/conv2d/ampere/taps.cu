// Sk-dilated for the tensor cores of compute capability 8.0 and newer: products of dY, transposed,
// with the pixels that a tap meets, term by term as gradient.h says. Both operands lie with a term
// a row, as they are copied, and are turned as they are read: bfloat16 by the loads of matrices,
// float32 word by word, in tf32 rounded, in strict fp32 split into three planes of bfloat16 (see
// planes.cu). Terms are added in the same order whatever the machine.
#include "cks/kernels/ampere/copy.cuh"
#include "cks/kernels/common/divider.cuh"
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/ampere/columns.cuh"
#include "cks/kernels/conv2d/ampere/geometry.h"
#include "cks/kernels/conv2d/ampere/kernels.h"
#include "cks/kernels/conv2d/ampere/swizzle.cuh"
#include "cks/kernels/conv2d/hopper/operands.h"

namespace cks::kernels::ampere {
namespace {

/// kRows output channels x kColumns columns, shared by 2 warps side by side and the others below
/// each other. kChunkBytes: what is copied at a time, 16 or 4 bytes.
template <Arithmetic kMode, int kRowCount, int kColumnCount, int kChunkBytes>
struct Tile {
  static constexpr bool kBf16 = kMode == Arithmetic::bf16, kSplits = kMode == Arithmetic::fp32;
  static constexpr int kRows = kRowCount, kColumns = kColumnCount, kChunk = kChunkBytes;
  static constexpr int kWarpRows = kSplits && kRows == 128 ? 4 : 2, kWarpColumns = 2;
  static constexpr int kThreads = kWarpRows * kWarpColumns * 32;
  static constexpr int kBytes = kBf16 ? 2 : 4;                       // of an element
  static constexpr int kStep = kMode == Arithmetic::tf32 ? 16 : 32;  // terms
  static constexpr int kStages = kSplits ? 2 : 4;
  static constexpr int kRowTiles = kRows / kWarpRows / 16;
  static constexpr int kColumnTiles = kColumns / kWarpColumns / 8;
  static constexpr int kRowBytes = kRows * kBytes, kColumnBytes = kColumns * kBytes;
  static constexpr int kGradientBytes = kStep * kRowBytes;
  static constexpr int kStageBytes = kGradientBytes + kStep * kColumnBytes;
  static constexpr int kSharedBytes = kStages * kStageBytes;
  static constexpr int kSums = kRowTiles * kColumnTiles * 4;  // of a thread
  static constexpr int kBlocks = kThreads == 256 ? 1 : (kSums == 128 || kSplits ? 2 : 3);
  static_assert(kTerms % kStep == 0 && kRowBytes % 128 == 0 && kColumnBytes % 128 == 0);

  /// Where a byte of a term's row lies, of dY (kRowBytes) or of X (kColumnBytes).
  template <int kLength>
  static __device__ __forceinline__ int place(int term, int byte) {
    if constexpr (kBf16) {
      return place_for_matrices<kLength>(term, byte);
    } else {
      return place_for_words<kLength>(term, byte);
    }
  }
};

struct Parameters {
  GradientPlan g;
  cuda::Divider<std::uint32_t> out_width, out_height;
  const unsigned char* x;
  const unsigned char* dy;
  std::uint32_t x_pitch, dy_pitch;  // bytes
  float* out;                       // [split_k][OC][taps][IC]
  bool is_aligned;                  // pairs of input channels are stored at once
};

/// The first output of a step, which goes from box to box of terms.
template <class K>
class TermWalk {
 public:
  /// Only to be walked if the unit has terms.
  __device__ __forceinline__ TermWalk(const GradientPlan& g, const GradientTap& tap,
                                      const GradientUnit& unit)
      : at_(g.at_places && unit.terms > 0 ? term_of(g, tap, unit.first) : Term{}),
        output_(unit.first * kTerms) {}

  /// The output `term` behind the first, and its number; false where there is none.
  __device__ __forceinline__ bool find(const Parameters& p, int term, Term& at, int& output) const {
    const GradientPlan& g = p.g;
    if (g.at_places) {
      at = {at_.image + part_ + term, at_.row, at_.column};
      output = (at.image * g.out_height + at.row) * g.out_width + at.column;
      return at.image < g.images;
    }
    output = output_ + part_ + term;
    const auto line = static_cast<int>(p.out_width.divide(static_cast<std::uint32_t>(output)));
    at.image = static_cast<int>(p.out_height.divide(static_cast<std::uint32_t>(line)));
    at.row = line - at.image * g.out_height;
    at.column = output - line * g.out_width;
    return at.image < g.images;
  }

  __device__ __forceinline__ void advance(const GradientPlan& g, const GradientTap& tap) {
    part_ += K::kStep;
    if (part_ < kTerms) {
      return;
    }
    part_ = 0;
    output_ += kTerms;
    if (g.at_places && ++at_.column == tap.first_column + tap.columns) {
      at_.column = tap.first_column;
      if (++at_.row == tap.first_row + tap.rows) {
        at_.row = tap.first_row;
        at_.image += kTerms;
      }
    }
  }

 private:
  Term at_;       // of the box; at places alone
  int output_;    // of the box; in a row alone
  int part_ = 0;  // terms of the box that earlier steps had
};

/// The rows of an operand, as threads share them: each has always the same chunk, of every
/// kSideBySide-th term.
template <class K, int kRowBytes>
struct Chunks {
  static constexpr int kCount = kRowBytes / K::kChunk;  // of a row
  static constexpr int kSideBySide = K::kThreads / kCount;
  static constexpr int kCopies = K::kStep / kSideBySide;
  static_assert(K::kThreads % kCount == 0 && K::kStep % kSideBySide == 0);

  static __device__ __forceinline__ int first_term() {
    return static_cast<int>(threadIdx.x) / kCount;
  }
  static __device__ __forceinline__ int byte() {
    return static_cast<int>(threadIdx.x) % kCount * K::kChunk;
  }
};

template <class K>
class TermCopies {
 public:
  __device__ __forceinline__ TermCopies(const Parameters& p, const GradientTap& tap,
                                        const GradientUnit& unit)
      : p_(p), tap_(tap), walk_(p.g, tap, unit) {
    const GradientPlan& g = p.g;
    const int channel = unit.row + GradientChunks::byte() / K::kBytes;
    dy_ = p.dy + std::int64_t{channel} * K::kBytes;
    dy_there_ = there((g.out_channels - channel) * K::kBytes);
    const int element = PixelChunks::byte() / K::kBytes;
    Column column = column_of(g, tap, unit.block + element / kBlock);
    column.channel += element % kBlock;
    x_ = p.x + std::int64_t{column.channel} * K::kBytes;
    x_there_ = column.tap < g.filter_taps ? there((g.in_channels - column.channel) * K::kBytes) : 0;
    const int row = column.tap / g.filter_width;
    down_ = row * g.row_dilation - g.top;
    right_ = (column.tap - row * g.filter_width) * g.column_dilation - g.left;
  }

  /// The next step, to the stage at `to`.
  __device__ __forceinline__ void copy(std::uint32_t to) {
    const GradientPlan& g = p_.g;
#pragma unroll
    for (int i = 0; i < GradientChunks::kCopies; ++i) {
      const int term = GradientChunks::first_term() + i * GradientChunks::kSideBySide;
      Term at;
      int output = 0;
      const int bytes = walk_.find(p_, term, at, output) ? dy_there_ : 0;
      copy_async<K::kChunk>(
          to + K::template place<K::kRowBytes>(term, GradientChunks::byte()),
          bytes != 0 ? dy_ + std::uint64_t{static_cast<std::uint32_t>(output)} * p_.dy_pitch
                     : p_.dy,
          bytes);
    }
    to += K::kGradientBytes;
#pragma unroll
    for (int i = 0; i < PixelChunks::kCopies; ++i) {
      const int term = PixelChunks::first_term() + i * PixelChunks::kSideBySide;
      Term at;
      int output = 0;
      const bool exists = walk_.find(p_, term, at, output);
      const int row = at.row * g.row_stride + down_;
      const int column = at.column * g.column_stride + right_;
      const bool meets = static_cast<unsigned>(row) < static_cast<unsigned>(g.height) &&
                         static_cast<unsigned>(column) < static_cast<unsigned>(g.width);
      const int bytes = exists && meets ? x_there_ : 0;
      const int pixel = (at.image * g.height + row) * g.width + column;
      copy_async<K::kChunk>(
          to + K::template place<K::kColumnBytes>(term, PixelChunks::byte()),
          bytes != 0 ? x_ + std::uint64_t{static_cast<std::uint32_t>(pixel)} * p_.x_pitch : p_.x,
          bytes);
    }
    walk_.advance(g, tap_);
  }

 private:
  using GradientChunks = Chunks<K, K::kRowBytes>;
  using PixelChunks = Chunks<K, K::kColumnBytes>;

  static __device__ __forceinline__ int there(int left) { return min(max(left, 0), K::kChunk); }

  const Parameters& p_;
  const GradientTap& tap_;
  TermWalk<K> walk_;
  const unsigned char* dy_;  // the chunk of the first pixel
  const unsigned char* x_;
  int dy_there_, x_there_;  // bytes of the chunk that are channels
  int down_, right_;        // from an output's window to the tap
};

/// Words that a thread reads of float32 rows: of 4 bytes of K or of 2 x 2 of bfloat16 planes. The
/// terms of a product may be taken in any order that both operands have: those of a pair are 4
/// apart, so that 4 x 8 threads read 4 rows of 32 bytes.
template <class K, int kLength>
__device__ __forceinline__ std::uint32_t word_at(std::uint32_t rows, int term, int element) {
  return load_word(rows + K::template place<kLength>(term, element * 4));
}
template <class K, int kLength>
__device__ __forceinline__ float2 pair_at(std::uint32_t rows, int term, int element) {
  return {__uint_as_float(word_at<K, kLength>(rows, term, element)),
          __uint_as_float(word_at<K, kLength>(rows, term + 4, element))};
}

/// dY of 16 terms of bf16 or 8 of tf32. first: the warp's first output channel.
template <class K>
__device__ __forceinline__ void load_gradients(std::uint32_t (&a)[K::kRowTiles][4],
                                               std::uint32_t dy, int first, int part) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int m = 0; m < K::kRowTiles; ++m) {
    if constexpr (K::kBf16) {
      const int term = part * 16 + lane / 16 * 8 + lane % 8;
      const int channel = first + m * 16 + lane / 8 % 2 * 8;
      load_matrices<true>(a[m], dy + K::template place<K::kRowBytes>(term, channel * 2));
    } else {
#pragma unroll
      for (int q = 0; q < 4; ++q) {
        a[m][q] = rounded_to_tf32(word_at<K, K::kRowBytes>(dy, part * 8 + q / 2 * 4 + lane % 4,
                                                           first + m * 16 + q % 2 * 8 + lane / 4));
      }
    }
  }
}

/// The pixels that meet them. first: the warp's first column.
template <class K>
__device__ __forceinline__ void load_pixels(std::uint32_t (&b)[K::kColumnTiles][2], std::uint32_t x,
                                            int first, int part) {
  if constexpr (K::kBf16) {
    load_columns<true>(b, first, part, [&](int term, int byte) {
      return x + K::template place<K::kColumnBytes>(term, byte);
    });
  } else {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int n = 0; n < K::kColumnTiles; ++n) {
#pragma unroll
      for (int q = 0; q < 2; ++q) {
        b[n][q] = rounded_to_tf32(
            word_at<K, K::kColumnBytes>(x, part * 8 + q * 4 + lane % 4, first + n * 8 + lane / 4));
      }
    }
  }
}

template <class K>
using Sums = float[K::kRowTiles][K::kColumnTiles][4];

template <class K>
__device__ __forceinline__ void multiply_step(Sums<K>& sums, std::uint32_t dy, std::uint32_t x,
                                              int row, int column) {
#pragma unroll
  for (int part = 0; part < 2; ++part) {
    std::uint32_t a[K::kRowTiles][4], b[K::kColumnTiles][2];
    load_gradients<K>(a, dy, row, part);
    load_pixels<K>(b, x, column, part);
#pragma unroll
    for (int m = 0; m < K::kRowTiles; ++m) {
#pragma unroll
      for (int n = 0; n < K::kColumnTiles; ++n) {
        if constexpr (K::kBf16) {
          multiply_bf16(sums[m][n], a[m], b[n]);
        } else {
          multiply_tf32(sums[m][n], a[m], b[n]);
        }
      }
    }
  }
}

/// The first planes of dY of 16 terms.
template <class K, int kPlanes>
__device__ __forceinline__ void split_gradients(std::uint32_t (&a)[kPlanes][K::kRowTiles][4],
                                                std::uint32_t dy, int first, int part) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int m = 0; m < K::kRowTiles; ++m) {
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      std::uint32_t planes[kPlanes];
      split_pair(pair_at<K, K::kRowBytes>(dy, part * 16 + q / 2 * 8 + lane % 4,
                                          first + m * 16 + q % 2 * 8 + lane / 4),
                 planes);
#pragma unroll
      for (int plane = 0; plane < kPlanes; ++plane) {
        a[plane][m][q] = planes[plane];
      }
    }
  }
}

/// The first planes of 8 columns of X from `first` on.
template <class K, int kPlanes>
__device__ __forceinline__ void split_columns(std::uint32_t (&b)[kPlanes][2], std::uint32_t x,
                                              int first, int part) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int q = 0; q < 2; ++q) {
    std::uint32_t planes[kPlanes];
    split_pair(pair_at<K, K::kColumnBytes>(x, part * 16 + q * 8 + lane % 4, first + lane / 4),
               planes);
#pragma unroll
    for (int plane = 0; plane < kPlanes; ++plane) {
      b[plane][q] = planes[plane];
    }
  }
}

/// The same in strict fp32: sums of this step alone, the small products first, are added to `sums`.
template <class K>
__device__ __forceinline__ void multiply_split_step(Sums<K>& sums, std::uint32_t dy,
                                                    std::uint32_t x, int row, int column) {
  Sums<K> products = {};
#pragma unroll 1
  for (int part = 0; part < 2; ++part) {
    std::uint32_t a[kMostPlanes][K::kRowTiles][4];
    split_gradients<K>(a, dy, row, part);
#pragma unroll
    for (int n = 0; n < K::kColumnTiles; ++n) {
      std::uint32_t b[kMostPlanes][2];
      split_columns<K>(b, x, column + n * 8, part);
#pragma unroll
      for (int product = 0; product < kPlaneProducts - 1; ++product) {
#pragma unroll
        for (int m = 0; m < K::kRowTiles; ++m) {
          multiply_bf16(products[m][n], a[left_plane(product)][m], b[right_plane(product)]);
        }
      }
    }
  }
#pragma unroll 1
  for (int part = 0; part < 2; ++part) {
    std::uint32_t a[1][K::kRowTiles][4];
    split_gradients<K>(a, dy, row, part);
#pragma unroll
    for (int n = 0; n < K::kColumnTiles; ++n) {
      std::uint32_t b[1][2];
      split_columns<K>(b, x, column + n * 8, part);
#pragma unroll
      for (int m = 0; m < K::kRowTiles; ++m) {
        multiply_bf16(products[m][n], a[0][m], b[0]);
      }
    }
  }
#pragma unroll
  for (int m = 0; m < K::kRowTiles; ++m) {
#pragma unroll
    for (int n = 0; n < K::kColumnTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        sums[m][n][i] += products[m][n][i];
      }
    }
  }
}

/// row, column: the warp's first of the unit.
template <class K>
__device__ __forceinline__ void store_sums(const Parameters& p, const Sums<K>& sums,
                                           const GradientTap& tap, const GradientUnit& unit,
                                           int row, int column) {
  const GradientPlan& g = p.g;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t size = std::int64_t{g.out_channels} * g.filter_taps * g.in_channels;
#pragma unroll
  for (int n = 0; n < K::kColumnTiles; ++n) {
    const int element = column + n * 8 + lane % 4 * 2;
    Column at = column_of(g, tap, unit.block + element / kBlock);
    at.channel += element % kBlock;
    if (at.tap >= g.filter_taps || at.channel >= g.in_channels) {
      continue;
    }
#pragma unroll
    for (int half = 0; half < 2 * K::kRowTiles; ++half) {
      const int oc = unit.row + row + half * 8 + lane / 4;
      if (oc >= g.out_channels) {
        continue;
      }
      float* const to = p.out + unit.slice * size +
                        (std::int64_t{oc} * g.filter_taps + at.tap) * g.in_channels + at.channel;
      const float first = sums[half / 2][n][half % 2 * 2];
      const float second = sums[half / 2][n][half % 2 * 2 + 1];
      if (p.is_aligned) {
        *reinterpret_cast<float2*>(to) = make_float2(first, second);
      } else {
        to[0] = first;
        if (at.channel + 1 < g.in_channels) {
          to[1] = second;
        }
      }
    }
  }
}

template <class K>
__global__ void __launch_bounds__(K::kThreads, K::kBlocks)
    taps_kernel(const __grid_constant__ Parameters p) {
  cuda::begin_kernel();
  extern __shared__ __align__(128) unsigned char shared[];
  const GradientPlan& g = p.g;
  const int index = static_cast<int>(blockIdx.x);
  const GradientTap& tap = g.tap[hopper::group_of(g.tap, g.taps, index)];
  const GradientUnit unit = unit_of(g, tap, index - tap.first_unit);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int row = warp / K::kWarpColumns * (K::kRowTiles * 16);
  const int column = warp % K::kWarpColumns * (K::kColumnTiles * 8);
  const std::uint32_t base = shared_address(shared);
  TermCopies<K> copies(p, tap, unit);
  Sums<K> sums = {};
  run_pipeline<K::kStages>(
      unit.terms * (kTerms / K::kStep),
      [&](int stage) { copies.copy(base + stage * K::kStageBytes); },
      [&](int stage) {
        const std::uint32_t dy = base + stage * K::kStageBytes;
        if constexpr (K::kSplits) {
          multiply_split_step<K>(sums, dy, dy + K::kGradientBytes, row, column);
        } else {
          multiply_step<K>(sums, dy, dy + K::kGradientBytes, row, column);
        }
      });
  store_sums<K>(p, sums, tap, unit, row, column);
}

template <class K>
void launch_tile(const Parameters& p) {
  cuda::launch("sk_dilated", taps_kernel<K>, static_cast<unsigned>(p.g.units), K::kThreads,
               K::kSharedBytes, p);
}

template <Arithmetic kMode>
void launch_taps(const PreparedConv2d& conv, const Conv2dOperands& o) {
  constexpr std::int64_t kBytes = kMode == Arithmetic::bf16 ? 2 : 4;
  const Conv2dProblem& problem = conv.problem;
  const bool wide = is_wide(problem, conv.plan.pass);
  Parameters p;
  p.g = conv.data<GradientPlan>();
  p.out_width = cuda::Divider<std::uint32_t>(problem.OW);
  p.out_height = cuda::Divider<std::uint32_t>(problem.OH);
  p.x = static_cast<const unsigned char*>(o.x);
  p.dy = static_cast<const unsigned char*>(o.y);
  p.x_pitch = static_cast<std::uint32_t>(problem.x_pitch * kBytes);
  p.dy_pitch = static_cast<std::uint32_t>(problem.y_pitch * kBytes);
  p.out = static_cast<float*>(conv.plan.split_k > 1 ? o.workspace : o.result);
  p.is_aligned = wide;
  const Conv2dTile& tile = conv.plan.tile;
  if (!wide) {
    launch_tile<Tile<kMode, 64, 64, 4>>(p);
  } else if (tile == Conv2dTile{128, 128}) {
    launch_tile<Tile<kMode, 128, 128, 16>>(p);
  } else if (tile == Conv2dTile{64, 128}) {
    launch_tile<Tile<kMode, 64, 128, 16>>(p);
  } else {
    launch_tile<Tile<kMode, 64, 64, 16>>(p);
  }
  hopper::add_gradient_slices(conv, o);
}

}  // namespace

std::int64_t run_taps80(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  switch (conv.plan.arithmetic) {
    case Arithmetic::bf16:
      launch_taps<Arithmetic::bf16>(conv, operands);
      break;
    case Arithmetic::tf32:
      launch_taps<Arithmetic::tf32>(conv, operands);
      break;
    default:
      launch_taps<Arithmetic::fp32>(conv, operands);
  }
  return executed_of(conv.data<GradientPlan>());
}

}  // namespace cks::kernels::ampere
