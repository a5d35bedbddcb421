#include "cks/train/fit_options_impl.h"
#include "cks/train/number_text_impl.h"

namespace cks::detail {

void check_options(const TrainOptions& options) {
  const auto require = [](bool holds, const char* name, const std::string& got, const char* what) {
    if (!holds) {
      throw Error(std::string("fit: ") + name + " is " + got + ", must be " + what);
    }
  };
  require(options.epochs >= 1, "epochs", number_text(options.epochs), "at least 1");
  require(options.label_smoothing >= 0.0 && options.label_smoothing < 1.0, "label_smoothing",
          number_text(options.label_smoothing), "in [0, 1)");
  require(options.clip_grad_norm >= 0.0, "clip_grad_norm", number_text(options.clip_grad_norm),
          "at least 0");
  require(options.accumulation >= 1, "accumulation", number_text(options.accumulation),
          "at least 1");
  require(options.max_steps >= 0, "max_steps", number_text(options.max_steps), "at least 0");
  require(options.save_every_epochs >= 0, "save_every_epochs",
          number_text(options.save_every_epochs), "at least 0");
  require(options.save_every_steps >= 0, "save_every_steps", number_text(options.save_every_steps),
          "at least 0");
  require(options.keep_epochs >= 0, "keep_epochs", number_text(options.keep_epochs), "at least 0");
  require(options.report_seconds >= 0.0, "report_seconds", number_text(options.report_seconds),
          "at least 0");
}

TextFields run_identity(const TrainOptions& options, const Optimizer& optimizer,
                        const DataLoader& train_loader) {
  TextFields fields = options.identity;
  fields["batch size"] = std::to_string(train_loader.options().batch_size);
  const ImageDataset& images = train_loader.dataset();
  fields["training images"] = std::to_string(images.size());
  // As many images of as many classes may be others: these numbers tell.
  std::string& statistics = fields["mean and std of the channels"];
  for (std::size_t c = 0; c < images.mean.size(); ++c) {
    statistics += c == 0 ? "" : ", ";
    statistics.append(number_text(images.mean[c])).append(" and ");
    statistics.append(number_text(images.std[c]));
  }
  const ImageAugmentation& augment = train_loader.options().augment;
  fields["crop padding"] = std::to_string(augment.crop_padding);
  fields["random flip"] = augment.flip ? "true" : "false";
  fields["drop last"] = train_loader.options().drop_last ? "true" : "false";
  fields["shuffle seed"] = std::to_string(train_loader.options().seed);
  fields["learning rate"] = number_text(optimizer.initial_learning_rate());
  fields["label smoothing"] = number_text(options.label_smoothing);
  fields["clip grad norm"] = number_text(options.clip_grad_norm);
  fields["accumulation"] = std::to_string(options.accumulation);
  fields["overfit batch"] = options.overfit_batch ? "true" : "false";
  return fields;
}

}  // namespace cks::detail
