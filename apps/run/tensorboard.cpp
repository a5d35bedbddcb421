#include "apps/run/tensorboard.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "apps/report/event_file.h"
#include "apps/report/filter_picture.h"
#include "cks/core/ops/rearrange.h"
#include "cks/datasets/images/image_write.h"

namespace cks::apps {
namespace {

using Scalars = std::vector<std::pair<std::string, double>>;

/// A square of pixels for each pair, brighter the larger its share of the row's images.
Tensor confusion_picture(const ConfusionMatrix& confusion) {
  const std::int64_t classes = confusion.classes();
  Tensor pixels = Tensor::empty({1, classes, classes, 1}, DType::uint8);
  auto* pixel = pixels.data_as<std::uint8_t>();
  for (std::int64_t truth = 0; truth < classes; ++truth) {
    const auto images = static_cast<double>(std::max<std::int64_t>(1, confusion.images_of(truth)));
    for (std::int64_t predicted = 0; predicted < classes; ++predicted) {
      const double share = static_cast<double>(confusion.at(truth, predicted)) / images;
      *pixel++ = static_cast<std::uint8_t>(std::lround(255.0 * share));
    }
  }
  return upsample_nearest(pixels, std::max<std::int64_t>(1, 240 / classes))[0];
}

}  // namespace

void send_to_tensorboard(const RunFolder& folder, bool has_accuracy, TrainCallbacks& callbacks) {
  const auto file = std::make_shared<EventFile>(folder.path());
  callbacks.on_step = [file, has_accuracy, next = callbacks.on_step,
                       has_started = false](const StepEvent& event) mutable {
    if (!std::exchange(has_started, true)) {
      file->start(event.global_step);
    }
    Scalars values{{"train/loss", event.batch_loss},
                   {"train/learning_rate", event.learning_rate},
                   {"train/gradient_norm", event.gradient_norm},
                   {"train/images_per_second", event.images_per_second}};
    if (has_accuracy) {
      values.emplace_back("train/accuracy", event.accuracy);
    }
    file->scalars(event.global_step, values);
    next(event);
  };
  callbacks.on_epoch = [file, has_accuracy, next = callbacks.on_epoch](const EpochEvent& event) {
    const EpochMetrics& row = event.metrics;
    const std::string half = row.on_validation ? "validation/" : "test/";
    Scalars values{{"epoch/train_loss", row.train_loss}, {half + "loss", row.test_loss}};
    if (has_accuracy) {
      values.emplace_back("epoch/train_accuracy", row.train_accuracy);
      values.emplace_back(half + "accuracy", row.test_accuracy);
    }
    file->scalars(row.step, values);
    next(event);
  };
}

void send_pictures_to_tensorboard(const RunFolder& folder, const RunReport& report) {
  EventFile file(folder.path());
  const std::int64_t step = report.summary.steps;
  if (report.filters.defined()) {
    file.png(step, "filters", encode_png(filter_picture(report.filters)));
  }
  if (report.confusion) {
    file.png(step, "confusion", encode_png(confusion_picture(*report.confusion)));
  }
  for (const PictureSheet& sheet : report.sheets) {
    for (std::size_t i = 0; i < sheet.pictures.size(); ++i) {
      file.png(step, sheet.title + "/" + std::to_string(i), sheet.pictures[i].png);
    }
  }
}

}  // namespace cks::apps
