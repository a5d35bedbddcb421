#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cks/layers/module.h"

namespace cks {

/// What comes out of a model, and so what its loss compares.
enum class ModelTask : std::uint8_t {
  classify,     // logits [N,classes]
  reconstruct,  // images of the input's shape
};

/// A model that can be named on a command line.
struct ModelInfo {
  std::string name;
  std::string summary;
  std::int64_t in_channels;  // of the images it was made for
  std::int64_t image_size;   // rows and columns of these
  ModelTask task = ModelTask::classify;
};

struct ModelOptions {
  std::int64_t classes = 10;     // of a model that classifies
  std::int64_t in_channels = 0;  // 0: what the model was made for
  std::int64_t image_size = 0;   // 0: likewise
};

/// All of them, in the order in which to list them.
const std::vector<ModelInfo>& model_list();
/// Names of those that classify.
std::vector<std::string> classifier_names();
/// Throws Error, listing all names, for an unknown one.
const ModelInfo& model_info(const std::string& name);

/// A new model with parameters from seed 0.
/// Throws Error, listing all names, for an unknown one; ShapeError if an option does not suit it.
std::unique_ptr<Module> make_model(const std::string& name, const ModelOptions& options = {});

}  // namespace cks
