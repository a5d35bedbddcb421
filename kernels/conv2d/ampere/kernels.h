#pragma once
#include "cks/config.h"
#include "cks/kernels/conv2d/cuda/kernels.h"

/// The kernels for tensor cores from compute capability 8.0 on. As with all kernels of the CUDA
/// backend, what they plan is host code that every build has.
namespace cks::kernels::ampere {

/// The function of a .cu file in a table: null in a build without code for 8.0 or newer, whose
/// table of kernels lacks these.
#if CKS_HAS_CUDA && !defined(CKS_WITHOUT_AMPERE)
#  define CKS_AMPERE_CODE(function) function
#else
#  define CKS_AMPERE_CODE(function) nullptr
#endif

extern const Conv2dKernel box80;     // box_kernels.cpp, box.cu
extern const Conv2dKernel planes80;  // box_kernels.cpp, planes.cu
extern const Conv2dKernel taps80;    // gradient_kernels.cpp, taps.cu

std::int64_t run_box80(const PreparedConv2d& conv, const Conv2dOperands& operands);
std::int64_t run_planes80(const PreparedConv2d& conv, const Conv2dOperands& operands);
std::int64_t run_taps80(const PreparedConv2d& conv, const Conv2dOperands& operands);

/// A tile that a kernel is compiled for, and the share of the tensor cores' peak (peak_rate) that
/// it reaches.
struct PeakTile {
  Conv2dTile tile;
  double share;
  int resident = 1;  // blocks that a multiprocessor holds
};
inline constexpr Conv2dTile kNarrowTile = {64, 64};  // alone has channels copied by 4 bytes
inline constexpr double kNarrowRate = 0.4;           // of the others, where they are

/// Whether threads can copy a pass' channels: 4 bytes at a time, or 16.
bool is_copied(const Conv2dProblem& problem, Conv2dPass pass);
bool is_wide(const Conv2dProblem& problem, Conv2dPass pass);
/// What a multiprocessor's tensor cores multiply at best, in the unit of cuda/cost.h. Memory needs
/// no rates of its own: an A100 reads as many bytes per float32 multiply-add as an H200.
double peak_rate(const Conv2dRequest& request);

}  // namespace cks::kernels::ampere
