#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/elementwise/convert_impl.h"
#include "cks/kernels/elementwise/elementwise.h"
#include "cks/kernels/elementwise/functors_impl.h"

namespace cks::kernels::CKS_CPU {
namespace {

// Elements of a block of work: a quarter of a second-level cache, so that a block costs much more
// than handing it out.
constexpr std::int64_t kGrain = 16384;

}  // namespace

void unary_forward(UnaryOp op, DType dtype, std::int64_t count, const void* x, void* y,
                   UnaryParameters parameters) {
  visit_real(name_of(op), dtype, [&]<class T>(T) {
    const T* in = static_cast<const T*>(x);
    T* out = static_cast<T*>(y);
    functors::visit_unary<T>(op, parameters, [&](auto function) {
      parallel_for_each(count, kGrain, [=](std::int64_t i) { out[i] = function(in[i]); });
    });
  });
}

void unary_backward(UnaryOp op, DType dtype, std::int64_t count, const void* dy, const void* saved,
                    void* dx, UnaryParameters parameters) {
  // Functions that save nothing ignore the second argument; dy is something valid to read.
  const void* const kept = unary_saves(op) == UnarySaves::nothing ? dy : saved;
  visit_real(name_of(op), dtype, [&]<class T>(T) {
    const T* grad_output = static_cast<const T*>(dy);
    const T* second = static_cast<const T*>(kept);
    T* grad_input = static_cast<T*>(dx);
    functors::visit_unary<T>(op, parameters, [&](auto function) {
      parallel_for_each(count, kGrain, [=](std::int64_t i) {
        grad_input[i] = function.grad(grad_output[i], second[i]);
      });
    });
  });
}

void fill(DType dtype, std::int64_t count, double value, void* y) {
  visit_dtype(dtype, [&]<class T>(T) {
    T* out = static_cast<T*>(y);
    const T element = functors::convert_element<T>(value);
    parallel_for_each(count, kGrain, [=](std::int64_t i) { out[i] = element; });
  });
}

void convert(DType from, DType to, std::int64_t count, const void* x, void* y) {
  visit_dtype(from, [&]<class From>(From) {
    visit_dtype(to, [&]<class To>(To) {
      const From* in = static_cast<const From*>(x);
      To* out = static_cast<To*>(y);
      parallel_for_each(count, kGrain,
                        [=](std::int64_t i) { out[i] = functors::convert_element<To>(in[i]); });
    });
  });
}

void round_tensors(const RoundedTensor* tensors, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    convert(DType::float32, DType::bfloat16, tensors[i].count, tensors[i].x, tensors[i].y);
  }
}

void accumulate(DType dtype, std::int64_t count, const void* x, void* y, double scale) {
  visit_floating("accumulate", dtype, [&]<class T>(T) {
    const T* in = static_cast<const T*>(x);
    T* sum = static_cast<T*>(y);
    const functors::Accumulate<T> step{static_cast<typename functors::Accumulate<T>::Sum>(scale)};
    parallel_for_each(count, kGrain, [=](std::int64_t i) { sum[i] = step(in[i], sum[i]); });
  });
}

}  // namespace cks::kernels::CKS_CPU
