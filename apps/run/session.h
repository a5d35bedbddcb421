#pragma once
#include <functional>
#include <string>

#include "apps/cli/progress.h"
#include "apps/run/train_flags.h"
#include "cks/datasets/dataset.h"
#include "cks/layers/module.h"

namespace cks::apps {

/// What one training program brings to the common one.
struct TrainProgram {
  std::string name;  // "train_mnist": runs go to runs/<name>-<model>-<time>
  /// Reads or draws the data that the flags name; called once the flags are final. May show how far
  /// it is.
  std::function<TrainTest(Progress&)> load_data;
  /// Called with the trained model and the test images, before the program ends. May be empty.
  std::function<void(Module& model, const ImageDataset& test)> show;
};

/// Trains as the flags say: resumes or makes the run folder, prints the run header, shows progress,
/// writes the files of the run, prints the result. Returns the exit code: 0, 3 (target accuracy not
/// reached) or 130 (interrupted, everything saved).
int run_training(const TrainProgram& program, Flags& parser, TrainFlags& flags);

}  // namespace cks::apps
