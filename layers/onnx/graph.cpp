#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

#include "cks/core/ops/rearrange.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/layers/onnx/graph_impl.h"

namespace cks::onnx {
namespace {

/// AttributeProto.AttributeType.
enum class AttributeType : std::uint8_t { real = 1, integer = 2, text = 3, integers = 7 };

ProtoMessage begin_attribute(const char* name, AttributeType type) {
  ProtoMessage attribute;
  attribute.text(1, name);
  attribute.integer(20, static_cast<std::int64_t>(type));
  return attribute;
}

ProtoMessage tensor_proto(const std::string& name, const Tensor& tensor) {
  const Tensor host = tensor.to(Device::cpu());
  ProtoMessage proto;
  for (const std::int64_t extent : host.shape()) {
    proto.integer(1, extent);
  }
  proto.integer(2, data_type(host.dtype()));
  proto.text(8, name);
  proto.text(9, {static_cast<const char*>(host.data()), host.nbytes()});
  return proto;
}

bool are_equal(const Tensor& a, const Tensor& b) {
  if (is_same(a, b)) {
    return true;
  }
  const Tensor x = a.to(Device::cpu());
  const Tensor y = b.to(Device::cpu());
  return x.shape() == y.shape() && x.dtype() == y.dtype() &&
         std::memcmp(x.data(), y.data(), x.nbytes()) == 0;
}

std::vector<std::int64_t> widened(const std::vector<int>& values) {
  return {values.begin(), values.end()};
}

}  // namespace

std::vector<int> transposition(int rank, bool channels_first) {
  std::vector<int> order(static_cast<std::size_t>(rank));
  std::iota(order.begin(), order.end(), 0);
  if (rank >= 3) {
    const auto new_second = channels_first ? order.end() - 1 : order.begin() + 2;
    std::rotate(order.begin() + 1, new_second, order.end());
  }
  return order;
}

std::int64_t data_type(DType dtype) {
  constexpr std::array<std::int64_t, 6> kTypes{1, 16, 11, 7, 6, 2};  // in the order of DType
  return kTypes[static_cast<std::size_t>(dtype)];
}

ProtoMessage attribute(const char* name, std::int64_t value) {
  ProtoMessage proto = begin_attribute(name, AttributeType::integer);
  proto.integer(3, value);
  return proto;
}

ProtoMessage attribute(const char* name, float value) {
  ProtoMessage proto = begin_attribute(name, AttributeType::real);
  proto.real32(2, value);
  return proto;
}

ProtoMessage attribute(const char* name, const char* value) {
  ProtoMessage proto = begin_attribute(name, AttributeType::text);
  proto.text(4, value);
  return proto;
}

ProtoMessage attribute(const char* name, const std::vector<std::int64_t>& values) {
  ProtoMessage proto = begin_attribute(name, AttributeType::integers);
  for (const std::int64_t value : values) {
    proto.integer(8, value);
  }
  return proto;
}

Graph::Graph(const Names& names)
    : names_(names), used_names_{{"", 0}, {"input", 0}, {"output", 0}} {
  for (const auto& [tensor, name] : names) {
    used_names_.emplace(name, 0);
  }
}

void Graph::begin_operation(std::size_t index, const std::string& module_path) {
  operation_ = index;
  module_path_ = module_path;
}

/// The name, or one with a number behind it if that is taken.
std::string Graph::unique(const std::string& name) {
  std::string candidate = name;
  while (!used_names_.emplace(candidate, 0).second) {
    candidate = name + "_" + std::to_string(++used_names_[name]);
  }
  return candidate;
}

Value Graph::constant(const Tensor& tensor) {
  std::string& name = names_[tensor.impl().get()];
  if (name.empty()) {
    name = unique(module_path_ + "/constant");
    constants_.push_back(tensor);
  }
  return {.name = name, .shape = tensor.shape(), .dtype = tensor.dtype(), .constant = tensor};
}

std::string Graph::add_initializer(const std::string& name, const Tensor& tensor, bool is_option) {
  const auto is_there = [&](const auto& entry) { return entry.first == name; };
  if (!any_of(initializers_, is_there)) {
    initializers_.push_back({name, {tensor, operation_, is_option}});
  }
  return name;
}

std::string Graph::integers(const std::vector<std::int64_t>& values) {
  return add_initializer(unique(module_path_ + "/numbers"),
                         Tensor::from_vector(values, {static_cast<std::int64_t>(values.size())}),
                         true);
}

std::string Graph::number(double value, DType dtype) {
  return add_initializer(unique(module_path_ + "/number"), Tensor::scalar(value, dtype), true);
}

std::string Graph::operand(const Value& value, bool channels_first) {
  const int rank = value.shape.rank();
  if (value.constant.defined()) {
    if (rank < 3) {
      return add_initializer(value.name, value.constant);
    }
    // Filters are known by the name of the state_dict, where they lie as ONNX wants them.
    return channels_first
               ? add_initializer(value.name, permute(value.constant, transposition(rank, true)))
               : add_initializer(value.name + ".channels_last", value.constant);
  }
  if (rank < 3 || value.channels_first == channels_first) {
    return value.name;
  }
  std::string& converted = converted_[value.name];
  if (converted.empty()) {
    converted = add("Transpose", {value.name},
                    {attribute("perm", widened(transposition(rank, channels_first)))});
  }
  return converted;
}

std::string Graph::add(const char* type, std::vector<std::string> inputs,
                       std::vector<ProtoMessage> attributes) {
  std::string output = unique(module_path_ + "/" + type);
  nodes_.push_back({type, std::move(inputs), output, std::move(attributes), operation_});
  return output;
}

void Graph::rename(const std::string& from, const std::string& to) {
  for (Operator& node : nodes_) {
    std::replace(node.inputs.begin(), node.inputs.end(), from, to);
    node.output = node.output == from ? to : node.output;
  }
}

std::optional<Graph::Difference> Graph::first_difference(const Graph& other) const {
  for (std::size_t i = 0; i < std::min(initializers_.size(), other.initializers_.size()); ++i) {
    const auto& [name, initializer] = initializers_[i];
    if (!are_equal(initializer.tensor, other.initializers_[i].second.tensor)) {
      return Difference{initializer.operation, !initializer.is_option};
    }
  }
  for (std::size_t i = 0; i < std::min(nodes_.size(), other.nodes_.size()); ++i) {
    const Operator& a = nodes_[i];
    const Operator& b = other.nodes_[i];
    if (a.type != b.type || a.inputs != b.inputs || a.attributes != b.attributes) {
      return Difference{a.operation, false};
    }
  }
  return std::nullopt;
}

void Graph::write(ProtoMessage& graph) const {
  for (const Operator& node : nodes_) {
    ProtoMessage proto;
    for (const std::string& input : node.inputs) {
      proto.text(1, input);
    }
    proto.text(2, node.output);
    proto.text(3, node.output);  // a name of its own
    proto.text(4, node.type);
    for (const ProtoMessage& attribute : node.attributes) {
      proto.message(5, attribute);
    }
    graph.message(1, proto);
  }
  for (const auto& [name, initializer] : initializers_) {
    graph.message(5, tensor_proto(name, initializer.tensor));
  }
}

}  // namespace cks::onnx
