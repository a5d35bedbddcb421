#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cks/core/optim/adam.h"
#include "cks/core/optim/lr_schedule.h"
#include "cks/datasets/data_loader.h"
#include "cks/models/lenet.h"
#include "cks/train/trainer.h"

namespace cks::web {

struct LenetLessonOptions {
  std::uint64_t seed = 1;  // of the parameters and of the order of images
  std::int64_t batch_size = 64;
  double learning_rate = 5e-3;  // the highest
  std::int64_t epochs = 8;  // in which the rate rises and falls once (one_cycle_lr()), then anew
};

/// LeNet-5 and Adam, one step at a time, on one thread: what a page trains while its visitor
/// watches.
class LenetLesson {
 public:
  /// Throws Error, ShapeError for data that LeNet-5 cannot take, or options out of range.
  LenetLesson(TrainTest data, const LenetLessonOptions& options);

  struct Step {
    std::int64_t steps = 0;   // so far, this one included
    std::int64_t images = 0;  // so far
    double loss = 0.0;        // mean of this batch, before the step
    double accuracy = 0.0;    // likewise
    double learning_rate = 0.0;
  };
  /// Trains on the next batch.
  Step step();
  /// Sets the highest rate from the next step on. Throws Error if it is negative.
  void set_learning_rate(double learning_rate);
  /// Loss and accuracy on the test images.
  Evaluation evaluate() { return cks::evaluate(model_, test_loader_); }

  std::int64_t image_size() const { return data_.train.height(); }
  std::int64_t steps_per_epoch() const { return loader_.batches_per_epoch(); }
  /// From the first step with a low rate to the last one.
  std::int64_t steps_per_cycle() const { return epochs_ * steps_per_epoch(); }
  const ImageDataset& test() const { return data_.test; }

  /// Probabilities of the classes for one image of image_size() rows and columns, 0 (paper) to 255
  /// (ink), row by row.
  std::vector<float> predict(const std::vector<std::uint8_t>& pixels);
  /// A parameter ("conv1.weight"), its gradient in the last step ("conv1.weight.grad"), or what a
  /// layer made of the last image predicted ("conv1": before its ReLU), with the elements in the
  /// order of memory.
  /// Throws Error for another name, or before there is such a thing.
  std::vector<float> values(const std::string& name) const;
  /// Writes the weights as a file that predict takes. Throws IoError.
  void save(const std::string& path) const;

 private:
  TrainTest data_;
  DataLoader loader_;
  DataLoader test_loader_;
  LeNet5 model_;
  double learning_rate_;
  std::int64_t epochs_;
  LrFactor factor_;
  Adam optimizer_;
  std::int64_t steps_ = 0;
  std::int64_t images_ = 0;
  std::map<std::string, Tensor> outputs_;  // of the layers, for the last image predicted
};

}  // namespace cks::web
