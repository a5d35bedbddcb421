#include <nlohmann/json.hpp>

#include "cks/core/file.h"
#include "cks/train/trainer.h"

namespace cks {

void write_summary(const std::string& path, const TrainSummary& summary, const TextFields& extra,
                   const std::map<std::string, NumberFields>& numbers) {
  nlohmann::ordered_json json;
  // A run that was stopped before its first evaluation has no results: null, never 0.
  const auto result = [&](double value) {
    return summary.epochs > 0 ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
  };
  json["test_accuracy"] = result(summary.test_accuracy);
  json["test_loss"] = result(summary.test_loss);
  json["best_test_accuracy"] = result(summary.best_test_accuracy);
  json["best_epoch"] = summary.best_epoch;
  json["epochs"] = summary.epochs;
  json["steps"] = summary.steps;
  json["seconds"] = summary.seconds;
  json["images_per_second"] = summary.images_per_second;
  json["device"] = summary.device;
  json["peak_resident_bytes"] = summary.peak_resident_bytes;
  json["peak_tensor_bytes"] = summary.peak_tensor_bytes;
  json["interrupted"] = summary.interrupted;
  for (const auto& [name, value] : extra) {
    json[name] = value;
  }
  for (const auto& [name, fields] : numbers) {
    json[name] = fields;
  }
  write_file_atomically(path, json.dump(2) + "\n");
}

}  // namespace cks
