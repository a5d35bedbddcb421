#pragma once
#include "cks/kernels/conv2d/cuda/kernels.h"
#include "cks/kernels/conv2d/hopper/box_copies.cuh"
#include "cks/kernels/conv2d/hopper/plane_products.h"
#include "cks/kernels/halves/halves.h"
#include "cks/kernels/hopper/tensor_map.h"

/// What is made of a call's operands before its kernel runs; on the current stream.
namespace cks::kernels::hopper {

void fill_source_maps(const char* operation, const BoxCorrelation& c, Element element,
                      const void* source, BoxMaps& maps);

/// Boxes of `rows` rows of a filter that lies [copies][OC][FH*FW][IC/G], or, transposed for the
/// correlation of backward_data, [IC][FH*FW][OC/G]: axes {last, taps, first, copies}.
CUtensorMap filter_map(const char* operation, const Conv2dProblem& problem, Element element,
                       const void* filter, int copies, bool lies_transposed, int rows);

/// [OC][FH*FW][IC/G] to [IC][FH*FW][OC/G].
void transpose_filter(const char* operation, const Conv2dProblem& problem, const float* filter,
                      float* transposed);

/// An operand of 16-bit elements: as it lies, its halves, or its planes; elements from one pixel to
/// the next.
struct NarrowPixels {
  const std::uint16_t* plane[kMostPlanes];
  std::int64_t pitch;
};

/// Splits pixels of float32 into planes (plane_products.h), dense but for what makes 16 bytes of 8
/// channels: planes * pixels * round_up(channels, 8) elements of `to`. from_pitch is even.
NarrowPixels split_into_planes(const char* operation, const float* from, std::int64_t pixels,
                               std::int64_t channels, std::int64_t from_pitch, int planes,
                               std::uint16_t* to);

/// The operands of a plan in fp16, in the order of its pass: X, W; dY, W; or X, dY. Those that the
/// caller does not have are made, from `at` of the plan's workspace on.
HalfOperands half_operands(const char* operation, const PreparedConv2d& conv,
                           const Conv2dOperands& operands, std::size_t at);

/// What a filter gradient multiplies, split into planes in the plan's workspace if there are more
/// than one, and where its slices go: [split_k][OC][FH*FW][IC].
struct GradientOperands {
  NarrowPixels x, dy;
  float* out;
};
GradientOperands gradient_operands(const char* operation, const PreparedConv2d& conv,
                                   const Conv2dOperands& operands, int planes);

/// Of the current device.
int multiprocessor_count();

}  // namespace cks::kernels::hopper
