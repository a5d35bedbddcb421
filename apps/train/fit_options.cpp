#include <cmath>

#include "cks/kernels/common/formatted_impl.h"
#include "cks/train/number_text_impl.h"
#include "cks/train/step_impl.h"

namespace cks::detail {

namespace {

template <class Number>
void require(bool holds, const char* name, Number got, const char* what) {
  if (!holds) {
    throw Error(formatted("fit: {} is {}, must be {}", name, number_text(got), what));
  }
}

template <class Number>
void require_at_least(Number least, const char* name, Number got) {
  require(got >= least, name, got, least == 0 ? "at least 0" : "at least 1");
}

}  // namespace

void check_options(const TrainOptions& options) {
  require_at_least<std::int64_t>(1, "epochs", options.epochs);
  require(options.label_smoothing >= 0.0 && options.label_smoothing < 1.0, "label_smoothing",
          options.label_smoothing, "in [0, 1)");
  for (const double weight : options.class_weights) {
    require(weight >= 0.0 && std::isfinite(weight), "one of class_weights", weight,
            "finite and at least 0");
  }
  require_at_least(0.0, "clip_grad_norm", options.clip_grad_norm);
  require_at_least<std::int64_t>(1, "accumulation", options.accumulation);
  require_at_least<std::int64_t>(0, "max_steps", options.max_steps);
  require_at_least<std::int64_t>(0, "patience", options.patience);
  require_at_least<std::int64_t>(0, "save_every_epochs", options.files.save_every_epochs);
  require_at_least<std::int64_t>(0, "save_every_steps", options.files.save_every_steps);
  require_at_least<std::int64_t>(0, "keep_epochs", options.files.keep_epochs);
  require_at_least<std::int64_t>(1, "bucket_bytes", options.parallel.bucket_bytes);
  require_at_least(0.0, "report_seconds", options.gpu.report_seconds);
}

TextFields run_identity(const TrainTask& task, const TrainOptions& options) {
  const DataLoaderOptions& loader = task.train_loader.options();
  const ImageDataset& images = task.train_loader.dataset();
  TextFields fields = options.files.identity;
  fields["batch size"] = std::to_string(loader.batch_size);
  fields["training images"] = std::to_string(images.size());
  if (task.val_loader != nullptr) {
    fields["validation images"] = std::to_string(task.val_loader->dataset().size());
  }
  // As many images of as many classes may be others: these numbers tell.
  std::string& statistics = fields["mean and std of the channels"];
  for (std::size_t c = 0; c < images.mean.size(); ++c) {
    statistics += formatted("{}{} and {}", c == 0 ? "" : ", ", number_text(images.mean[c]),
                            number_text(images.std[c]));
  }
  fields["crop padding"] =
      std::to_string(loader.augment.crop_padding) + (loader.augment.reflect ? ", reflecting" : "");
  fields["random flip"] = loader.augment.alternate_flip ? "alternating"
                          : loader.augment.flip         ? "true"
                                                        : "false";
  for (const auto& [name, value] :
       named_changes(loader.augment)) {  // as before where there are none
    fields[std::string("random ") + name] = number_text(value);
  }
  fields["drop last"] = loader.drop_last ? "true" : "false";
  fields["shuffle seed"] = std::to_string(loader.seed);
  fields["learning rate"] = number_text(task.optimizer.initial_learning_rate());
  fields["label smoothing"] = number_text(options.label_smoothing);
  for (const double weight : options.class_weights) {  // none: as runs of before had none
    fields["class weights"] += number_text(weight) + " ";
  }
  fields["clip grad norm"] = number_text(options.clip_grad_norm);
  if (const auto& average = options.weight_average) {  // none: as runs of before had none
    fields["weight average"] = formatted("decay {}, steps {}{}", number_text(average->decay),
                                         average->every, average->look_ahead ? ", look-ahead" : "");
  }
  fields["accumulation"] = std::to_string(options.accumulation);
  fields["overfit batch"] = options.overfit_batch ? "true" : "false";
  return fields;
}

}  // namespace cks::detail
