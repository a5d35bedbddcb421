#pragma once
#include "cks/kernels/mma/register_tile.cuh"
#include "cks/kernels/mma/stage.cuh"

namespace cks::kernels::cuda {

/// Adds a thread's part of one stage: of k, the group's own.
template <class A, class B, class Tile, class T>
__device__ __forceinline__ void multiply_stage(const T (&a_stage)[Tile::BK][Tile::BM],
                                               const T (&b_stage)[Tile::BK][Tile::BN],
                                               const ThreadTile<Tile>& thread,
                                               T (&sum)[Tile::TM][Tile::TN]) {
#pragma unroll
  for (int step = 0; step < kGroupDepth; ++step) {
    const int k = thread.group * kGroupDepth + step;
    T a[Tile::TM], b[Tile::TN];
    load_quads<Tile::BM>(
        a_stage[k], thread.ty, [&](int row) { return A::place(step, row); }, a);
    load_quads<Tile::BN>(
        b_stage[k], thread.tx, [&](int row) { return B::place(step, row); }, b);
    add_outer_product(a, b, sum);
  }
}

/// sum += A B, stage by stage; every product of an element is added in the order of k (with groups:
/// of the group's k).
///
/// A, B      loaders (StageLoader): load(cursor) brings the thread's packs of the cursor's stage
///           from global memory into registers, store(stage) puts them into shared memory. In
///           between a stage is multiplied, which hides the latency of the loads.
/// Cursor    the next stage along k: more() tells whether there is one, advance() moves on.
///
/// All threads of the block take part. Ends without a __syncthreads().
template <class Tile, class T, class A, class B, class Cursor>
__device__ __forceinline__ void multiply(Stages<Tile, T>& shared, A& a, B& b, Cursor& cursor,
                                         const ThreadTile<Tile>& thread,
                                         T (&sum)[Tile::TM][Tile::TN]) {
  const auto load = [&] {
    a.load(cursor);
    b.load(cursor);
    cursor.advance();
  };
  const auto store = [&](int buffer) {
    a.store(shared.a[buffer]);
    b.store(shared.b[buffer]);
    __syncthreads();
  };
  if (!cursor.more()) {
    return;
  }
  load();
  store(0);
  for (int now = 0;; now ^= Tile::BUFFERS - 1) {
    const bool more = cursor.more();
    if (more) {
      load();
    }
    multiply_stage<A, B>(shared.a[now], shared.b[now], thread, sum);
    if (!more) {
      return;
    }
    if constexpr (Tile::BUFFERS == 1) {
      __syncthreads();  // everyone has read the stage that is overwritten
    }
    store(now ^ (Tile::BUFFERS - 1));
  }
}

}  // namespace cks::kernels::cuda
