#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/report/report.h"
#include "cks/core/tensor/tensor.h"
#include "cks/datasets/data_loader.h"
#include "cks/layers/module.h"
#include "cks/train/run_folder.h"
#include "cks/train/trainer.h"

namespace cks::apps {

/// A run that came to its end, or was interrupted.
struct FinishedRun {
  std::int64_t seed = 0;
  std::string folder{};  // empty: nothing was written
  TrainSummary summary{};
  std::vector<EpochMetrics> rows{};  // of all its epochs
};

/// What every run has to show, whatever it trains. Throws IoError.
RunReport begin_report(const RunFolder& folder, const TrainSummary& summary, Module& model,
                       const ImageDataset& data, const std::string& model_name);

/// Images of a batch as bytes again: 255 * (x * std + mean), rounded and cut to [0, 255].
///
/// Shapes  images float32 [N,H,W,C], a mean and a std for each channel.
/// Throws  ShapeError, DtypeError.
Tensor denormalised(const Tensor& images, const std::vector<float>& mean,
                    const std::vector<float>& std);

/// Names of the classes that were predicted for no image: "cat, dog".
std::string never_predicted(const ConfusionMatrix& confusion,
                            const std::vector<std::string>& names);

/// Writes what a run came to into its folder: summary.json with `extra` (its "model" is the name of
/// the network), report.html and the figures of it, and unless it was interrupted confusion.csv
/// from one pass of the model over the test images, with the balanced accuracy, the accuracy of
/// each class, the classes that were never predicted and, of more than five classes, the top-5
/// accuracy in summary.json. The report shows the mistakes of which the model was surest and, where
/// the training loader augments, what it makes of some images. Returns the confusion that it
/// counted. Pictures go to TensorBoard, too, if it is asked for. Throws IoError.
std::optional<ConfusionMatrix> write_run_results(const RunFolder& folder, const FinishedRun& run,
                                                 Module& model, const DataLoader& train_loader,
                                                 DataLoader& test_loader, const TextFields& extra,
                                                 bool for_tensorboard = false);

/// A run that has come to its end, early or with so many epochs or more, from its folder; nothing
/// of any other. Throws IoError.
std::optional<FinishedRun> read_if_done(const RunFolder& folder, std::int64_t epochs,
                                        std::int64_t seed);

struct MeanDeviation {
  double mean = 0.0;
  double deviation = 0.0;  // of a sample, with n - 1; 0 for one value
};

/// Throws Error without a value.
MeanDeviation mean_deviation(const std::vector<double>& values);

/// Seconds until the accuracy of an epoch (validation, or test without one) first was at least
/// `target`; negative if it never was.
double seconds_to(double target, const std::vector<EpochMetrics>& rows);

/// Several runs with mean and deviation of what they came to, for people; with a `target` above 0
/// also the time to it, over the runs that reached it.
std::string runs_table(const std::vector<FinishedRun>& runs, double target);

/// The same, a row for each run, without means.
std::string runs_csv(const std::vector<FinishedRun>& runs, double target);

}  // namespace cks::apps
