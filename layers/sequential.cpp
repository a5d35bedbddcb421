#include "cks/layers/sequential.h"

#include <algorithm>
#include <charconv>

#include "cks/kernels/common/formatted_impl.h"
#include "cks/layers/base/options_impl.h"

namespace cks {

std::string Sequential::next_name() const {
  std::int64_t next = size();
  for (const auto& module : owned_) {
    const std::string& name = module->name();
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error == std::errc() && end == name.data() + name.size()) {
      next = std::max(next, number + 1);
    }
  }
  return std::to_string(next);
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): emplace() moves it
Function& Sequential::add(std::string name, TensorFunction function) {
  if (!function) {
    throw Error("Sequential: the function is empty");
  }
  return emplace<Function>(std::move(name), std::move(function));
}

Module& Sequential::at(std::int64_t index) {
  if (index < 0 || index >= size()) {
    layers::OptionCheck(*this, "Sequential")
        .fail(formatted("has no module {}, it holds {}", index, size()));
  }
  return *owned_[static_cast<std::size_t>(index)];
}

Tensor Sequential::forward(const Tensor& input) {
  Tensor value = input;
  for (const auto& module : owned_) {
    value = (*module)(value);
  }
  return value;
}

std::unique_ptr<Module> Sequential::make_another(Module* parent, std::string name) const {
  auto another = std::make_unique<Sequential>(parent, std::move(name));
  add_others_to(*another);
  return another;
}

void Sequential::add_others_to(Sequential& chain) const {
  for (const auto& module : owned_) {
    chain.owned_.push_back(module->make_another(&chain, module->name()));
  }
}

}  // namespace cks
