#include <nlohmann/json.hpp>

#include "cks/core/io/file.h"
#include "cks/core/io/json_impl.h"
#include "cks/train/trainer.h"

namespace cks {
namespace {

/// Calls visit(name, field) for what a run has once it was evaluated.
void visit_results(auto& summary, auto&& visit) {
  visit("test_accuracy", summary.test_accuracy);
  visit("test_loss", summary.test_loss);
  visit("best_test_accuracy", summary.best_test_accuracy);
}

/// Likewise, of a run with a validation half.
void visit_validation(auto& summary, auto&& visit) {
  visit("val_accuracy", summary.accuracy);
  visit("val_loss", summary.loss);
  visit("best_val_accuracy", summary.best_accuracy);
}

/// And for what every run has.
void visit_facts(auto& summary, auto&& visit) {
  visit("best_epoch", summary.best_epoch);
  visit("epochs", summary.epochs);
  visit("steps", summary.steps);
  visit("seconds", summary.seconds);
  visit("images_per_second", summary.images_per_second);
  visit("device", summary.device);
  visit("peak_resident_bytes", summary.peak_resident_bytes);
  visit("peak_tensor_bytes", summary.peak_tensor_bytes);
  visit("interrupted", summary.interrupted);
}

}  // namespace

void write_summary(const std::string& path, const TrainSummary& summary, const TextFields& extra,
                   const std::map<std::string, NumberFields>& numbers) {
  nlohmann::ordered_json json;
  // A run that was stopped before its first evaluation has no results: null, never 0.
  const auto number_or_null = [](bool is_there, double value) {
    return is_there ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
  };
  visit_results(summary, [&](const char* name, double value) {
    json[name] = number_or_null(summary.is_tested(), value);
  });
  if (summary.validation) {
    visit_validation(*summary.validation, [&](const char* name, double value) {
      json[name] = number_or_null(summary.epochs > 0, value);
    });
  }
  if (summary.stopped_early) {
    json["stopped_early"] = true;
  }
  visit_facts(summary, [&](const char* name, const auto& field) { json[name] = field; });
  for (const auto& [name, value] : extra) {
    json[name] = value;
  }
  for (const auto& [name, fields] : numbers) {
    json[name] = fields;
  }
  write_file_atomically(path, json.dump(2) + "\n");
}

TrainSummary read_summary(const std::string& path) {
  constexpr std::size_t kMostBytes = std::size_t{1} << 24;
  try {
    const auto json = parse_json(read_file(path, kMostBytes));
    TrainSummary summary;
    const auto read = [&](const char* name, auto& field) { read_json(json.at(name), field); };
    visit_facts(summary, read);
    summary.stopped_early = json.value("stopped_early", false);
    if (json.contains("val_accuracy")) {
      summary.validation.emplace();
      if (summary.epochs > 0) {
        visit_validation(*summary.validation, read);
      }
    }
    if (summary.is_tested()) {
      visit_results(summary, read);
    }
    return summary;
  } catch (const nlohmann::json::exception& error) {
    throw IoError(path + " is not the summary of a run: " + error.what());
  }
}

}  // namespace cks
