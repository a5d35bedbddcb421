#pragma once
#include <cstdint>

#include "cks/kernels/common/pack.cuh"

/// How a matrix product's operands come into shared memory.
namespace cks::kernels::cuda {

constexpr std::int64_t kGroupDepth = 16;  // k of one group in a stage

template <int BM_, int BN_, int TM_, int TN_, int GROUPS_, int BUFFERS_>
struct Tile {
  static constexpr int BM = BM_, BN = BN_, TM = TM_, TN = TN_, GROUPS = GROUPS_;
  static constexpr int BUFFERS = BUFFERS_;
  static constexpr int BK = static_cast<int>(kGroupDepth) * GROUPS;
  static constexpr int kGroupThreads = (BM / TM) * (BN / TN);
  static constexpr int kThreads = kGroupThreads * GROUPS;
};

/// One operand: lane l (a row of A, a column of B) at k lies at data[l*ld + k], or at
/// data[k*ld + l] if it is stored along its lanes.
template <class T>
struct Operand {
  const T* data;
  std::int64_t ld;
  std::int64_t lanes;
  bool packs;  // base and ld allow 16-byte loads
};

/// Elements stored along k lie transposed in shared memory, [k][lane]; the XOR spreads the k of
/// neighbouring threads over different banks and keeps quads of lanes together.
template <bool kAlongK>
__device__ __forceinline__ int swizzle(int k, int lane) {
  return kAlongK ? lane ^ (((k >> 2) & 3) << 3) : lane;
}

/// What one thread moves of one operand in each stage.
template <class T, class Shape, int B, bool kAlongK>
struct Mover {
  static constexpr int V = kPackLanes<T>;
  static constexpr int kLoads = B * Shape::BK / V / Shape::kThreads;
  static_assert(kLoads * Shape::kThreads * V == B * Shape::BK, "a stage divides evenly");
  using TileOfOperand = T[Shape::BK][B];

  Pack<T, V> stage[kLoads];
  const T* source[kLoads];
  int lanes[kLoads];  // that exist, of the pack (along its lanes), or 0 or 1 (along k)
  std::int64_t step;  // elements between stages
  bool packs;

  /// Lane and k, within the stage, of the first element of load i.
  static __device__ __forceinline__ int2 place(int i) {
    const int pack = static_cast<int>(threadIdx.x) + i * Shape::kThreads;
    if constexpr (kAlongK) {
      constexpr int kPacks = static_cast<int>(kGroupDepth) / V;  // of one lane in a group's depth
      const int lane = pack / kPacks % B;
      return make_int2(lane,
                       pack / (kPacks * B) * static_cast<int>(kGroupDepth) + pack % kPacks * V);
    } else {
      return make_int2(pack % (B / V) * V, pack / (B / V));
    }
  }

  __device__ __forceinline__ Mover(const Operand<T>& from, std::int64_t lane0, std::int64_t k0)
      : step(kAlongK ? Shape::BK : Shape::BK * from.ld), packs(from.packs) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int2 at = place(i);
      const std::int64_t lane = lane0 + at.x;
      const std::int64_t k = k0 + at.y;
      source[i] = from.data + (kAlongK ? lane * from.ld + k : k * from.ld + lane);
      const std::int64_t left = from.lanes - lane;
      const int most = kAlongK ? 1 : V;
      lanes[i] = left < 0 ? 0 : (left < most ? static_cast<int>(left) : most);
    }
  }

  /// Loads the next stage, of which `depth` k exist.
  __device__ __forceinline__ void load(int depth) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int k = place(i).y;
      const int left = kAlongK ? (lanes[i] != 0 ? depth - k : 0) : (k < depth ? lanes[i] : 0);
      if (packs && left >= V) {
        stage[i] = load_pack<V>(source[i]);
      } else {
#pragma unroll
        for (int v = 0; v < V; ++v) {
          stage[i].lane[v] = v < left ? source[i][v] : T{0};
        }
      }
      source[i] += step;
    }
  }

  __device__ __forceinline__ void store(TileOfOperand& tile) const {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int2 at = place(i);
      if constexpr (kAlongK) {
#pragma unroll
        for (int v = 0; v < V; ++v) {
          tile[at.y + v][swizzle<true>(at.y + v, at.x)] = stage[i].lane[v];
        }
      } else {
        store_pack<V>(&tile[at.y][at.x], stage[i]);
      }
    }
  }
};

/// Four neighbouring elements of shared memory.
template <class T>
__device__ __forceinline__ void load_quad(const T* from, T* to) {
  constexpr int V = kPackLanes<T>;
#pragma unroll
  for (int v = 0; v < 4; v += V) {
    const Pack<T, V> pack = load_pack<V>(from + v);
#pragma unroll
    for (int j = 0; j < V; ++j) {
      to[v + j] = pack.lane[j];
    }
  }
}

}  // namespace cks::kernels::cuda
