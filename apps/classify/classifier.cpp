#include "apps/classify/classifier.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <vector>

#include "apps/cli/image_size.h"
#include "apps/cli/program.h"
#include "apps/cli/reading.h"
#include "cks/core/autograd/autograd.h"
#include "cks/core/ops.h"
#include "cks/datasets/data_loader.h"
#include "cks/datasets/images/image_io.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/models/registry.h"
#include "cks/train/number_text_impl.h"

namespace cks::apps {
namespace {

std::vector<float> parse_numbers(const char* flag, const std::string& text) {
  std::vector<float> numbers;
  for (const std::string& part : split(text + ",", ',')) {
    if (!detail::parse_number(part, numbers.emplace_back())) {
      throw Error(formatted(
          "{} is '{}', expected a number for each channel, such as 0.49,0.48,0.45", flag, text));
    }
  }
  return numbers;
}

/// "cat,dog" or how many there are: "10" stands for 0, 1, ..., 9.
std::vector<std::string> parse_classes(const std::string& text) {
  constexpr std::int64_t kMostNumbered = 1 << 20;
  std::int64_t count = 0;
  if (detail::parse_number(text, count)) {
    if (count < 1 || count > kMostNumbered) {
      throw Error(formatted("--classes is {}, expected 1 to {}, or names", text, kMostNumbered));
    }
    return numbered_classes(count);
  }
  std::vector<std::string> names = split(text + ",", ',');
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto place = names.begin() + static_cast<std::ptrdiff_t>(i);
    if (names[i].empty() || std::find(names.begin(), place, names[i]) != place) {
      throw Error(formatted(
          "--classes is '{}': name {}{}", text, i + 1,
          names[i].empty() ? " is empty" : formatted(", {}, stands there twice", names[i])));
    }
  }
  return names;
}

/// What follows on a name that is not among them.
std::string describe_known_models() {
  return formatted(
      "; predict knows {}\n  weights of a network of your own are read by a program of your own, "
      "with cks::load_weights()",
      list_text(classifier_names()));
}

/// Throws Error for fields, a line each, that neither the file nor a flag has.
void require_complete(const std::string& path, const std::string& model,
                      const std::string& missing) {
  if (missing.empty()) {
    return;
  }
  if (path.ends_with(".state.safetensors")) {
    throw Error(path +
                " is for resuming a run; the weights are in last.safetensors and "
                "best.safetensors beside it");
  }
  throw Error(path +
              (model.empty() ? " names no model" + describe_known_models() +
                                   "\n  for those of a model that it knows, give"
                             : " does not say all that classifying pictures needs; give") +
              missing);
}

/// Puts each field into the place it has: the file's, or the flag's where the file has none.
void complete(CheckpointInfo& info, const std::string& path, const WeightsFlags& flags) {
  std::string missing;
  const auto field = [&](const char* what, const char* flag, const char* example, bool in_file,
                         const std::string& text, const auto& set) {
    if (in_file && !text.empty()) {
      throw Error(formatted("{}: {} itself says {}; leave the flag out", flag, path, what));
    }
    if (!in_file && text.empty()) {
      missing += formatted("\n  {}: {} {}", what, flag, example);
    }
    if (!text.empty()) {
      set();
    }
  };
  field("the model", "--model", "NAME", !info.model.empty(), flags.model,
        [&] { info.model = flags.model; });
  if (info.model.empty() || model_info(info.model).task == ModelTask::classify) {
    field("the classes", "--classes", "cat,dog,... (or their number)", !info.class_names.empty(),
          flags.classes, [&] { info.class_names = parse_classes(flags.classes); });
  }
  field("the size of its images", "--input", "WIDTHxHEIGHTxCHANNELS", info.height != 0, flags.input,
        [&] {
          const Shape size = parse_image_size(flags.input);
          info.height = size[0];
          info.width = size[1];
          info.channels = size[2];
        });
  field("the mean of each channel in units of x / 255", "--mean", "M,...", !info.mean.empty(),
        flags.mean, [&] { info.mean = parse_numbers("--mean", flags.mean); });
  field("the standard deviation of each channel in these units", "--std", "S,...",
        !info.std.empty(), flags.std, [&] { info.std = parse_numbers("--std", flags.std); });
  require_complete(path, info.model, missing);
  if (!flags.fit.empty()) {  // a file may say another one, or be of a version that says none
    info.fit = parse_image_fit(flags.fit);
  }
}

CheckpointInfo read_info(const std::string& path) {
  try {
    return read_checkpoint_info(path);
  } catch (const IoError& error) {
    if (std::filesystem::exists(path) && path.ends_with(".safetensors")) {
      throw;  // weights, but damaged ones
    }
    throw IoError(std::string(error.what()) +
                  "\n  --weights takes the weights of a trained network, such as best.safetensors "
                  "in the folder of a run of train_mnist or train_cifar; pictures need no flag");
  }
}

void require_classifier(const std::string& path, const std::string& model) {
  ModelTask task{};
  try {
    task = model_info(model).task;
  } catch (const Error&) {
    throw Error(formatted("{} holds the model '{}'{}", path, model, describe_known_models()));
  }
  if (task != ModelTask::classify) {
    throw Error(path + ": model " + model + " does not classify, it draws its input again");
  }
}

void require_sensible(const std::string& path, const CheckpointInfo& info) {
  const std::string size = formatted("{}x{}x{}", info.width, info.height, info.channels);
  if (info.height != info.width || info.height < 1 || info.height > kMaxImageSide) {
    throw Error(formatted("{}: its images are {}, expected square ones with sides of 1 to {}", path,
                          size, kMaxImageSide));
  }
  if (info.channels != 1 && info.channels != 3) {
    throw Error(formatted("{}: its images are {}, but pictures have 1 or 3 channels", path, size));
  }
  const auto channels = static_cast<std::size_t>(info.channels);
  const auto is_mean = [](float mean) { return std::isfinite(mean); };
  const auto is_std = [](float std) { return std::isfinite(std) && std > 0.0F; };
  if (info.mean.size() != channels || info.std.size() != channels || !all_of(info.mean, is_mean) ||
      !all_of(info.std, is_std)) {
    throw Error(
        formatted("{}: {} means and {} stds for images of {}, expected a finite mean and a "
                  "positive finite std for each channel",
                  path, info.mean.size(), info.std.size(), size));
  }
}

/// Bytes as the model was trained on them, on its device.
Tensor normalised(const Classifier& classifier, const Tensor& bytes) {
  const ImageDataset images{.name = "pictures",
                            .images = bytes,
                            .labels = Tensor::zeros({bytes.size(0)}, DType::int64),
                            .class_names = classifier.info.class_names,
                            .mean = classifier.info.mean,
                            .std = classifier.info.std,
                            .source = {}};
  const DataLoader loader(
      images,
      {.batch_size = bytes.size(0), .shuffle = false, .device = classifier.device, .prefetch = 0});
  return loader.make_batch(0, 0).images;
}

Tensor mirrored(const Tensor& images) {
  std::vector<Tensor> columns;
  for (std::int64_t x = images.size(2); x-- > 0;) {
    columns.push_back(slice(images, 2, x, x + 1));
  }
  return concat(columns, 2);
}

Tensor inverted(const Tensor& images) {
  Tensor result = images.clone();
  auto* bytes = result.data_as<std::uint8_t>();
  std::transform(bytes, bytes + result.numel(), bytes,
                 [](std::uint8_t byte) { return static_cast<std::uint8_t>(255 - byte); });
  return result;
}

}  // namespace

bool reads_mnist_digits(const CheckpointInfo& info) {
  return info.height == 28 && info.width == 28 && info.channels == 1 &&
         info.class_names == numbered_classes(10);
}

void add_weights_flags(Flags& parser, WeightsFlags& flags) {
  parser.group("Weights of others, such as PyTorch's: what the file does not say");
  parser.add_choice("model", flags.model, classifier_names(), "its name");
  parser.add("classes", flags.classes,
             "names in the order of the outputs, with commas between; "
             "or their number, for the names 0, 1, ...");
  parser.add("input", flags.input, "size of its images, WIDTHxHEIGHTxCHANNELS");
  parser.add("mean", flags.mean, "of each channel, in units of x / 255, with commas between");
  parser.add("std", flags.std, "standard deviation of each channel, likewise");
  add_fit_flag(parser, flags.fit, "how pictures become of that size; default: as in training");
  parser.add("prefix", flags.prefix,
             "what stands before its keys, such as module. of PyTorch's DataParallel");
}

Classifier load_classifier(const std::string& path, const WeightsFlags& flags, Device device) {
  if (const std::string model = read_info(path).model; !model.empty()) {
    require_classifier(path, model);
  }
  return load_network(path, flags, device);
}

Classifier load_network(const std::string& path, const WeightsFlags& flags, Device device) {
  Classifier classifier{.path = path, .info = read_info(path), .device = device};
  CheckpointInfo& info = classifier.info;
  complete(info, path, flags);
  require_sensible(path, info);
  classifier.model =
      make_model(info.model, {.classes = static_cast<std::int64_t>(info.class_names.size()),
                              .in_channels = info.channels,
                              .image_size = info.height});
  try {
    load_weights(path, *classifier.model, flags.prefix);
  } catch (StateDictError& error) {
    error.append(flags.prefix.empty() ? "\n  (--prefix says what stands before the keys)" : "");
    throw;
  }
  classifier.model->eval();
  classifier.model->to(device);
  return classifier;
}

Tensor class_probabilities(const Classifier& classifier, const Tensor& images,
                           const ClassifyOptions& options) {
  const CheckpointInfo& info = classifier.info;
  if (images.rank() != 4 || images.size(0) < 1 ||
      !(images.shape() == Shape{images.size(0), info.height, info.width, info.channels})) {
    throw ShapeError(formatted("class_probabilities: images are {}, expected [N,{},{},{}]",
                               images.shape(), info.height, info.width, info.channels));
  }
  if (!images.device().is_cpu()) {
    throw DeviceError(
        formatted("class_probabilities: images must be on the CPU, are on {}", images.device()));
  }
  if (options.batch_size < 1) {
    throw Error(formatted("class_probabilities: batch_size is {}, expected at least 1",
                          options.batch_size));
  }
  const NoGradGuard no_grad;
  const auto probabilities = [&](const Tensor& bytes) {
    return softmax((*classifier.model)(normalised(classifier, bytes)).to(DType::float32))
        .to(Device::cpu());
  };
  std::vector<Tensor> parts;
  for (std::int64_t begin = 0; begin < images.size(0); begin += options.batch_size) {
    Tensor bytes = images.slice(begin, std::min(begin + options.batch_size, images.size(0)));
    bytes = options.invert ? inverted(bytes) : bytes;
    const Tensor straight = probabilities(bytes);
    parts.push_back(options.mirror ? (straight + probabilities(mirrored(bytes))) * 0.5 : straight);
  }
  Tensor all = concat(parts, 0);
  const auto* values = all.data_as<float>();
  if (!std::all_of(values, values + all.numel(), [](float p) { return std::isfinite(p); })) {
    throw Error(classifier.path +
                ": the model's output is not finite; its weights are damaged or its training "
                "diverged");
  }
  return all;
}

}  // namespace cks::apps
