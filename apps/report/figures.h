#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "apps/report/model_table.h"
#include "apps/report/svg.h"
#include "cks/core/tensor/tensor.h"
#include "cks/train/metrics.h"
#include "cks/train/run_folder.h"

namespace cks::apps {

/// Loss and, of a classifier, accuracy of training and test images against the epoch, with the best
/// epoch marked (0: none). The axis of losses that span more than a factor of ten is logarithmic,
/// and says so: a spike at the beginning would flatten the rest. Values that are not finite are
/// left out. Throws Error without a row.
std::vector<Figure> curve_figures(const std::vector<EpochMetrics>& rows, std::int64_t best_epoch,
                                  bool has_accuracy = true);

/// Truth downwards, predictions to the right. Of up to 20 classes counts stand in the squares, and
/// beside each row the share of its images that were recognised. A square on the diagonal is the
/// darker the larger its share of a row's images; others, by the root of the share, so that rare
/// mistakes are seen. Throws Error unless there is a name for each class.
Figure confusion_figure(const ConfusionMatrix& confusion, const std::vector<std::string>& names);

/// Whether there is a figure of savings.
bool has_convolution(const ModelTable& table);

/// For each convolution that a network runs the multiply-adds of a training step and the share of
/// them that each pass skips. Throws Error if there is no convolution.
Figure savings_figure(const ModelTable& table, const std::string& title);

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
