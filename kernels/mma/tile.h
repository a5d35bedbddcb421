#pragma once

/// Products by tiles of shared memory, C = A B, for operands of any shape: what multiplies stands
/// here once (mainloop.cuh), operations bring what loads their operands and where C goes.
namespace cks::kernels::cuda {

inline constexpr int kGroupDepth = 16;  // k of a group of threads in a stage

/// How a block computes BM x BN of a product.
///
/// TM, TN    rows and columns of a thread, as quads (register_tile.cuh).
/// GROUPS    groups of threads that share the k of a stage among themselves; their sums are added
///           in order at the end. A product of too few tiles to fill the GPU is bound by the
///           latency of its loads: eight groups need an eighth of the stages.
/// BUFFERS   stages in shared memory: with 2 the next one is stored while one is multiplied.
template <int BM_, int BN_, int TM_, int TN_, int GROUPS_ = 1, int BUFFERS_ = 2>
struct Tile {
  static constexpr int BM = BM_, BN = BN_, TM = TM_, TN = TN_;
  static constexpr int GROUPS = GROUPS_, BUFFERS = BUFFERS_;
  static constexpr int BK = kGroupDepth * GROUPS;
  static constexpr int kGroupThreads = (BM / TM) * (BN / TN);
  static constexpr int kThreads = kGroupThreads * GROUPS;
  /// For the launch bounds: 512 threads a multiprocessor leave 128 registers to each.
  static constexpr int kBlocks = kThreads < 512 ? 512 / kThreads : 1;
  static_assert(TM % 4 == 0 && TN % 4 == 0, "a thread's rows and columns are quads");
  static_assert(BUFFERS == 1 || BUFFERS == 2, "one stage, or two in turn");
};

}  // namespace cks::kernels::cuda
