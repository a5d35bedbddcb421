#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "apps/cli/flags.h"
#include "cks/datasets/image_folder.h"
#include "cks/layers/module.h"
#include "cks/train/checkpoint.h"

namespace cks::apps {

/// What a file of weights that CKS did not write cannot say, as flags; empty: not given.
struct WeightsFlags {
  std::string model{};
  std::string classes{};
  std::string input{};
  std::string mean{};
  std::string std{};
  std::string fit{};
  std::string prefix{};
};

void add_weights_flags(Flags& parser, WeightsFlags& flags);

/// A trained network that classifies images, and how these are prepared for it.
struct Classifier {
  std::string path{};  // of the weights
  CheckpointInfo info{};
  std::unique_ptr<Module> model{};  // in evaluation mode
  Device device{};
};

/// Builds the model that a file of weights names and loads them. Model, classes and preprocessing
/// come from the file's metadata; flags add what it lacks, and nothing else but another fit.
///
/// Throws  IoError, StateDictError  the file cannot be read, or its keys are not the model's.
///         Error  something is neither in the file nor among the flags (it names the flags), or is
///                in both; a value that makes no sense; a model that does not classify.
Classifier load_classifier(const std::string& path, const WeightsFlags& flags, Device device);
/// The same for a model of any task; of one that does not classify nobody asks for classes.
Classifier load_network(const std::string& path, const WeightsFlags& flags, Device device);

struct ClassifyOptions {
  std::int64_t batch_size = 256;  // images that go through the model together
  /// Mean of the probabilities of an image and of its mirror image, left to right.
  bool mirror = false;
  /// 255 - x for every byte first: dark digits on white paper for a model of light ones on black.
  bool invert = false;
  /// Pictures of any kind are prepared as MNIST's were (see prepare_digit); needs a model of those.
  bool prepare_digits = false;
  /// Called while pictures are read, on any thread, by one at a time.
  std::function<void(const ReadingProgress&)> on_progress{};
};

/// Whether a model was trained on digits of MNIST's format: 28 x 28, grey, classes "0" to "9".
bool reads_mnist_digits(const CheckpointInfo& info);

/// Probability of each class, the softmax of the model's output.
///
/// Shapes  images uint8 [N,height,width,channels] on the CPU, N at least 1, as classifier.info has
///         them; result float32 [N,classes] on the CPU.
/// Throws  ShapeError, DtypeError, DeviceError; Error for a batch size below 1, or if a result is
/// not finite.
Tensor class_probabilities(const Classifier& classifier, const Tensor& images,
                           const ClassifyOptions& options = {});

}  // namespace cks::apps
