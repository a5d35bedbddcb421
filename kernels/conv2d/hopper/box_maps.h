#pragma once
#include "cks/kernels/conv2d/hopper/boxes.h"
#include "cks/kernels/hopper/tensor_map.h"

/// What the copy engine is told of a call's operands.
namespace cks::kernels::hopper {

/// maps[row_class * column_classes + column_class] for boxes in a row, maps[0] for boxes at places.
void fill_source_maps(const char* operation, const BoxCorrelation& c, Element element,
                      const void* source, CUtensorMap* maps);

/// Boxes of `rows` rows of a filter that lies [copies][OC][FH*FW][IC/G], or, transposed for the
/// correlation of backward_data, [IC][FH*FW][OC/G]: axes {last, taps, first, copies}.
CUtensorMap filter_map(const char* operation, const Conv2dProblem& problem, Element element,
                       const void* filter, int copies, bool lies_transposed, int rows);

/// Of the current device.
int multiprocessor_count();

/// [OC][FH*FW][IC/G] to [IC][FH*FW][OC/G], on the current stream.
void transpose_filter(const char* operation, const Conv2dProblem& problem, const float* filter,
                      float* transposed);

}  // namespace cks::kernels::hopper
