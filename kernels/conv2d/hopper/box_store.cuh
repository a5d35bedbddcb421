#pragma once
#include "cks/kernels/common/epilogue.h"
#include "cks/kernels/conv2d/hopper/boxes.h"
#include "cks/kernels/halves/factor.cuh"
#include "cks/kernels/hopper/async.cuh"
#include "cks/kernels/hopper/matrix.cuh"

/// How a warpgroup stores sums whose rows are channels and whose columns positions: 64 positions of
/// 64 channels at a time by way of shared memory ("part"), where they are turned, so that pixels
/// are written in 16 bytes.
namespace cks::kernels::hopper {

inline constexpr int kPart = 64;

/// pixels[i]: where position first + i of a place lies in the result, -1 if it is none. By the 128
/// threads of a warpgroup.
__device__ __forceinline__ void find_pixels(const BoxCorrelation& c, const Place& place, int first,
                                            int count, int thread, int* pixels) {
  const int positions = positions_of(c, place);
  for (int i = thread; i < count; i += 128) {
    pixels[i] = first + i < positions ? pixel_of(c, place, position_of(c, place, first + i)) : -1;
  }
}

/// What an epilogue does beside the steps of a TypedEpilogue, with kernels of their own, so that
/// the others keep their registers; both in whole chunks of channels.
enum class Ending : std::uint8_t {
  none,
  mask,  // of which conv2d.cpp says when it comes: of what is plain
  sums   // of channels
};

template <class T>
struct StoreEpilogue : TypedEpilogue<T> {
  const T* mask = nullptr;
  float mask_slope = 1.0F;
  float* channel_sums = nullptr;

  StoreEpilogue() = default;
  explicit StoreEpilogue(const Epilogue& e)
      : TypedEpilogue<T>(e),
        mask(static_cast<const T*>(e.mask)),
        mask_slope(static_cast<float>(e.mask_slope)),
        channel_sums(e.channel_sums) {}
};

/// What a thread has stored of the channels of its chunk: their sums, and those of their squares.
template <class T, class Sum = float>
struct ChunkSums {
  static constexpr int kElements = 16 / static_cast<int>(sizeof(T));
  Sum values[kElements] = {};
  Sum squares[kElements] = {};

  __device__ __forceinline__ void add(const uint4& chunk) {
    const std::uint32_t words[] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if constexpr (sizeof(T) == 2) {
        const float2 pair = widened_pair(words[i]);
        add(i * 2, pair.x);
        add(i * 2 + 1, pair.y);
      } else {
        add(i, __uint_as_float(words[i]));
      }
    }
  }
  __device__ __forceinline__ void add(int i, float value) {
    values[i] += value;
    squares[i] += value * value;
  }
  __device__ __forceinline__ void add(const ChunkSums<T>& other) {
#pragma unroll
    for (int i = 0; i < kElements; ++i) {
      values[i] += other.values[i];
      squares[i] += other.squares[i];
    }
  }
};

/// 16 bytes of a gradient, masked by those of what an activation made.
template <class T>
__device__ __forceinline__ uint4 masked_chunk(uint4 gradient, const uint4& y, float slope) {
  const auto mask = [slope](std::uint32_t& dy, std::uint32_t of) {
    if constexpr (sizeof(T) == 2) {
      const float2 values = widened_pair(dy);
      const float2 results = widened_pair(of);
      dy = rounded_pair(masked(values.x, results.x, slope), masked(values.y, results.y, slope));
    } else {
      dy = __float_as_uint(masked(__uint_as_float(dy), __uint_as_float(of), slope));
    }
  };
  mask(gradient.x, y.x);
  mask(gradient.y, y.y);
  mask(gradient.z, y.z);
  mask(gradient.w, y.w);
  return gradient;
}

/// A thread's share. A position of a part is a row of its 64 channels, swizzled over 128 bytes so
/// that neither writes nor reads meet in a bank; float32 has two such rows, of 32 channels each.
template <class T, class Factor, Ending kEnding>
struct PartStore {
  static constexpr bool kBf16 = sizeof(T) == 2;
  static constexpr int kBytes = kPart * 64 * static_cast<int>(sizeof(T));
  static constexpr int kElements = 16 / static_cast<int>(sizeof(T));  // of a chunk
  static constexpr int kChunks = 64 / kElements;                      // of a position
  static constexpr int kSideBySide = 128 / kChunks;                   // positions

  const StoreEpilogue<T>& epilogue;
  T* target;
  std::int64_t pitch;  // of the target's pixels
  int channels;        // of the target
  unsigned char* part;
  const int* pixels;  // of all positions of the warpgroup
  int barrier;        // of the warpgroup
  int thread;         // of the warpgroup
  const HalfOperands& halves;

  __device__ __forceinline__ unsigned char* chunk_at(int position, int chunk) const {
    const int swizzled = ((chunk & 7) ^ (position & 7)) << 4;
    return part + (chunk >> 3) * (kPart * 128) + position * 128 + swizzled;
  }

  /// Calls copy(chunk in the part, elements from the target's base, its number) for this thread's
  /// chunks of 16 bytes.
  template <class Copy>
  __device__ __forceinline__ void each_chunk(int first, int channel, Copy&& copy) const {
    const int chunk = thread % kChunks;
    if (channel + chunk * kElements >= channels) {
      return;
    }
#pragma unroll
    for (int i = 0; i < kPart / kSideBySide; ++i) {
      const int position = thread / kChunks + i * kSideBySide;
      if (const int pixel = pixels[first + position]; pixel >= 0) {
        copy(reinterpret_cast<T*>(chunk_at(position, chunk)),
             pixel * pitch + channel + chunk * kElements, i);
      }
    }
  }
  /// As above, element by element, where chunks are not whole or addresses are odd:
  /// copy(element in the part, from the target's base).
  template <class Copy>
  __device__ __forceinline__ void each_element(int first, int channel, Copy&& copy) const {
#pragma unroll 1
    for (int i = thread; i < kPart * 64; i += 128) {
      const int position = i / 64, at = i % 64;
      const int pixel = pixels[first + position];
      if (pixel >= 0 && channel + at < channels) {
        copy(reinterpret_cast<T*>(chunk_at(position, at / kElements)) + at % kElements,
             pixel * pitch + channel + at);
      }
    }
  }

  /// Has the second cache fetch what store() reads when the sums are done, of the thread's
  /// positions of `count`, of 64 channels from `channel` on.
  __device__ __forceinline__ void prefetch(int count, int channel) const {
    constexpr int kLine = 128 / static_cast<int>(sizeof(T));
    const T* const from = kEnding == Ending::mask ? epilogue.mask : epilogue.residual;
    if (from == nullptr) {
      return;
    }
    for (int i = thread; i < count; i += 128) {
      for (int at = channel; pixels[i] >= 0 && at < channel + 64 && at < channels; at += kLine) {
        asm volatile("prefetch.global.L2 [%0];" ::"l"(from + pixels[i] * pitch + at));
      }
    }
  }

  /// What the epilogue does to rows 0 and 1 of a thread's sums, whose channels are 8 apart.
  struct Rows {
    float bias[2], scale[2], shift[2];
    Factor factor;
  };
  __device__ __forceinline__ Rows rows_of(int channel) const {
    const auto read = [&](const T* values, int at, float missing) {
      return values != nullptr && at < channels ? static_cast<float>(values[at]) : missing;
    };
    Rows rows;
    rows.factor = Factor::of(halves);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int at = channel + thread / 32 * 16 + thread % 32 / 4 + i * 8;
      rows.bias[i] = read(epilogue.bias, at, 0.0F);
      rows.scale[i] = read(epilogue.scale, at, 1.0F);
      rows.shift[i] = read(epilogue.shift, at, 0.0F);
    }
    return rows;
  }
  template <bool kPlain>
  __device__ __forceinline__ float finish(float sum, const Rows& rows, int i,
                                          float residual) const {
    float value = rows.factor(sum) + rows.bias[i];
    if constexpr (!kPlain) {
      value = value * rows.scale[i] + rows.shift[i] + residual;
      value = activated(value, epilogue.slope);
    }
    return value;
  }

  /// Writes what is to be stored of a thread's sums to the part, where the residual waits.
  template <bool kPlain>
  __device__ __forceinline__ void write_part(const float* sums, const Rows& rows) const {
    const int lane = thread % 32, warp = thread / 32;
    if constexpr (kBf16) {
      // Matrix m of four: rows m%2 of the sums, columns m/2 of the next 16.
      const int position = lane / 16 * 8 + lane % 8;
      const std::uint32_t base = shared_address(chunk_at(position, warp * 2 + lane / 8 % 2));
#pragma unroll
      for (int j = 0; j < kPart / 16; ++j) {
        const std::uint32_t address = base + static_cast<std::uint32_t>(j * 16 * 128);
        std::uint32_t pairs[4] = {0, 0, 0, 0};
        if (!kPlain && epilogue.residual != nullptr) {
          load_transposed(address, pairs);
        }
#pragma unroll
        for (int m = 0; m < 4; ++m) {
          const float* const pair = sums + (j * 2 + m / 2) * 4 + m % 2 * 2;
          const float2 residual = widened_pair(pairs[m]);
          pairs[m] = rounded_pair(finish<kPlain>(pair[0], rows, m % 2, residual.x),
                                  finish<kPlain>(pair[1], rows, m % 2, residual.y));
        }
        store_transposed(address, pairs);
      }
    } else {
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        const int i = n / 2, c = n % 2;
        const int channel_of = warp * 16 + i * 8 + lane / 4;
        float* const base =
            reinterpret_cast<float*>(chunk_at(lane % 4 * 2 + c, channel_of / kElements)) +
            channel_of % kElements;
#pragma unroll
        for (int j = 0; j < kPart / 8; ++j) {
          float* const here = base + j * 8 * 32;
          const float residual = !kPlain && epilogue.residual != nullptr ? *here : 0.0F;
          *here = finish<kPlain>(sums[j * 4 + i * 2 + c], rows, i, residual);
        }
      }
    }
  }

  __device__ __forceinline__ void sync() const { sync_threads(barrier, 128); }

  /// Stores positions first to first + 63 of the warpgroup's, of 64 channels from `channel` on.
  /// sums: kPart / 2 of this thread. stored: what it adds up for leave().
  __device__ __forceinline__ void store(const float* sums, int first, int channel, const Rows& rows,
                                        ChunkSums<T>& stored) const {
    const bool in_chunks = channel + 64 <= channels || channels % kElements == 0;
    sync();  // all have read the part before
    if constexpr (kEnding == Ending::mask) {
      uint4 masks[kPart / kSideBySide];
      each_chunk(first, channel, [&](const T*, std::int64_t at, int i) {
        masks[i] = *reinterpret_cast<const uint4*>(epilogue.mask + at);
      });
      write_part<true>(sums, rows);
      sync();
      each_chunk(first, channel, [&](const T* here, std::int64_t at, int i) {
        *reinterpret_cast<uint4*>(target + at) =
            masked_chunk<T>(*reinterpret_cast<const uint4*>(here), masks[i], epilogue.mask_slope);
      });
      return;
    }
    if (epilogue.is_plain) {
      write_part<true>(sums, rows);
    } else {
      if (const T* const residual = epilogue.residual; residual != nullptr) {
        if (in_chunks && reinterpret_cast<std::uintptr_t>(residual) % 16 == 0) {
          each_chunk(first, channel, [&](T* here, std::int64_t at, int) {
            *reinterpret_cast<uint4*>(here) = *reinterpret_cast<const uint4*>(residual + at);
          });
        } else {
          each_element(first, channel, [&](T* here, std::int64_t at) { *here = residual[at]; });
        }
        sync();
      }
      write_part<false>(sums, rows);
    }
    sync();
    if (in_chunks) {
      each_chunk(first, channel, [&](const T* here, std::int64_t at, int) {
        const uint4 chunk = *reinterpret_cast<const uint4*>(here);
        *reinterpret_cast<uint4*>(target + at) = chunk;
        if constexpr (kEnding == Ending::sums) {
          stored.add(chunk);
        }
      });
    } else {
      each_element(first, channel, [&](const T* here, std::int64_t at) { target[at] = *here; });
    }
  }

  /// Writes what the warpgroup has stored of 64 channels from `channel` on to a row of the
  /// epilogue's sums, if it has some: added over the lanes and warps that share a chunk, in order.
  template <class Sum>
  __device__ __forceinline__ void leave(const ChunkSums<T, Sum>& stored, int row,
                                        int channel) const {
    if constexpr (kEnding == Ending::sums) {
      const int lane = thread % 32, warp = thread / 32;
      auto* const of_warps = reinterpret_cast<float*>(part);  // [warp][2][64]
      sync();                                                 // all have read the part
#pragma unroll
      for (int i = 0; i < 2 * kElements; ++i) {
        Sum sum = i < kElements ? stored.values[i] : stored.squares[i - kElements];
#pragma unroll
        for (int distance = 16; distance >= kChunks; distance /= 2) {
          sum += __shfl_down_sync(~0U, sum, distance);
        }
        if (lane < kChunks) {
          of_warps[(warp * 2 + i / kElements) * 64 + lane * kElements + i % kElements] =
              static_cast<float>(sum);
        }
      }
      sync();
      const int at = channel + thread % 64;
      if (at < channels) {
        float sum = 0.0F;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          sum += of_warps[i * 128 + thread];
        }
        epilogue.channel_sums[(row * std::int64_t{2} + thread / 64) * channels + at] = sum;
      }
    }
  }
};

}  // namespace cks::kernels::hopper
