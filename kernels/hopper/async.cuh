#pragma once
#include <cuda.h>  // types alone

#include <cstdint>

/// What blocks of compute capability 9.0 wait for and copy with: barriers of shared memory that
/// count bytes, and the copy engine. Each function is one instruction; the names are PTX's.
/// Source  "Asynchronous copy", "mbarrier" and "Tensors", PTX ISA 9.0.
namespace cks::kernels::hopper {

__device__ __forceinline__ std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

/// The dynamic shared memory from its first multiple of 1024 bytes on, which swizzled rows need.
/// (Not by rounding the pointer, of which the compiler would forget that it is shared.)
__device__ __forceinline__ unsigned char* aligned_shared(unsigned char* raw) {
  return raw + ((0U - shared_address(raw)) & 1023U);
}

/// Moves registers between the warpgroups of a block: all four warps call it. kCount % 8 == 0.
template <int kCount>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}
template <int kCount>
__device__ __forceinline__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}

/// Waits for `threads` threads of the block at barrier `id` (1 to 15).
__device__ __forceinline__ void sync_threads(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

__device__ __forceinline__ int cluster_rank() {
  std::uint32_t rank = 0;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return static_cast<int>(rank);
}
__device__ __forceinline__ void sync_cluster() {
  asm volatile(
      "barrier.cluster.arrive.release.aligned;\n"
      "barrier.cluster.wait.acquire.aligned;" ::
          : "memory");
}

/// The same where nothing was written that the other blocks read.
__device__ __forceinline__ void await_cluster() {
  asm volatile(
      "barrier.cluster.arrive.relaxed.aligned;\n"
      "barrier.cluster.wait.acquire.aligned;" ::
          : "memory");
}

// --- Barriers -----------------------------------------------------------------------------------

__device__ __forceinline__ void init_barrier(std::uint64_t* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
               "r"(arrivals)
               : "memory");
}
/// After all init_barrier() of a thread, before others use them.
__device__ __forceinline__ void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ __forceinline__ void arrive(std::uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier))
               : "memory");
}
/// Arrives at the same barrier of a block of the cluster. (Not .release.cluster, which waits for
/// the memory of the whole device each time.)
__device__ __forceinline__ void arrive_at(std::uint64_t* barrier, int rank) {
  asm volatile(
      "{.reg .b32 remote; mapa.shared::cluster.u32 remote, %0, %1; "
      "mbarrier.arrive.shared::cluster.b64 _, [remote];}" ::"r"(shared_address(barrier)),
      "r"(rank)
      : "memory");
}
/// Writes to the same place of a block's shared memory.
__device__ __forceinline__ void store_at(void* to, int rank, const float4& value) {
  asm volatile(
      "{.reg .b32 remote; mapa.shared::cluster.u32 remote, %0, %1; "
      "st.shared::cluster.v4.f32 [remote], {%2,%3,%4,%5};}" ::"r"(shared_address(to)),
      "r"(rank), "f"(value.x), "f"(value.y), "f"(value.z), "f"(value.w)
      : "memory");
}
/// Arrives, and lets the barrier wait for that many bytes of copies too.
__device__ __forceinline__ void arrive_expecting(std::uint64_t* barrier, int bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
      "r"(bytes)
      : "memory");
}
/// Waits until the phase of that parity has ended. A new barrier is in phase 0: waiting for parity
/// 1 returns at once.
__device__ __forceinline__ void wait(std::uint64_t* barrier, int parity) {
  std::uint32_t done = 0;
  while (done == 0) {
    asm volatile(
        "{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; "
        "selp.u32 %0, 1, 0, p;}"
        : "=r"(done)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
  }
}

/// Where a ring of stages stands: which stage, and in which round.
template <int kStages>
struct RingPosition {
  int stage = 0;
  int parity;
  int count;  // of the ring's stages that are used

  /// 0 for who waits for a full stage, 1 for who waits for an empty one (at first all are).
  __device__ explicit RingPosition(int first_parity, int used = kStages)
      : parity(first_parity), count(used) {}
  __device__ __forceinline__ void advance() {
    if (++stage == count) {
      stage = 0;
      parity ^= 1;
    }
  }
};

/// What the thread wrote to shared memory, for the copy engine and the tensor cores, which read it
/// after a barrier that follows.
__device__ __forceinline__ void publish_to_copies() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// --- The copy engine ----------------------------------------------------------------------------

__device__ __forceinline__ void prefetch_map(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

/// A box of box_map(): its first element's place, innermost axis first; may lie outside.
struct BoxAt {
  int axis0, axis1, axis2, axis3;
};

/// Copies a box to shared memory; `barrier` counts its bytes, those outside the tensor included.
__device__ __forceinline__ void copy_box(void* to, const CUtensorMap* map, std::uint64_t* barrier,
                                         const BoxAt& at) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3,%4,%5,%6}], [%2];" ::"r"(shared_address(to)),
      "l"(map), "r"(shared_address(barrier)), "r"(at.axis0), "r"(at.axis1), "r"(at.axis2),
      "r"(at.axis3)
      : "memory");
}
/// As copy_box(), to the same place of every block of a cluster of two; each one's barrier counts.
__device__ __forceinline__ void copy_box_to_both(void* to, const CUtensorMap* map,
                                                 std::uint64_t* barrier, const BoxAt& at) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%4,%5,%6,%7}], [%2], %3;" ::"r"(shared_address(to)),
      "l"(map), "r"(shared_address(barrier)), "h"(static_cast<std::uint16_t>(3)), "r"(at.axis0),
      "r"(at.axis1), "r"(at.axis2), "r"(at.axis3)
      : "memory");
}

/// By how much a tap shifts the positions of window_map().
struct Shift {
  std::uint16_t column, row;
};

/// As copy_box(), of window_map(): `at` is the first position, before the shift.
__device__ __forceinline__ void copy_window(void* to, const CUtensorMap* map,
                                            std::uint64_t* barrier, const BoxAt& at, Shift shift) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3,%4,%5,%6}], [%2], {%7,%8};" ::"r"(shared_address(to)),
      "l"(map), "r"(shared_address(barrier)), "r"(at.axis0), "r"(at.axis1), "r"(at.axis2),
      "r"(at.axis3), "h"(shift.column), "h"(shift.row)
      : "memory");
}
__device__ __forceinline__ void copy_window_to_both(void* to, const CUtensorMap* map,
                                                    std::uint64_t* barrier, const BoxAt& at,
                                                    Shift shift) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%3,%4,%5,%6}], [%2], {%7,%8}, %9;" ::"r"(shared_address(to)),
      "l"(map), "r"(shared_address(barrier)), "r"(at.axis0), "r"(at.axis1), "r"(at.axis2),
      "r"(at.axis3), "h"(shift.column), "h"(shift.row), "h"(static_cast<std::uint16_t>(3))
      : "memory");
}

}  // namespace cks::kernels::hopper
