#include "cks/train/freeze.h"

#include <fnmatch.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "cks/kernels/common/formatted_impl.h"

namespace cks {
namespace {

/// "a.b.weight" is matched by what matches it, "a.b" or "a".
bool matches(const std::string& pattern, const std::string& path) {
  for (std::size_t end = path.find('.');; end = path.find('.', end + 1)) {
    if (fnmatch(pattern.c_str(), path.substr(0, end).c_str(), 0) == 0) {
      return true;
    }
    if (end == std::string::npos) {
      return false;
    }
  }
}

/// "conv1, conv2, fc": what a pattern may begin with.
std::string first_names(const NamedTensors& parameters) {
  std::vector<std::string> names;  // a module's parameters are neighbours
  for (const auto& [path, tensor] : parameters) {
    names.push_back(path.substr(0, path.find('.')));
  }
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return list_text(names);
}

}  // namespace

std::vector<std::string> freeze(Module& model, const std::string& patterns) {
  NamedTensors parameters = model.named_parameters();
  std::set<std::string> chosen;
  std::istringstream list(patterns + ",");
  for (std::string pattern; std::getline(list, pattern, ',');) {
    bool is_used = false;
    for (const auto& [path, parameter] : parameters) {
      if (matches(pattern, path)) {
        chosen.insert(path);
        is_used = true;
      }
    }
    if (!is_used) {
      throw Error(formatted("freeze: no parameter matches \"{}\"; {} has {}", pattern,
                            model.type_name(), first_names(parameters)));
    }
  }
  if (chosen.size() == parameters.size()) {
    throw Error(formatted("freeze: \"{}\" leaves no parameter to train", patterns));
  }
  std::vector<std::string> frozen;
  for (auto& [path, parameter] : parameters) {
    if (chosen.contains(path)) {
      parameter.set_requires_grad(false);
      parameter.zero_grad();  // an optimiser steps what has a gradient
      frozen.push_back(path);
    }
  }
  return frozen;
}

}  // namespace cks
