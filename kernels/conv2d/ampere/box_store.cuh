#pragma once
#include "cks/kernels/common/epilogue.h"
#include "cks/kernels/conv2d/ampere/box_copies.cuh"

/// What becomes of a thread's sums (ampere/matrix.cuh): positions are rows, channels columns.
namespace cks::kernels::ampere {

/// What a block stores of its sums. A thread ends up with four neighbouring channels of a position,
/// which it reads and writes at once where addresses allow it.
template <class T>
class BoxStore {
 public:
  /// pitch: of the result's pixels. end: of the group's channels. is_aligned: four of them, from a
  /// multiple of four on, lie so.
  __device__ __forceinline__ BoxStore(const TypedEpilogue<T>& epilogue, T* result,
                                      std::int64_t pitch, int end, bool is_aligned)
      : epilogue_(epilogue), result_(result), pitch_(pitch), end_(end), is_aligned_(is_aligned) {
    residual_is_aligned_ =
        is_aligned && reinterpret_cast<std::uintptr_t>(epilogue.residual) % sizeof(Four) == 0;
  }

  /// All sums of a warp: of the positions from `spots` on and channels from `channel` on.
  template <int kRowTiles, int kColumnTiles>
  __device__ __forceinline__ void store(const float (&sums)[kRowTiles][kColumnTiles][4],
                                        const Spot* spots, int channel) const {
    const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
    const bool is_odd = t % 2 != 0;
#pragma unroll
    for (int pair = 0; pair < kColumnTiles / 2; ++pair) {
      // A thread has channels 2t and 2t+1 of two tiles of 8; neighbours exchange those of one.
      const int first = channel + pair * 16 + (is_odd ? 8 + 2 * (t - 1) : 2 * t);
      const Steps steps = steps_of(first);
#pragma unroll
      for (int half = 0; half < 2 * kRowTiles; ++half) {
        const int pixel = spots[half * 8 + g].target;
        const float* const left = &sums[half / 2][pair * 2][half % 2 * 2];
        const float* const right = &sums[half / 2][pair * 2 + 1][half % 2 * 2];
        const float low = __shfl_xor_sync(0xffffffffU, is_odd ? left[0] : right[0], 1);
        const float high = __shfl_xor_sync(0xffffffffU, is_odd ? left[1] : right[1], 1);
        float four[4] = {is_odd ? low : left[0], is_odd ? high : left[1], is_odd ? right[0] : low,
                         is_odd ? right[1] : high};
        if (pixel >= 0 && first < end_) {
          const std::int64_t at = pixel * pitch_ + first;
          finish(steps, at, end_ - first, four);
          store_four(at, end_ - first, four);
        }
      }
    }
  }

 private:
  struct alignas(4 * sizeof(T)) Four {
    T value[4];
  };
  /// Of four channels: what happens to a sum, in this order.
  struct Steps {
    float bias[4], scale[4], shift[4];
  };

  __device__ __forceinline__ Steps steps_of(int first) const {
    Steps steps;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const auto of_channel = [&](const T* values, float missing) {
        return values != nullptr && first + i < end_ ? static_cast<float>(values[first + i])
                                                     : missing;
      };
      steps.bias[i] = of_channel(epilogue_.bias, 0.0F);
      steps.scale[i] = of_channel(epilogue_.scale, 1.0F);
      steps.shift[i] = of_channel(epilogue_.shift, 0.0F);
    }
    return steps;
  }

  /// at: in elements; there: channels from there on.
  __device__ __forceinline__ void finish(const Steps& steps, std::int64_t at, int there,
                                         float (&four)[4]) const {
    const TypedEpilogue<T>& e = epilogue_;
    Four residual{};
    if (e.residual != nullptr) {
      if (residual_is_aligned_ && there >= 4) {
        residual = *reinterpret_cast<const Four*>(e.residual + at);
      } else {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if (i < there) {
            residual.value[i] = e.residual[at + i];
          }
        }
      }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float value = four[i] + steps.bias[i];
      if (!e.is_plain) {
        value = value * steps.scale[i] + steps.shift[i];
        value += static_cast<float>(residual.value[i]);
        value = activated(value, e.slope);
      }
      four[i] = value;
    }
  }

  __device__ __forceinline__ void store_four(std::int64_t at, int there,
                                             const float (&values)[4]) const {
    Four four;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      four.value[i] = static_cast<T>(values[i]);
    }
    if (is_aligned_ && there >= 4) {
      *reinterpret_cast<Four*>(result_ + at) = four;
      return;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (i < there) {
        result_[at + i] = four.value[i];
      }
    }
  }

  const TypedEpilogue<T>& epilogue_;
  T* result_;
  std::int64_t pitch_;
  int end_;
  bool is_aligned_, residual_is_aligned_;
};

}  // namespace cks::kernels::ampere
