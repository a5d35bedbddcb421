// Sk-dilated for the tensor cores of compute capability 8.0 and newer: products of dY, transposed,
// with the pixels that a tap meets, term by term as gradient.h says. Both operands lie with a term
// a row, as they are copied, and are turned as they are read: bfloat16 by the loads of matrices,
// float32 of tf32 word by word, rounded. Strict fp32 multiplies planes of bfloat16, into which both
// operands are split beforehand in memory. Terms are added in the same order whatever the machine.
#include "cks/kernels/ampere/copy.cuh"
#include "cks/kernels/common/divider.cuh"
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/ampere/geometry.h"
#include "cks/kernels/conv2d/ampere/kernels.h"
#include "cks/kernels/conv2d/ampere/plane_sums.cuh"
#include "cks/kernels/conv2d/ampere/swizzle.cuh"
#include "cks/kernels/conv2d/ampere/warp.cuh"
#include "cks/kernels/conv2d/hopper/operands.h"

namespace cks::kernels::ampere {
namespace {

/// kRows output channels x kColumns columns, shared by 2 warps side by side and the others below
/// each other. kChunkBytes: what is copied at a time, 16 or 4 bytes.
template <Arithmetic kMode, int kRowCount, int kColumnCount, int kChunkBytes>
struct Tile {
  static constexpr bool kWords = kMode == Arithmetic::tf32;  // of float32
  static constexpr int kPlanes = kMode == Arithmetic::fp32 ? kMostPlanes : 1;
  static constexpr int kRows = kRowCount, kColumns = kColumnCount, kChunk = kChunkBytes;
  static constexpr int kWarpRows = kPlanes > 1 && kRows == 128 ? 4 : 2, kWarpColumns = 2;
  static constexpr int kThreads = kWarpRows * kWarpColumns * 32;
  static constexpr int kBytes = kWords ? 4 : 2;   // of an element
  static constexpr int kStep = kWords ? 16 : 32;  // terms
  static constexpr int kStages = kPlanes > 1 ? 2 : 4;
  static constexpr int kRowTiles = kRows / kWarpRows / 16;
  static constexpr int kColumnTiles = kColumns / kWarpColumns / 8;
  static constexpr int kRowBytes = kRows * kBytes, kColumnBytes = kColumns * kBytes;
  static constexpr int kGradientBytes = kStep * kRowBytes;  // of a plane
  static constexpr int kPixelBytes = kStep * kColumnBytes;
  static constexpr int kStageBytes = kPlanes * (kGradientBytes + kPixelBytes);
  static constexpr int kSharedBytes = kStages * kStageBytes;
  static constexpr int kSums = kRowTiles * kColumnTiles * 4;  // of a thread
  static constexpr int kBlocks = kThreads == 256 ? 1 : (kSums > 32 || kPlanes > 1 ? 2 : 3);
  static_assert(kTerms % kStep == 0 && kRowBytes % 128 == 0 && kColumnBytes % 128 == 0);

  /// Where a byte of a term's row lies, of dY (kRowBytes) or of X (kColumnBytes).
  template <int kLength>
  static __device__ __forceinline__ int place(int term, int byte) {
    return kWords ? place_for_words<kLength>(term, byte) : place_for_matrices<kLength>(term, byte);
  }
};

struct Parameters {
  GradientPlan g;
  cuda::Divider<std::uint32_t> out_width, out_height;
  const unsigned char* x;
  const unsigned char* dy;
  std::uint32_t x_pitch, dy_pitch;  // bytes, from one pixel to the next
  std::int64_t x_plane, dy_plane;   // bytes, from one plane to the next
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
    has_channel_ = channel < g.out_channels;
    const int element = PixelChunks::byte() / K::kBytes;
    Column column = column_of(g, tap, unit.block + element / kBlock);
    column.channel += element % kBlock;
    x_ = p.x + std::int64_t{column.channel} * K::kBytes;
    has_column_ = column.tap < g.filter_taps && column.channel < g.in_channels;
    const int row = column.tap / g.filter_width;
    down_ = row * g.row_dilation - g.top;
    right_ = (column.tap - row * g.filter_width) * g.column_dilation - g.left;
  }

  /// The step, or zeros, to the stage at `to`.
  __device__ __forceinline__ void copy(std::uint32_t to, bool exists) const {
    const GradientPlan& g = p_.g;
    each<GradientChunks>([&](int term, const Term&, int output, bool is_there) {
      const unsigned char* const from =
          dy_ + std::uint64_t{static_cast<std::uint32_t>(output)} * p_.dy_pitch;
      const std::uint32_t at = to + K::template place<K::kRowBytes>(term, GradientChunks::byte());
#pragma unroll
      for (int plane = 0; plane < K::kPlanes; ++plane) {
        copy_async<K::kChunk>(at + plane * K::kGradientBytes, from + plane * p_.dy_plane,
                              exists && is_there && has_channel_);
      }
    });
    to += K::kPlanes * K::kGradientBytes;
    each<PixelChunks>([&](int term, const Term& out, int, bool is_there) {
      const int row = out.row * g.row_stride + down_;
      const int column = out.column * g.column_stride + right_;
      const bool meets = static_cast<unsigned>(row) < static_cast<unsigned>(g.height) &&
                         static_cast<unsigned>(column) < static_cast<unsigned>(g.width);
      const int pixel = (out.image * g.height + row) * g.width + column;
      const unsigned char* const from =
          x_ + std::uint64_t{static_cast<std::uint32_t>(pixel)} * p_.x_pitch;
      const std::uint32_t at = to + K::template place<K::kColumnBytes>(term, PixelChunks::byte());
#pragma unroll
      for (int plane = 0; plane < K::kPlanes; ++plane) {
        copy_async<K::kChunk>(at + plane * K::kPixelBytes, from + plane * p_.x_plane,
                              exists && is_there && meets && has_column_);
      }
    });
  }
  __device__ __forceinline__ void advance() { walk_.advance(p_.g, tap_); }

 private:
  using GradientChunks = Chunks<K, K::kRowBytes>;
  using PixelChunks = Chunks<K, K::kColumnBytes>;

  /// Calls copy(term of the step, output, its number, whether there is one) for the thread's
  /// chunks.
  template <class Kind, class Copy>
  __device__ __forceinline__ void each(Copy&& copy) const {
#pragma unroll
    for (int i = 0; i < Kind::kCopies; ++i) {
      const int term = Kind::first_term() + i * Kind::kSideBySide;
      Term at;
      int output = 0;
      const bool is_there = walk_.find(p_, term, at, output);
      copy(term, at, output, is_there);
    }
  }

  const Parameters& p_;
  const GradientTap& tap_;
  TermWalk<K> walk_;
  const unsigned char* dy_;  // the chunk of the first pixel
  const unsigned char* x_;
  bool has_channel_, has_column_;  // whether the chunk is of channels that exist
  int down_, right_;               // from an output's window to the tap
};

/// A word of float32 rows. The terms of a product may be taken in any order that both operands
/// have.
template <class K, int kLength>
__device__ __forceinline__ std::uint32_t word_at(std::uint32_t rows, int term, int element) {
  return load_word(rows + K::template place<kLength>(term, element * 4));
}

/// dY of 16 terms of bfloat16 or 8 of float32. first: the warp's first output channel.
template <class K>
__device__ __forceinline__ void load_gradients(std::uint32_t (&a)[K::kRowTiles][4],
                                               std::uint32_t dy, int first, int part) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int m = 0; m < K::kRowTiles; ++m) {
    if constexpr (!K::kWords) {
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

/// The pixels that meet them, of kTiles x 8 columns from `first` on.
template <class K, int kTiles>
__device__ __forceinline__ void load_pixels(std::uint32_t (&b)[kTiles][2], std::uint32_t x,
                                            int first, int part) {
  if constexpr (!K::kWords) {
    load_columns<true>(b, first, part, [&](int term, int byte) {
      return x + K::template place<K::kColumnBytes>(term, byte);
    });
  } else {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
#pragma unroll
      for (int q = 0; q < 2; ++q) {
        b[n][q] = rounded_to_tf32(
            word_at<K, K::kColumnBytes>(x, part * 8 + q * 4 + lane % 4, first + n * 8 + lane / 4));
      }
    }
  }
}

/// The copies are asked for once the first operands are read, so that products follow at once.
template <class K, class CopyNext>
__device__ __forceinline__ void multiply_step(Sums<K>& sums, std::uint32_t dy, int row, int column,
                                              CopyNext&& copy_next) {
#pragma unroll
  for (int part = 0; part < 2; ++part) {
    std::uint32_t a[K::kRowTiles][4], b[K::kColumnTiles][2];
    load_gradients<K>(a, dy, row, part);
    load_pixels<K>(b, dy + K::kGradientBytes, column, part);
    if (part == 0) {
      copy_next();
    }
    multiply_tiles<!K::kWords>(sums, a, b);
  }
}

/// The same of planes.
template <class K, class CopyNext>
__device__ __forceinline__ void multiply_split_step(Sums<K>& sums, std::uint32_t dy, int row,
                                                    int column, CopyNext&& copy_next) {
  const std::uint32_t x = dy + K::kPlanes * K::kGradientBytes;
  copy_next();
#pragma unroll 1  // both at once take more registers than there are
  for (int part = 0; part < 2; ++part) {
    std::uint32_t a[kMostPlanes][K::kRowTiles][4];
#pragma unroll
    for (int plane = 0; plane < kMostPlanes; ++plane) {
      load_gradients<K>(a[plane], dy + plane * K::kGradientBytes, row, part);
    }
    multiply_planes(sums, a, [&](auto& b, int plane, int tile) {
      load_pixels<K>(b, x + plane * K::kPixelBytes, column + tile * 8, part);
    });
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
  const auto [row, column] = warp_part<K>();
  const std::uint32_t base = shared_address(shared);
  TermCopies<K> copies(p, tap, unit);
  Sums<K> sums = {};
  run_pipeline<K>(unit.terms * (kTerms / K::kStep), base, copies,
                  [&](std::uint32_t stage, auto&& copy_next) {
                    if constexpr (K::kPlanes > 1) {
                      multiply_split_step<K>(sums, stage, row, column, copy_next);
                    } else {
                      multiply_step<K>(sums, stage, row, column, copy_next);
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
  constexpr bool kSplits = kMode == Arithmetic::fp32;
  constexpr std::int64_t kBytes = kMode == Arithmetic::tf32 ? 4 : 2;
  const Conv2dProblem& problem = conv.problem;
  const hopper::GradientOperands operands =
      hopper::gradient_operands("sk_dilated", conv, o, kSplits ? kMostPlanes : 1);
  const auto plane_bytes = [](const hopper::NarrowPixels& pixels) {
    return kSplits ? (pixels.plane[1] - pixels.plane[0]) * kBytes : 0;
  };
  const bool wide = is_wide(problem, conv.plan.pass);
  Parameters p;
  p.g = conv.data<GradientPlan>();
  p.out_width = cuda::Divider<std::uint32_t>(problem.OW);
  p.out_height = cuda::Divider<std::uint32_t>(problem.OH);
  p.x = reinterpret_cast<const unsigned char*>(operands.x.plane[0]);
  p.dy = reinterpret_cast<const unsigned char*>(operands.dy.plane[0]);
  p.x_pitch = static_cast<std::uint32_t>(operands.x.pitch * kBytes);
  p.dy_pitch = static_cast<std::uint32_t>(operands.dy.pitch * kBytes);
  p.x_plane = plane_bytes(operands.x);
  p.dy_plane = plane_bytes(operands.dy);
  p.out = operands.out;
  p.is_aligned = wide;
  const Conv2dTile& tile = conv.plan.tile;
  if (tile == Conv2dTile{128, 128}) {
    launch_tile<Tile<kMode, 128, 128, 16>>(p);
  } else if (tile == Conv2dTile{64, 128}) {
    launch_tile<Tile<kMode, 64, 128, 16>>(p);
  } else if (kSplits || wide) {
    launch_tile<Tile<kMode, 64, 64, 16>>(p);
  } else {
    launch_tile<Tile<kMode, 64, 64, kSplits ? 16 : 4>>(p);
  }
  cuda::add_gradient_slices(conv, o);
}

}  // namespace

std::int64_t run_taps80(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  const Arithmetic arithmetic = conv.plan.arithmetic;
  const auto launch_products = arithmetic == Arithmetic::bf16   ? launch_taps<Arithmetic::bf16>
                               : arithmetic == Arithmetic::tf32 ? launch_taps<Arithmetic::tf32>
                                                                : launch_taps<Arithmetic::fp32>;
  launch_products(conv, operands);
  return executed_of(conv.data<GradientPlan>());
}

}  // namespace cks::kernels::ampere
