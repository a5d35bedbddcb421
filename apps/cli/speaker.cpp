#include "apps/cli/speaker.h"

#include <iostream>
#include <optional>
#include <utility>

#include "apps/cli/app.h"

namespace cks::apps {

void add_output_flags(Flags& flags, OutputFlags& values) {
  flags.group("Output");
  flags.add("log-interval", values.log_interval,
            "steps between lines where stderr is no terminal; 0: none");
  flags.add_switch("no-progress", values.no_progress, "lines in place of the bar");
  flags.add_switch("quiet", values.quiet, "the result only");
}

Speaker::Speaker(const OutputFlags& flags, const RunFolder* folder)
    : quiet_(flags.quiet),
      progress_(
          {.enabled = !flags.quiet, .bar = !flags.no_progress, .interval = flags.log_interval}),
      folder_(folder) {}

void Speaker::say(const std::string& line) {
  if (!quiet_) {
    progress_.clear();
    std::cerr << line << std::endl;
  }
  log(line);
}

void Speaker::warn(const std::string& line) {
  progress_.clear();
  std::cerr << "warning: " << line << std::endl;
  log("warning: " + line);
}

void Speaker::log(const std::string& line) {
  if (folder_ != nullptr) {
    folder_->log(line);
  }
}

void report_data(Speaker& speaker, const TrainTest& data) {
  const std::string& train = data.train.source.warning;
  const std::string& test = data.test.source.warning;
  if (train == test && !train.empty()) {
    speaker.warn(train);
  } else {
    for (const auto& [half, warning] : {std::pair("train: ", &train), std::pair("test: ", &test)}) {
      if (!warning->empty()) {
        speaker.warn(half + *warning);
      }
    }
  }
  for (const ImageDataset* half : {&data.train, &data.test}) {
    for (const std::string& skipped : half->source.skipped) {
      speaker.log("left out: " + skipped);
    }
  }
}

TrainCallbacks make_callbacks(Speaker& speaker, bool has_accuracy,
                              const std::function<std::string(const EpochEvent&)>& describe_epoch) {
  TrainCallbacks callbacks;
  callbacks.on_step = [&speaker, has_accuracy](const StepEvent& event) {
    speaker.progress().update(
        {.epoch = event.epoch,
         .epochs = event.epochs,
         .step = event.step,
         .steps = event.steps_per_epoch,
         .loss = event.loss,
         .accuracy = has_accuracy ? std::optional(event.accuracy) : std::nullopt,
         .learning_rate = event.learning_rate,
         .images_per_second = event.images_per_second,
         .seconds_left = event.seconds_left});
  };
  callbacks.on_epoch = [&speaker, describe_epoch](const EpochEvent& event) {
    speaker.say(describe_epoch(event));
  };
  callbacks.on_note = [&speaker](const std::string& text) { speaker.say("note      " + text); };
  callbacks.should_stop = [] { return interrupted(); };
  return callbacks;
}

}  // namespace cks::apps
