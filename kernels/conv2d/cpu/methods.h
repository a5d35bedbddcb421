#pragma once
#include <cstdint>

#include "cks/kernels/common/entry_point.h"
#include "cks/kernels/common/epilogue.h"
#include "cks/kernels/conv2d/problem.h"

/// The three methods of the kernel simd, for T = float and double. Each returns the multiply-adds
/// it executed.
namespace cks::kernels::CKS_CPU {

template <class T>
std::int64_t convv2(const Conv2dProblem& problem, const T* x, const T* w,
                    const TypedEpilogue<T>& epilogue, T* y, void* workspace);

template <class T>
std::int64_t ks_deconv(const Conv2dProblem& problem, const T* dy, const T* w,
                       const TypedEpilogue<T>& epilogue, T* dx, void* workspace);

template <class T>
std::int64_t sk_dilated(const Conv2dProblem& problem, const T* x, const T* dy, T* dw,
                        void* workspace);

}  // namespace cks::kernels::CKS_CPU
