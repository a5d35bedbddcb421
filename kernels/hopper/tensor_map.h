#pragma once
#include <cuda.h>  // types alone: nothing links libcuda

#include <cstdint>

#include "cks/kernels/hopper/window.h"

/// Descriptions of tensors for the copy engine of compute capability 9.0 (TMA), which moves boxes
/// of them into shared memory and fills what lies outside with zeros.
/// Source  "Tensor Object Management", CUDA Driver API.
namespace cks::kernels::hopper {

/// How elements are stored; tf32 are float32 that are rounded to nearest even on the way.
enum class Element : std::uint8_t { bf16, fp16, tf32, fp32 };

constexpr int bytes_of(Element element) {
  return element == Element::bf16 || element == Element::fp16 ? 2 : 4;
}
/// Elements of a row of a box.
constexpr int row_elements(Element element) { return kRowBytes / bytes_of(element); }

/// A tensor of 4 axes, the innermost first; that one is dense. base and the pitches in bytes are
/// multiples of 16.
struct Tensor4 {
  Element element;
  const void* base;
  std::int64_t extent[4];
  std::int64_t pitch[3];  // elements from one to the next, of axes 1, 2, 3
};

/// Boxes of a row of axis 0 and box[0] x box[1] x box[2] (each at most 256) of the others.
/// Throws CudaError, naming the operation, if the driver refuses the description.
CUtensorMap box_map(const char* operation, const Tensor4& tensor, const int (&box)[3]);

/// Boxes of a row of channels and `pixels` consecutive positions of the windows of a tensor
/// {channels, width, height, images}: row after row, image after image ("im2col"). A tap shifts all
/// of them. Throws as above.
CUtensorMap window_map(const char* operation, const Tensor4& tensor, const Window& columns,
                       const Window& rows, int pixels);

}  // namespace cks::kernels::hopper
