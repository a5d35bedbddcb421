#include "cks/kernels/conv2d/cpu/kernels.h"

#include "cks/kernels/conv2d/ampere/kernels.h"
#include "cks/kernels/conv2d/cuda/kernels.h"
#include "cks/kernels/conv2d/hopper/kernels.h"
#include "cks/kernels/conv2d/stem/kernels.h"

// The table of kernels. A new one is a file that defines it and a row here.
namespace cks::kernels {

std::span<const Conv2dKernel* const> conv2d_kernels(bool is_cuda) {
  static const Conv2dKernel* const kCpu[] = {
      &cpu::simd(),
      &cpu::reference(),
  };
#if defined(CKS_WITHOUT_CUDA_PLANS)
  return is_cuda ? std::span<const Conv2dKernel* const>()
                 : std::span<const Conv2dKernel* const>(kCpu);
#else
  static constexpr const Conv2dKernel* kCuda[] = {
    &hopper::box,
    &hopper::pointwise,
    &hopper::planes,
    &hopper::box_taps,
    &hopper::planes_taps,
    &hopper::patch_taps,
    &hopper::place_taps,
    &hopper::halo,
#  if !defined(CKS_WITHOUT_AMPERE)  // no code for compute capability 8.0 or newer
    &stem::stem,
    &stem::stem_taps,
    &ampere::box80,
    &ampere::planes80,
    &ampere::taps80,
#  endif
    &cuda::band,
    &cuda::tiled,
    &cuda::thin,
    &cuda::band_taps,
    &cuda::tiled_taps,
    &cuda::merged_taps,
    &cuda::as_gemm,
    &cuda::direct,
    &cuda::reference,
  };
  return is_cuda ? std::span<const Conv2dKernel* const>(kCuda)
                 : std::span<const Conv2dKernel* const>(kCpu);
#endif
}

DeviceDescription describe_cpu() { return cpu::describe(); }

}  // namespace cks::kernels
