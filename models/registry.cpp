#include "cks/models/registry.h"

#include <functional>

#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/models/alexnet.h"
#include "cks/models/autoencoder.h"
#include "cks/models/googlenet.h"
#include "cks/models/lenet.h"
#include "cks/models/mlp.h"
#include "cks/models/parts_impl.h"
#include "cks/models/resnet.h"
#include "cks/models/resnet_cifar.h"
#include "cks/models/vgg.h"

namespace cks {
namespace {

using Make = std::function<std::unique_ptr<Module>(const ModelOptions&)>;

/// Makes a model of these options, and of those that are asked for as far as it has them.
template <class Model>
Make maker(const typename Model::Options& preset = {}) {
  return [preset](const ModelOptions& asked) {
    typename Model::Options options = preset;
    options.in_channels = asked.in_channels;
    if constexpr (requires { options.classes; }) {
      options.classes = asked.classes;
    }
    if constexpr (requires { options.image_size; }) {
      options.image_size = asked.image_size;
    }
    return std::make_unique<Model>(options);
  };
}

std::unique_ptr<Module> make_mlp(const ModelOptions& o) {
  models::require_extent("mlp", "image_size", o.image_size, 1);
  models::require_extent("mlp", "in_channels", o.in_channels, 1);
  return std::make_unique<Mlp>(
      MlpOptions{.classes = o.classes, .in_features = o.image_size * o.image_size * o.in_channels});
}

struct Row {
  ModelInfo info;
  Make make;
};

const std::vector<Row>& rows() {
  static const std::vector<Row> all = {
      {{"lenet5", "LeNet-5 with ReLU and max-pooling, 61,706 parameters", 1, 28}, maker<LeNet5>()},
      {{"mlp", "two linear layers, 128 hidden units, 101,770 parameters", 1, 28}, make_mlp},
      {{"resnet20", "CIFAR ResNet, 20 layers, 0.27 M parameters", 3, 32},
       maker<ResNetCifar>({.depth = 20})},
      {{"resnet32", "CIFAR ResNet, 32 layers, 0.46 M parameters", 3, 32},
       maker<ResNetCifar>({.depth = 32})},
      {{"resnet56", "CIFAR ResNet, 56 layers, 0.85 M parameters", 3, 32},
       maker<ResNetCifar>({.depth = 56})},
      {{"resnet18", "ResNet-18 of the C-K-S paper, 12.6 M parameters", 3, 32},
       maker<ResNet>({.depth = 18})},
      {{"resnet34", "ResNet-34 of the C-K-S paper, 22.7 M parameters", 3, 32},
       maker<ResNet>({.depth = 34})},
      {{"resnet18_3x3stem", "ResNet-18 with the usual CIFAR stem, 12.6 M parameters", 3, 32},
       maker<ResNet>({.depth = 18, .stem = ResNet::Stem::conv3x3})},
      {{"resnet34_3x3stem", "ResNet-34 with the usual CIFAR stem, 22.7 M parameters", 3, 32},
       maker<ResNet>({.depth = 34, .stem = ResNet::Stem::conv3x3})},
      {{"alexnet", "AlexNet of the C-K-S paper, 4.4 M parameters", 3, 32}, maker<AlexNet>()},
      {{"vgg16", "VGG-16 of the C-K-S paper, 14.9 M parameters", 3, 32}, maker<Vgg>({.depth = 16})},
      {{"vgg19", "VGG-19 of the C-K-S paper, 20.2 M parameters", 3, 32}, maker<Vgg>({.depth = 19})},
      {{"googlenet", "GoogLeNet of the C-K-S paper, 6.2 M parameters", 3, 32}, maker<GoogLeNet>()},
      {{"autoencoder", "draws its input again from a small code, 19,301 parameters", 1, 28,
        ModelTask::reconstruct},
       maker<Autoencoder>()},
  };
  return all;
}

const Row& row_of(const std::string& name) {
  for (const Row& row : rows()) {
    if (row.info.name == name) {
      return row;
    }
  }
  throw Error(formatted("model \"{}\" does not exist; there are {}", name,
                        list_text(mapped(model_list(), &ModelInfo::name))));
}

}  // namespace

const std::vector<ModelInfo>& model_list() {
  static const std::vector<ModelInfo> list = mapped(rows(), &Row::info);
  return list;
}

std::vector<std::string> classifier_names() {
  std::vector<std::string> names;
  for (const ModelInfo& info : model_list()) {
    if (info.task == ModelTask::classify) {
      names.push_back(info.name);
    }
  }
  return names;
}

const ModelInfo& model_info(const std::string& name) { return row_of(name).info; }

std::unique_ptr<Module> make_model(const std::string& name, const ModelOptions& options) {
  const Row& row = row_of(name);
  ModelOptions complete = options;
  if (complete.in_channels == 0) {
    complete.in_channels = row.info.in_channels;
  }
  if (complete.image_size == 0) {
    complete.image_size = row.info.image_size;
  }
  return row.make(complete);
}

}  // namespace cks
