#include "apps/web/lenet_lesson.h"

#include <utility>

#include "cks/core/autograd/autograd.h"
#include "cks/core/error.h"
#include "cks/core/ops/loss.h"
#include "cks/core/ops/softmax.h"
#include "cks/train/checkpoint.h"
#include "cks/train/metrics.h"

namespace cks::web {

LenetLesson::LenetLesson(TrainTest data, const LenetLessonOptions& options)
    : data_(std::move(data)),
      loader_(data_.train, {.batch_size = options.batch_size, .seed = options.seed, .prefetch = 0}),
      test_loader_(data_.test, {.batch_size = 100, .shuffle = false, .prefetch = 0}),
      model_({.classes = data_.train.classes(),
              .in_channels = data_.train.channels(),
              .image_size = data_.train.height()}),
      learning_rate_(options.learning_rate),
      epochs_(options.epochs),
      factor_(one_cycle_lr({.total_steps = steps_per_cycle()})),
      optimizer_(model_.named_parameters(), {.learning_rate = options.learning_rate}) {
  if (data_.train.width() != data_.train.height()) {
    throw ShapeError("LeNet-5: expected square images, got " +
                     data_.train.images.shape().to_string());
  }
  model_.initialize(options.seed);
}

LenetLesson::Step LenetLesson::step() {
  std::optional<Batch> batch = loader_.next();
  if (!batch) {  // an epoch ends; the next one begins
    batch = loader_.next();
  }
  optimizer_.set_learning_rate(learning_rate_ * factor_(steps_ % steps_per_cycle()));
  optimizer_.zero_grad();
  const Tensor logits = model_(batch->images);
  const Tensor loss = cross_entropy(logits, batch->labels);
  loss.backward();
  optimizer_.step();
  ++steps_;
  images_ += batch->count;
  return {.steps = steps_,
          .images = images_,
          .loss = loss.item(),
          .accuracy = static_cast<double>(count_correct(logits, batch->labels)) /
                      static_cast<double>(batch->count),
          .learning_rate = optimizer_.learning_rate()};
}

void LenetLesson::set_learning_rate(double learning_rate) {
  optimizer_.set_learning_rate(learning_rate);  // which checks it
  learning_rate_ = learning_rate;
}

std::vector<float> LenetLesson::predict(const std::vector<std::uint8_t>& pixels) {
  ImageDataset one = data_.test.limit(1);
  one.images = Tensor::from_vector(pixels, one.images.shape());
  const DataLoader loader(std::move(one), {.batch_size = 1, .shuffle = false, .prefetch = 0});
  const NoGradGuard no_grad;
  model_.set_forward_hook(
      [this](Module& module, const std::vector<Tensor>& inputs, const Tensor& output) {
        Tensor& shown = outputs_[module.path()];
        shown = output;
        if (const auto* conv = dynamic_cast<const Conv2d*>(&module)) {  // before its ReLU
          Conv2d::Options options = conv->options();
          options.negative_slope = 1.0;
          shown = conv2d(inputs[0], conv->weight, conv->bias, options);
        }
      });
  const Tensor logits = model_(loader.make_batch(0, 0).images);
  model_.set_forward_hook({});
  return softmax(logits).to_vector<float>();
}

std::vector<float> LenetLesson::values(const std::string& name) const {
  NamedTensors known;
  for (const auto& [parameter, tensor] : model_.named_parameters()) {
    known.emplace_back(parameter, tensor);
    known.emplace_back(parameter + ".grad", tensor.grad());
  }
  known.insert(known.end(), outputs_.begin(), outputs_.end());
  for (const auto& [candidate, tensor] : known) {
    if (candidate == name && tensor.defined()) {
      return tensor.to_vector<float>();
    }
  }
  throw Error("lesson: no parameter, gradient or layer's output \"" + name + "\" yet");
}

void LenetLesson::save(const std::string& path) const {
  save_weights(path, model_,
               checkpoint_info("lenet5", data_.train, {{"steps", std::to_string(steps_)}}));
}

}  // namespace cks::web
