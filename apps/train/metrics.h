#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cks/core/tensor/tensor.h"

namespace cks {

/// Index of the largest logit of each row.
///
/// Shapes  logits [N,classes]; N values come back.
/// Throws  ShapeError unless the rank is 2.
std::vector<std::int64_t> predicted_classes(const Tensor& logits);

/// How many rows of `logits` have their largest value at the label.
///
/// Shapes  logits [N,classes], labels [N] (int64 or int32).
/// Throws  ShapeError, DtypeError.
std::int64_t count_correct(const Tensor& logits, const Tensor& labels);

/// How many rows of `logits` have their label among the k largest values; of equal values the lower
/// index comes first. A row that has a NaN at its label does not count.
///
/// Shapes  logits [N,classes], labels [N] (int64 or int32).
/// Throws  ShapeError, DtypeError; Error for k < 1 or a label outside [0, classes).
std::int64_t count_in_top(const Tensor& logits, const Tensor& labels, std::int64_t k);

/// Counts of (truth, prediction) pairs.
class ConfusionMatrix {
 public:
  /// Throws ShapeError unless classes lie in [1, 32768].
  explicit ConfusionMatrix(std::int64_t classes);

  /// Adds a batch. Throws ShapeError, DtypeError; Error for a label outside [0, classes).
  void add(const Tensor& logits, const Tensor& labels);
  std::int64_t at(std::int64_t truth, std::int64_t predicted) const;
  /// Images of a class, whatever was predicted. Throws ShapeError.
  std::int64_t images_of(std::int64_t truth) const;
  /// Share of a class's images that is predicted right; 0 without images. Throws ShapeError.
  double accuracy_of(std::int64_t truth) const;
  std::int64_t classes() const { return classes_; }
  std::int64_t total() const;
  std::int64_t correct() const;
  /// correct() / total(); 0 when empty.
  double accuracy() const;
  /// Mean over the classes that have images of the share of them that is predicted right; 0 when
  /// empty. Unlike accuracy() it does not forgive a model that only ever names the largest class.
  double balanced_accuracy() const;
  /// Mean over the classes that occur, as truth or as prediction, of images that are both over
  /// those that are either: the mean intersection over union, where the images are pixels. 0 when
  /// empty.
  double mean_iou() const;
  /// Classes that were predicted for no image, in order.
  std::vector<std::int64_t> never_predicted() const;
  /// A header row of predicted classes, then one row for each true class; by name, or by number
  /// without names. Throws ShapeError unless there is a name for each class.
  std::string to_csv(const std::vector<std::string>& names = {}) const;

 private:
  std::int64_t classes_;
  std::vector<std::int64_t> counts_;
};

/// Sums of a running epoch: losses are weighted by the number of images, so that a smaller last
/// batch counts for what it holds.
struct RunningMetrics {
  double loss_sum = 0.0;  // sum over images of the mean loss of their batch
  std::int64_t correct = 0;
  std::int64_t images = 0;

  void add(double mean_loss, std::int64_t correct_in_batch, std::int64_t batch_images);  // a batch
  /// 0 before the first batch.
  double mean_loss() const;
  double accuracy() const;
};

/// Most bytes of memory that this process has held so far (its peak resident set).
std::int64_t peak_resident_bytes();

}  // namespace cks
