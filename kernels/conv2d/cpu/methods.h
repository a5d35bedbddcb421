#pragma once
#include <cstdint>

#include "cks/kernels/conv2d/problem.h"

/// The three methods behind the entry points of conv2d.h, for T = float and double. Each returns
/// the multiply-adds it executed. `slices` is the plan's.
namespace cks::kernels::cpu {

template <class T>
std::int64_t convv2(const Conv2dProblem& problem, const T* x, const T* w, const T* bias, T* y,
                    void* workspace);

template <class T>
std::int64_t ks_deconv(const Conv2dProblem& problem, const T* dy, const T* w, const T* bias, T* dx,
                       void* workspace);

template <class T>
std::int64_t sk_dilated(const Conv2dProblem& problem, const T* x, const T* dy, T* dw,
                        void* workspace);

}  // namespace cks::kernels::cpu
