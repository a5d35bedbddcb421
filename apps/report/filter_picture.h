#pragma once
#include <string>

#include "apps/report/svg.h"
#include "cks/core/tensor/tensor.h"

namespace cks::apps {

/// Filters of a convolution as one picture, each pixel enlarged to a square.
///
/// What    grey 128 is 0; the weight of the greatest magnitude in a filter is black or white. So
///         each filter has a scale of its own, and signs can be told apart.
///         Filters of 1 channel are grey tiles, of 3 channels colour tiles (red, green, blue), in
///         rows of about as many as there are rows. With any other number of channels a row is a
///         filter and holds a grey tile for each of its channels.
/// Shapes  filters [OC,IC,FH,FW] on the CPU, as in a file; result uint8 [rows,width,1 or 3].
/// Throws  ShapeError unless the rank is 4 and no extent is 0; DtypeError for integers; Error for a
///         weight that is not finite.
Tensor filter_picture(const Tensor& filters);

/// The same tiles as a drawing. Throws as filter_picture().
Figure filter_figure(const Tensor& filters, const std::string& title);

}  // namespace cks::apps
