#include "apps/cli/console.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>

#include <iostream>
#include <mutex>
#include <utility>
#include <vector>

#include "apps/cli/program.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::apps {
namespace {

/// Takes the progress line away before each text.
class StderrSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit StderrSink(std::shared_ptr<Progress> progress) : progress_(std::move(progress)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    progress_->clear();
    spdlog::memory_buf_t text;
    formatter_->format(message, text);
    std::cerr.write(text.data(), static_cast<std::streamsize>(text.size()));
  }
  void flush_() override { std::cerr.flush(); }

  std::shared_ptr<Progress> progress_;
};

class RunLogSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit RunLogSink(const RunFolder& folder) : folder_(folder) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    folder_.log(std::string(message.payload.data(), message.payload.size()));
  }
  void flush_() override {}

  RunFolder folder_;
};

std::string describe_epoch(const EpochEvent& event, bool has_accuracy) {
  const EpochMetrics& row = event.metrics;
  const char* const half = row.on_validation ? "val" : "test";
  const std::string results =
      has_accuracy
          ? formatted("{:.4f} / {:.2f} %   {} {:.4f} / {:.2f} %", row.train_loss,
                      100.0 * row.train_accuracy, half, row.test_loss, 100.0 * row.test_accuracy)
          : formatted("loss {:.4f}   {} loss {:.4f}", row.train_loss, half, row.test_loss);
  return formatted("epoch {:2}/{}  train {}   {:.1f} s{}", row.epoch, event.epochs, results,
                   row.seconds, event.is_best ? "   best" : "");
}

}  // namespace

void add_output_flags(Flags& flags, OutputFlags& values) {
  flags.group("Output");
  flags.add("log-interval", values.log_interval,
            "steps between lines where stderr is no terminal; 0: none");
  flags.add_switch("no-progress", values.no_progress, "lines in place of the bar");
  flags.add_switch("quiet", values.quiet, "the result only");
  flags.add_switch("tensorboard", values.tensorboard,
                   "write what tensorboard --logdir shows into the run's folder, too");
}

Console::Console(const OutputFlags& flags, const RunFolder* folder)
    : progress_(std::make_shared<Progress>(Progress::Options{
          .enabled = !flags.quiet, .bar = !flags.no_progress, .interval = flags.log_interval})) {
  auto on_stderr = std::make_shared<StderrSink>(progress_);
  on_stderr->set_level(flags.quiet ? spdlog::level::warn : spdlog::level::info);
  on_stderr->set_pattern("%v");
  logger_ = std::make_shared<spdlog::logger>("console", std::move(on_stderr));
  if (folder != nullptr) {
    logger_->sinks().push_back(std::make_shared<RunLogSink>(*folder));
  }
  logger_->set_level(spdlog::level::debug);
  logger_->flush_on(spdlog::level::debug);
  // What a sink threw, which the logger caught: a log that cannot be written ends the run.
  logger_->set_error_handler([](const std::string& /*why*/) { throw; });
}

void Console::say(const std::string& line) { logger_->info(line); }
void Console::warn(const std::string& line) { logger_->warn("warning: " + line); }
void Console::log(const std::string& line) { logger_->debug(line); }

void report_data(Console& console, const TrainTest& data) {
  std::vector<std::pair<std::string, const ImageDataset*>> halves{{"train", &data.train},
                                                                  {"test", &data.test}};
  if (data.val) {
    halves.emplace_back("validation", &*data.val);
  }
  const bool alike = data.train.source.warning == data.test.source.warning;
  for (const auto& [name, half] : halves) {
    const std::string& warning = half->source.warning;
    if (!warning.empty() && !(alike && half == &data.test)) {
      console.warn(alike && half == &data.train ? warning : formatted("{}: {}", name, warning));
    }
    // A folder's loader has named those that have no folder.
    const std::string untested =
        half == &data.train ? "" : list_text(half->classes_without_images());
    if (!untested.empty() && warning.find(untested) == std::string::npos) {
      console.warn(
          formatted("{}: no image of class {}, of which nothing will be known", name, untested));
    }
    for (const std::string& skipped : half->source.skipped) {
      console.log("left out: " + skipped);
    }
  }
}

TrainCallbacks make_callbacks(Console& console, bool has_accuracy) {
  TrainCallbacks callbacks;
  callbacks.on_step = [&console, has_accuracy](const StepEvent& event) {
    console.progress().update(event, has_accuracy);
  };
  callbacks.on_epoch = [&console, has_accuracy](const EpochEvent& event) {
    console.say(describe_epoch(event, has_accuracy));
  };
  callbacks.on_note = [&console](const std::string& text) { console.say("note      " + text); };
  callbacks.should_stop = [] { return interrupted(); };
  return callbacks;
}

}  // namespace cks::apps
