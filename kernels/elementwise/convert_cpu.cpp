#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/elementwise/convert_impl.h"
#include "cks/kernels/elementwise/elementwise.h"
#include "cks/kernels/elementwise/functors_impl.h"

namespace cks::kernels::CKS_CPU {
namespace {

constexpr std::int64_t kGrain = 16384;

}  // namespace

void fill(DType dtype, std::int64_t count, double value, void* y) {
  visit_dtype(dtype, [&]<class T>(T) {
    T* out = static_cast<T*>(y);
    const T element = functors::convert_element<T>(value);
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
          out[i] = functors::convert_element<To>(in[i]);
        }
      });
    });
  });
}

void accumulate(DType dtype, std::int64_t count, const void* x, void* y, double scale) {
  visit_real("accumulate", dtype, [&]<class T>(T) {
    const T* in = static_cast<const T*>(x);
    T* sum = static_cast<T*>(y);
    const functors::Accumulate<T> step{static_cast<T>(scale)};
    parallel_for_ranges(count, kGrain, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        sum[i] = step(in[i], sum[i]);
      }
    });
  });
}

}  // namespace cks::kernels::CKS_CPU
