#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cks/core/optim/optimizer.h"
#include "cks/core/optim/weight_average.h"
#include "cks/datasets/dataset.h"
#include "cks/layers/module.h"
#include "cks/train/metrics.h"
#include "cks/train/run_folder.h"

namespace cks {

/// What a file of weights says beside the weights, so that they can be used without the flags of
/// the run that made them.
struct CheckpointInfo {
  std::string model{};    // name in the registry of models
  std::string dataset{};  // for people
  std::vector<std::string> class_names{};
  std::vector<float> mean{};  // of each channel, in units of x / 255
  std::vector<float> std{};
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;
  ImageFit fit = ImageFit::stretch;  // how pictures of other sizes become that
  TextFields notes{};                // for people: epoch, accuracy, version
};

/// What weights that were trained on a dataset's training half need to be used.
CheckpointInfo checkpoint_info(const std::string& model, const ImageDataset& train,
                               TextFields notes);

/// The same as texts by name, lists as JSON: "cks.model", "cks.class_names", "cks.mean", "cks.std"
/// (in units of x / 255), "cks.input" ([height,width,channels]), "cks.fit", "cks.dataset",
/// "cks.notes". Throws Error for a text that is not UTF-8.
std::map<std::string, std::string> checkpoint_metadata(const CheckpointInfo& info);

/// Writes parameters and buffers under PyTorch's names and layouts, with `info` as metadata. The
/// file is replaced at once or not at all. Throws IoError; Error for a text that is not UTF-8.
void save_weights(const std::string& path, const Module& model, const CheckpointInfo& info);

/// Reads what save_weights wrote; a file of somebody else's gives empty fields.
/// Throws IoError if the file cannot be read or is damaged.
CheckpointInfo read_checkpoint_info(const std::string& path);

/// Copies the weights of a file into a model with exactly these keys; nothing is changed otherwise.
/// Of a file with a prefix, such as "module.", the keys behind it count, and no others.
/// Throws IoError; StateDictError, naming the file, with all missing, unexpected and mis-shaped
/// keys, and with the prefix behind which they would fit.
void load_weights(const std::string& path, Module& model, const std::string& prefix = {});

/// What load_initial_weights() found in a file.
struct InitialWeights {
  std::string prefix{};                 // before the model's keys in the file
  std::int64_t loaded = 0;              // tensors
  std::vector<std::string> left_out{};  // keys of the model that kept their values, and why
  std::vector<std::string> unused{};    // names in the file that are none of the model's
};

/// Copies the weights of a file into a model to train on from there. Prefixes of the file's keys
/// are found, and layers that differ in their number of outputs alone, as the head of other classes
/// does, keep their values, as does a last layer that the file has not. Nothing is changed
/// otherwise.
/// Throws IoError; StateDictError, naming the file, with all other missing and mis-shaped keys, or
/// if nothing fits.
InitialWeights load_initial_weights(const std::string& path, Module& model);

/// Where a training run stands, beside the weights and the optimiser.
struct TrainState {
  std::int64_t epoch = 0;  // epochs that are complete
  std::int64_t batch = 0;  // batches of the epoch after those that are complete
  std::int64_t step = 0;   // optimiser steps of the whole run
  std::int64_t images = 0;
  double seconds = 0.0;        // of the whole run
  double train_seconds = 0.0;  // of them in training steps
  double learning_rate = 0.0;  // of the last step
  RunningMetrics running{};    // of the epoch that has begun
  // Of the validation half, if the run has one:
  double test_loss = 0.0;  // after the last complete epoch
  double test_accuracy = 0.0;
  double best_test_accuracy = 0.0;
  double best_test_loss = 0.0;
  std::int64_t best_epoch = 0;     // 0: none yet
  std::string precision = "fp32";  // of the last step; files of earlier versions do not say
  /// What a resumed run must share with the one that was saved: model, dataset, optimiser, ...
  TextFields identity{};
  /// The convolution plans of the first step, by module, pass and problem.
  TextFields conv_plans{};
};

/// A state as text, and back. Throws Error for a text in it that is not UTF-8; IoError for one that
/// is damaged.
std::string train_state_text(const TrainState& state);
TrainState parse_train_state(const std::string& text);

/// Writes everything that a resume needs into one file: weights, optimiser, `state` and, unless it
/// is null, an average. The file is replaced at once or not at all. Throws IoError; Error for a
/// text that is not UTF-8.
void save_train_state(const std::string& path, const Module& model, const Optimizer& optimizer,
                      const TrainState& state, const WeightAverage* average = nullptr);

/// Reads it back into a model, an optimiser and an average. Nothing is changed if anything does not
/// fit. Throws IoError for a damaged file or one of another version; Error, listing every field of
/// `identity` that differs; StateDictError or Error for keys of model, optimiser or average that do
/// not fit.
TrainState load_train_state(const std::string& path, Module& model, Optimizer& optimizer,
                            const TextFields& identity, WeightAverage* average = nullptr);

}  // namespace cks
