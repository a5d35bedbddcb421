#include <limits>

#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/elementwise/elementwise.h"

namespace cks::kernels::cpu {
namespace {

constexpr std::int64_t kGrain = 16384;

template <class T>
constexpr bool kIsReal = std::is_floating_point_v<T> || std::is_same_v<T, bfloat16>;

template <class To, class From>
To convert_element(From value) {
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (std::is_same_v<From, bfloat16>) {
    return convert_element<To>(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, bfloat16>) {
    return bfloat16(static_cast<float>(value));
  } else if constexpr (kIsReal<From> && !kIsReal<To>) {
    // The limits as powers of two are exact in From, unlike the greatest integer itself.
    constexpr From kLow = static_cast<From>(std::numeric_limits<To>::min());
    constexpr To kHalf = std::numeric_limits<To>::max() / 2 + 1;
    constexpr From kBeyond = static_cast<From>(kHalf) * From(2);
    if (value != value) {
      return 0;
    }
    if (value < kLow) {
      return std::numeric_limits<To>::min();
    }
    return value >= kBeyond ? std::numeric_limits<To>::max() : static_cast<To>(value);
  } else {
    return static_cast<To>(value);
  }
}

}  // namespace

void fill(DType dtype, std::int64_t count, double value, void* y) {
  visit_dtype(dtype, [&]<class T>(T) {
    T* out = static_cast<T*>(y);
    const T element = convert_element<T>(value);
    parallel_for_ranges(count, kGrain, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        out[i] = element;
      }
    });
  });
}

void convert(DType from, DType to, std::int64_t count, const void* x, void* y) {
  visit_dtype(from, [&]<class From>(From) {
    visit_dtype(to, [&]<class To>(To) {
      const From* in = static_cast<const From*>(x);
      To* out = static_cast<To*>(y);
      parallel_for_ranges(count, kGrain, [=](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          out[i] = convert_element<To>(in[i]);
        }
      });
    });
  });
}

void accumulate(DType dtype, std::int64_t count, const void* x, void* y, double scale) {
  visit_real("accumulate", dtype, [&]<class T>(T) {
    const T* in = static_cast<const T*>(x);
    T* sum = static_cast<T*>(y);
    const T factor = static_cast<T>(scale);
    parallel_for_ranges(count, kGrain, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        sum[i] += factor * in[i];
      }
    });
  });
}

}  // namespace cks::kernels::cpu
