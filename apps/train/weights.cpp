#include <algorithm>
#include <map>
#include <set>

#include "cks/core/io/json_impl.h"
#include "cks/core/io/safetensors.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/train/checkpoint.h"
#include "cks/train/checkpoint_fields_impl.h"

namespace cks {
namespace {

using Json = nlohmann::json;
using detail::dump;
using detail::find;
using detail::Metadata;
using detail::with_file_name;
using detail::with_prefix;

/// What a file of weights holds, without the weights.
SafetensorsFile read_header(const std::string& path) {
  return load_safetensors(path, [](const std::string&) { return false; });
}

/// The tensors of a file whose names are the prefix and one of the keys; the others are unread.
SafetensorsFile read_keys(const std::string& path, const std::string& prefix,
                          const std::set<std::string>& keys) {
  return load_safetensors(path, [&](const std::string& name) {
    return name.starts_with(prefix) && keys.contains(name.substr(prefix.size()));
  });
}

/// What stands before a model's keys in a file, such as DataParallel's "module.": what stands
/// before most of them.
std::string find_prefix(const std::vector<SafetensorsEntry>& entries,
                        const std::vector<std::string>& keys) {
  std::map<std::string, std::int64_t> counts{{"", 0}};
  for (const SafetensorsEntry& entry : entries) {
    for (const std::string& key : keys) {
      const std::string& name = entry.name;
      if (name == key || name.ends_with("." + key)) {
        ++counts[name.substr(0, name.size() - key.size())];
      }
    }
  }
  return std::max_element(counts.begin(), counts.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

/// The path of the module that a key belongs to.
std::string layer_of(const std::string& key) { return key.substr(0, key.rfind('.') + 1); }

}  // namespace

CheckpointInfo checkpoint_info(const std::string& model, const ImageDataset& train,
                               TextFields notes) {
  return {.model = model,
          .dataset = train.name,
          .class_names = train.class_names,
          .mean = train.mean,
          .std = train.std,
          .height = train.height(),
          .width = train.width(),
          .channels = train.channels(),
          .fit = train.fit,
          .notes = std::move(notes)};
}

Metadata checkpoint_metadata(const CheckpointInfo& info) {
  return {{"cks.model", info.model},
          {"cks.dataset", info.dataset},
          {"cks.class_names", dump("checkpoint_metadata: the class names", info.class_names)},
          {"cks.mean", Json(info.mean).dump()},
          {"cks.std", Json(info.std).dump()},
          {"cks.input", Json({info.height, info.width, info.channels}).dump()},
          {"cks.fit", name_of(info.fit)},
          {"cks.notes", dump("checkpoint_metadata: the notes", info.notes)}};
}

void save_weights(const std::string& path, const Module& model, const CheckpointInfo& info) {
  Metadata metadata = checkpoint_metadata(info);
  metadata["format"] = "pt";
  metadata[kSafetensorsChecksum] = "";
  save_safetensors(path, model.state_dict(), metadata);
}

CheckpointInfo read_checkpoint_info(const std::string& path) {
  Metadata metadata = read_header(path).metadata;
  CheckpointInfo info{.model = metadata["cks.model"], .dataset = metadata["cks.dataset"]};
  const auto read = [&](const char* key, auto& field) {  // written as JSON, if it is there
    try {
      if (const std::string* const text = find(metadata, key); text != nullptr) {
        read_json(parse_json(*text), field);
      }
    } catch (const Json::exception& error) {
      throw IoError(formatted("{}: field {} is damaged: {}", path, key, error.what()));
    }
  };
  read("cks.class_names", info.class_names);
  read("cks.mean", info.mean);
  read("cks.std", info.std);
  if (find(metadata, "cks.input") != nullptr) {
    std::vector<std::int64_t> input;
    read("cks.input", input);
    if (input.size() != 3) {
      throw IoError(
          formatted("{}: field cks.input is damaged: {} numbers, expected height, width, channels",
                    path, input.size()));
    }
    info.height = input[0];
    info.width = input[1];
    info.channels = input[2];
  }
  if (const std::string* const fit = find(metadata, "cks.fit"); fit != nullptr) {
    info.fit = with_file_name(path, [&] { return parse_image_fit(*fit); });
  }
  read("cks.notes", info.notes);
  return info;
}

void load_weights(const std::string& path, Module& model, const std::string& prefix) {
  const std::vector<std::string> keys = model.state_keys();
  const SafetensorsFile file = read_keys(path, prefix, {keys.begin(), keys.end()});
  NamedTensors state = with_prefix(file.tensors, prefix);
  for (const SafetensorsEntry& entry : file.unread) {
    if (entry.name.starts_with(prefix)) {
      state.emplace_back(entry.name.substr(prefix.size()), Tensor());  // a key too many
    }
  }
  with_file_name(path, [&] {
    try {
      model.load_state_dict(state);
    } catch (StateDictError& error) {
      const std::string better = find_prefix(read_header(path).unread, keys);
      if (better != prefix) {
        error.append(formatted("\n  in the file the keys stand behind the prefix \"{}\"", better));
      }
      throw;
    }
  });
}

InitialWeights load_initial_weights(const std::string& path, Module& model) {
  const std::vector<std::string> keys = model.state_keys();
  const std::vector<SafetensorsEntry> entries = read_header(path).unread;
  std::map<std::string, Shape> given;
  for (const SafetensorsEntry& entry : entries) {
    given.emplace(entry.name, entry.shape);
  }
  InitialWeights result{.prefix = find_prefix(entries, keys)};
  std::set<std::string> fitting;
  std::set<std::string> heads{layer_of(keys.empty() ? "" : keys.back())};
  std::vector<std::string> missing;
  std::string misfits;
  for (const auto& [key, tensor] : model.state_dict()) {
    const auto found = given.find(result.prefix + key);
    if (found == given.end()) {
      missing.push_back(key);
      continue;
    }
    const Shape& shape = found->second;
    const std::string difference =
        formatted("{} ({} in the file, {} in the model)", key, shape, tensor.shape());
    if (shape == tensor.shape()) {
      fitting.insert(key);
    } else if (shape.rank() == tensor.rank() && shape.rank() > 0 &&
               shape.with(0, 0) == tensor.shape().with(0, 0)) {
      result.left_out.push_back(difference);  // it has other outputs: a head of other classes
      heads.insert(layer_of(key));
    } else {
      misfits += "\n  mis-shaped: " + difference;
    }
    given.erase(found);
  }
  for (const std::string& key : missing) {
    if (heads.contains(layer_of(key))) {
      result.left_out.push_back(key + " (not in the file)");
    } else {
      misfits += "\n  missing: " + key;
    }
  }
  if (!misfits.empty() || fitting.empty()) {
    throw StateDictError(formatted("{}: the tensors do not fit {}{}", path, model.type_name(),
                                   misfits.empty() ? ": none does" : misfits));
  }
  result.unused = mapped(given, [](const auto& unused) { return unused.first; });
  result.loaded = static_cast<std::int64_t>(fitting.size());
  const SafetensorsFile file = read_keys(path, result.prefix, fitting);
  with_file_name(path, [&] {
    model.load_state_dict(with_prefix(file.tensors, result.prefix), /*strict=*/false);
  });
  return result;
}

}  // namespace cks
