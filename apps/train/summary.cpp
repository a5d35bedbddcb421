#include <nlohmann/json.hpp>

#include "cks/core/io/file.h"
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

TrainSummary read_summary(const std::string& path) {
  constexpr std::size_t kMostBytes = std::size_t{1} << 24;
  try {
    const auto json = nlohmann::json::parse(read_file(path, kMostBytes));
    TrainSummary summary;
    json.at("epochs").get_to(summary.epochs);
    if (summary.epochs > 0) {
      json.at("test_accuracy").get_to(summary.test_accuracy);
      json.at("test_loss").get_to(summary.test_loss);
      json.at("best_test_accuracy").get_to(summary.best_test_accuracy);
    }
    json.at("best_epoch").get_to(summary.best_epoch);
    json.at("steps").get_to(summary.steps);
    json.at("seconds").get_to(summary.seconds);
    json.at("images_per_second").get_to(summary.images_per_second);
    json.at("device").get_to(summary.device);
    json.at("peak_resident_bytes").get_to(summary.peak_resident_bytes);
    json.at("peak_tensor_bytes").get_to(summary.peak_tensor_bytes);
    json.at("interrupted").get_to(summary.interrupted);
    return summary;
  } catch (const nlohmann::json::exception& error) {
    throw IoError(path + " is not the summary of a run: " + error.what());
  }
}

}  // namespace cks
