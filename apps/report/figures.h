#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "apps/report/model_table.h"
#include "apps/report/svg.h"
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

}  // namespace cks::apps
