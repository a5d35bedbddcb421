#pragma once
#include <cstdint>
#include <type_traits>

namespace cks::kernels::cuda {

/// V neighbouring elements that move in one access; 16 bytes where V is kPackSize<T>.
template <class T, int V>
struct alignas(sizeof(T) * V) Pack {
  T value[V];
  __device__ __forceinline__ T& operator[](int v) { return value[v]; }
  const __device__ __forceinline__ T& operator[](int v) const { return value[v]; }
};

template <class T>
constexpr int kPackSize = 16 / static_cast<int>(sizeof(T));

template <int V, class T>
__device__ __forceinline__ Pack<T, V> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, V>*>(from);
}

/// The same where nothing writes while the kernel runs; zeros, and no access, unless `inside`.
template <int V>
__device__ __forceinline__ Pack<float, V> load_constant_pack(const float* from, bool inside) {
  static_assert(V == 1 || V == 4, "one element or 16 bytes");
  if constexpr (V == 4) {
    const float4 v =
        inside ? __ldg(reinterpret_cast<const float4*>(from)) : make_float4(0, 0, 0, 0);
    return {{v.x, v.y, v.z, v.w}};
  } else {
    return {{inside ? __ldg(from) : 0.0F}};
  }
}

template <int V, class T>
__device__ __forceinline__ void store_pack(T* to, const Pack<T, V>& pack) {
  if constexpr (sizeof(T) == 2 && V == 8) {
    // As words: eight elements of two bytes the compiler would store one by one.
    *reinterpret_cast<uint4*>(to) = __builtin_bit_cast(uint4, pack);
  } else {
    *reinterpret_cast<Pack<T, V>*>(to) = pack;
  }
}

/// Whether all of the addresses are multiples of 16; null is.
template <class... Pointers>
bool aligned_for_packs(const Pointers*... pointers) {
  return ((reinterpret_cast<std::uintptr_t>(pointers) % 16 == 0) && ...);
}

/// Calls body(V) with the channels of a thread, as an integral constant: 16 bytes of them, at most
/// kMost, if `packs` says that the addresses allow it and C divides, otherwise one.
template <class T, int kMost = kPackSize<T>, class Body>
void with_channels(std::int64_t C, bool packs, Body&& body) {
  constexpr int V = kMost < kPackSize<T> ? kMost : kPackSize<T>;
  if (packs && C % V == 0) {
    body(std::integral_constant<int, V>{});
  } else {
    body(std::integral_constant<int, 1>{});
  }
}

}  // namespace cks::kernels::cuda
