#pragma once
#include "apps/report/report.h"
#include "cks/train/run_folder.h"
#include "cks/train/trainer.h"

namespace cks::apps {

/// Writes the numbers of each step and epoch into the run's folder for TensorBoard, beside what the
/// callbacks do already: loss, accuracy unless the loss has none, learning rate, gradient's norm,
/// images a second.
void send_to_tensorboard(const RunFolder& folder, bool has_accuracy, TrainCallbacks& callbacks);

/// The pictures of a run that has ended: the first layer's filters, the confusion matrix (rows:
/// what an image is; white: all of the row), the sheets of its report.
void send_pictures_to_tensorboard(const RunFolder& folder, const RunReport& report);

}  // namespace cks::apps
