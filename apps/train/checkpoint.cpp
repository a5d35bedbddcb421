#include "cks/train/checkpoint.h"

#include <type_traits>

#include "cks/core/io/json_impl.h"
#include "cks/core/io/safetensors.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/train/checkpoint_fields_impl.h"
#include "cks/train/number_text_impl.h"

namespace cks {
namespace {

using Json = nlohmann::json;
using detail::dump;
using detail::find;
using detail::with_file_name;
using detail::with_prefix;

constexpr const char* kStateVersion = "2";
constexpr const char* kVersionWithoutChecksum = "1";  // is read, too
constexpr const char* kModelPrefix = "model.";
constexpr const char* kTrainingPrefix = "training.";
constexpr const char* kOptimizerPrefix = "optimizer.";
constexpr const char* kAveragePrefix = "average.";

void append_prefixed(NamedTensors& into, const std::string& prefix, const NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors) {
    into.emplace_back(prefix + name, tensor);
  }
}

/// Calls visit(name, field) for each field of a TrainState.
void visit_fields(auto& state, auto&& visit) {
  visit("epoch", state.epoch);
  visit("batch", state.batch);
  visit("step", state.step);
  visit("images", state.images);
  visit("seconds", state.seconds);
  visit("train_seconds", state.train_seconds);
  visit("learning_rate", state.learning_rate);
  visit("running_loss_sum", state.running.loss_sum);
  visit("running_correct", state.running.correct);
  visit("running_images", state.running.images);
  visit("test_loss", state.test_loss);
  visit("test_accuracy", state.test_accuracy);
  visit("best_test_accuracy", state.best_test_accuracy);
  visit("best_test_loss", state.best_test_loss);
  visit("best_epoch", state.best_epoch);
  visit("precision", state.precision);
  visit("identity", state.identity);
  visit("conv_plans", state.conv_plans);
}

// Numbers are text, because JSON has none for infinity and would round.
Json to_json(const TrainState& state) {
  Json json;
  visit_fields(state, [&](const char* name, const auto& field) {
    if constexpr (std::is_floating_point_v<std::decay_t<decltype(field)>>) {
      json[name] = detail::number_text(field);
    } else {
      json[name] = field;
    }
  });
  return json;
}

TrainState from_json(const Json& json) {
  TrainState state;
  visit_fields(state, [&](const char* name, auto& field) {
    if (std::string_view(name) == "precision" && !json.contains(name)) {
      return;  // an earlier version's file
    }
    if constexpr (std::is_floating_point_v<std::decay_t<decltype(field)>>) {
      if (!detail::parse_number(json.at(name).template get<std::string>(), field)) {
        throw IoError(formatted("field {} is not a number", name));
      }
    } else {
      read_json(json.at(name), field);
    }
  });
  return state;
}

/// One line for each field that differs; empty if none does.
std::string differences(const TextFields& saved, const TextFields& now) {
  std::string lines;
  const auto value = [](const TextFields& fields, const std::string& name) {
    const auto found = fields.find(name);
    return found == fields.end() ? std::string("(not given)") : found->second;
  };
  TextFields all = saved;
  all.insert(now.begin(), now.end());
  for (const auto& [name, unused] : all) {
    const std::string before = value(saved, name);
    const std::string after = value(now, name);
    if (before != after) {
      lines += formatted("\n  {}: {} in the checkpoint, {} now", name, before, after);
    }
  }
  return lines;
}

}  // namespace

std::string train_state_text(const TrainState& state) {
  return dump("save_train_state: the fields of identity or conv_plans", to_json(state));
}

TrainState parse_train_state(const std::string& text) {
  try {
    return from_json(parse_json(text));
  } catch (const std::exception& error) {  // of JSON, or of a number in it
    throw IoError(formatted("the training state is damaged: {}", error.what()));
  }
}

void save_train_state(const std::string& path, const Module& model, const Optimizer& optimizer,
                      const TrainState& state, const WeightAverage* average) {
  NamedTensors tensors;
  append_prefixed(tensors, kModelPrefix, model.state_dict());
  append_prefixed(tensors, kTrainingPrefix, model.training_state());
  append_prefixed(tensors, kOptimizerPrefix, optimizer.state());
  if (average != nullptr) {
    append_prefixed(tensors, kAveragePrefix, average->state());
  }
  save_safetensors(path, tensors,
                   {{"cks.state_version", kStateVersion},
                    {kSafetensorsChecksum, ""},
                    {"cks.state", train_state_text(state)}});
}

TrainState load_train_state(const std::string& path, Module& model, Optimizer& optimizer,
                            const TextFields& identity, WeightAverage* average) {
  const SafetensorsFile file = load_safetensors(path);
  const std::string* version = find(file.metadata, "cks.state_version");
  const std::string* text = find(file.metadata, "cks.state");
  if (version == nullptr || text == nullptr) {
    throw IoError(path + " is not a training state (a file of weights alone cannot be resumed)");
  }
  const bool has_checksum = find(file.metadata, kSafetensorsChecksum) != nullptr;  // and is right
  if (*version == kStateVersion && !has_checksum) {
    throw IoError(path + " is damaged: it has no checksum");
  }
  if (*version != kStateVersion && (*version != kVersionWithoutChecksum || has_checksum)) {
    throw IoError(formatted("{} is a training state of version {}, this program reads {}", path,
                            *version, kStateVersion));
  }
  TrainState state = with_file_name(path, [&] { return parse_train_state(*text); });
  const std::string differing = differences(state.identity, identity);
  if (!differing.empty()) {
    throw Error(
        formatted("{} is the state of a run with other settings:{}\n  resume it with those "
                  "it was saved with, or begin a new run",
                  path, differing));
  }
  const NamedTensors before = model.state_dict();
  const NamedTensors training_before = model.training_state();
  const NamedTensors average_before = average != nullptr ? average->state() : NamedTensors{};
  with_file_name(path, [&] {
    model.load_state_dict(with_prefix(file.tensors, kModelPrefix));
    try {
      model.load_training_state(with_prefix(file.tensors, kTrainingPrefix));
      if (average != nullptr) {
        average->load_state(with_prefix(file.tensors, kAveragePrefix));
      }
      optimizer.load_state(with_prefix(file.tensors, kOptimizerPrefix));
    } catch (...) {
      model.load_state_dict(before);
      model.load_training_state(training_before);
      if (average != nullptr) {
        average->load_state(average_before);
      }
      throw;
    }
  });
  return state;
}

}  // namespace cks
