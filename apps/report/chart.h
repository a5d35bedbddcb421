#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "apps/report/canvas.h"
#include "cks/train/metrics.h"
#include "cks/train/run_folder.h"

namespace cks::apps {

/// Round numbers in [low, high], 1, 2 or 5 times a power of ten apart, at most `most` of them.
/// Throws Error unless low < high, both are finite, and most >= 2.
std::vector<double> round_ticks(double low, double high, int most);

/// Round numbers in [low, high] for a logarithmic axis: 1, 2 and 5 times powers of ten, or powers
/// of ten alone where these are more than `most`, or every second, third, ... of them.
/// Throws Error unless 0 < low < high, both are finite, and most >= 2.
std::vector<double> log_ticks(double low, double high, int most);

/// Loss and accuracy of training and test images against the epoch, side by side, with axes.
/// The axis of losses that span more than a factor of ten is logarithmic, and says so: a spike at
/// the beginning would flatten the rest. Values that are not finite are left out. Throws Error
/// without a row.
///
/// Shapes  uint8 [height,width,3].
Tensor draw_curves(const std::vector<EpochMetrics>& rows);

/// Truth downwards, predictions to the right, the darker the larger a class's share. Counts stand
/// in the squares of up to 20 classes.
///
/// Shapes  uint8 [height,width,3].
/// Throws  Error unless there is a name for each class.
Tensor draw_confusion(const ConfusionMatrix& confusion, const std::vector<std::string>& names);

}  // namespace cks::apps
