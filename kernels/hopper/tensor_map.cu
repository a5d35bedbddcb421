#include <cuda_runtime_api.h>

#include <string>

#include "cks/kernels/common/cuda_check.h"
#include "cks/kernels/hopper/tensor_map.h"

namespace cks::kernels::hopper {
namespace {

/// A function of the driver, looked up so that programs start without one.
template <class Function>
Function driver_function(const char* name) {
  void* address = nullptr;
  cudaDriverEntryPointQueryResult found{};
  CKS_CUDA_CHECK(
      cudaGetDriverEntryPointByVersion(name, &address, 12000, cudaEnableDefault, &found));
  if (found != cudaDriverEntryPointSuccess) {
    throw CudaError(std::string("the driver has no ") + name + "; it needs CUDA 12.0 or newer");
  }
  return reinterpret_cast<Function>(address);
}

CUtensorMapDataType type_of(Element element) {
  switch (element) {
    case Element::bf16:
      return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    case Element::fp16:
      return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
    case Element::tf32:
      return CU_TENSOR_MAP_DATA_TYPE_TFLOAT32;
    case Element::fp32:
      break;
  }
  return CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
}

/// Extents and pitches in the driver's types.
struct Axes {
  cuuint64_t extent[4];
  cuuint64_t pitch[3];

  explicit Axes(const Tensor4& tensor) {
    for (int axis = 0; axis < 4; ++axis) {
      extent[axis] = static_cast<cuuint64_t>(tensor.extent[axis]);
    }
    for (int axis = 0; axis < 3; ++axis) {
      pitch[axis] = static_cast<cuuint64_t>(tensor.pitch[axis] * bytes_of(tensor.element));
    }
  }
};

void check(const char* operation, CUresult status) {
  if (status != CUDA_SUCCESS) {
    throw CudaError(std::string(operation) + ": the driver refuses a tensor map, error " +
                    std::to_string(static_cast<int>(status)));
  }
}

}  // namespace

CUtensorMap box_map(const char* operation, const Tensor4& tensor, const int (&box)[3]) {
  static const auto encode =
      driver_function<decltype(&cuTensorMapEncodeTiled)>("cuTensorMapEncodeTiled");
  const Axes axes(tensor);
  const cuuint32_t boxes[4] = {static_cast<cuuint32_t>(row_elements(tensor.element)),
                               static_cast<cuuint32_t>(box[0]), static_cast<cuuint32_t>(box[1]),
                               static_cast<cuuint32_t>(box[2])};
  const cuuint32_t dense[4] = {1, 1, 1, 1};
  CUtensorMap map;
  check(operation,
        encode(&map, type_of(tensor.element), 4, const_cast<void*>(tensor.base), axes.extent,
               axes.pitch, boxes, dense, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
               CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
  return map;
}

CUtensorMap window_map(const char* operation, const Tensor4& tensor, const Window& columns,
                       const Window& rows, int pixels) {
  static const auto encode =
      driver_function<decltype(&cuTensorMapEncodeIm2col)>("cuTensorMapEncodeIm2col");
  const Axes axes(tensor);
  const int lower[2] = {static_cast<int>(columns.first), static_cast<int>(rows.first)};
  const int upper[2] = {static_cast<int>(columns.behind_end(tensor.extent[1])),
                        static_cast<int>(rows.behind_end(tensor.extent[2]))};
  const cuuint32_t strides[4] = {1, static_cast<cuuint32_t>(columns.stride),
                                 static_cast<cuuint32_t>(rows.stride), 1};
  CUtensorMap map;
  check(operation,
        encode(&map, type_of(tensor.element), 4, const_cast<void*>(tensor.base), axes.extent,
               axes.pitch, lower, upper, static_cast<cuuint32_t>(row_elements(tensor.element)),
               static_cast<cuuint32_t>(pixels), strides, CU_TENSOR_MAP_INTERLEAVE_NONE,
               CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
               CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
  return map;
}

}  // namespace cks::kernels::hopper
