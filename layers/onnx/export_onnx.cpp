#include "cks/layers/onnx/export_onnx.h"

#include <algorithm>
#include <limits>

#include "cks/core/io/file.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/layers/init.h"
#include "cks/layers/onnx/graph_impl.h"

namespace cks {
namespace {

using onnx::Graph;
using onnx::Value;

constexpr std::int64_t kOpset = 18;
constexpr std::int64_t kIrVersion = 8;

/// Evaluation mode and no parameter that requires a gradient, until the end of the scope: what does
/// not depend on the input then stays off the tape.
class Frozen {
 public:
  explicit Frozen(Module& model) {
    for (Module* module : model.modules()) {
      modes_.emplace_back(module, module->training());
    }
    for (Tensor& parameter : model.parameters()) {
      required_.emplace_back(parameter, parameter.requires_grad());
      parameter.set_requires_grad(false);
    }
    model.eval();
  }
  ~Frozen() {
    for (const auto& [module, mode] : modes_) {  // parents first
      module->train(mode);
    }
    for (auto& [parameter, required] : required_) {
      parameter.set_requires_grad(required);
    }
  }
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;

 private:
  std::vector<std::pair<Module*, bool>> modes_;
  std::vector<std::pair<Tensor, bool>> required_;
};

/// A forward pass of random numbers.
struct Pass {
  Tensor input;
  Tensor output;
  std::vector<TracedOperation> operations;
};

Pass trace(Module& model, const Shape& input_shape, std::int64_t batch) {
  const std::vector<Tensor> parameters = model.parameters();
  std::vector<std::int64_t> extents = input_shape.to_vector();
  extents.insert(extents.begin(), batch);
  Pass pass;
  Tensor numbers = Tensor::empty(Shape(extents),
                                 parameters.empty() ? DType::float32 : parameters.front().dtype());
  init::uniform(numbers, -1.0, 1.0,
                init::parameter_key(static_cast<std::uint64_t>(batch), "export_onnx", "input"));
  pass.input = parameters.empty() ? numbers : numbers.to(parameters.front().device());
  pass.input.set_requires_grad();
  const GradMode recording(true);
  const PrecisionScope exact(Precision::fp32);
  Trace trace;
  pass.output = model(pass.input);
  pass.operations = std::move(trace.operations);
  return pass;
}

/// Makes the graph of a pass, with another one at hand that tells what depends on the batch.
class Export {
 public:
  Export(Module& model, const Graph::Names& names, const Pass& pass, const Pass& other)
      : model_(model), pass_(pass), other_(other), graph_(names) {
    for (std::size_t i = 0; i < pass.operations.size(); ++i) {
      index_.emplace(pass.operations[i].node.get(), i);
    }
    input_ = {.name = "input",
              .shape = pass.input.shape(),
              .dtype = pass.input.dtype(),
              .channels_first = pass.input.rank() == 4};
    if (pass.output.rank() != other.output.rank()) {
      throw Error("export_onnx: the result has another rank with another batch");
    }
    find_needed();
    for (std::size_t i = 0; i < pass.operations.size(); ++i) {
      values_.push_back(needed_[i] ? add(i) : Value{});
    }
    name_output();
  }

  const Graph& graph() const { return graph_; }
  const Value& input() const { return input_; }
  const Value& output() const { return output_; }

  [[noreturn]] void fail(std::size_t operation, const std::string& what) const {
    const TracedOperation& traced = pass_.operations[operation];
    for (const Module* module : model_.modules()) {
      if (module->path() == traced.module_path) {
        throw Error(
            formatted("export_onnx: {} ({}): {} {}",
                      traced.module_path.empty() ? "the model" : "module " + traced.module_path,
                      module->type_name(), traced.node->name(), what));
      }
    }
    throw Error(formatted("export_onnx: {} {}", traced.node->name(), what));
  }

 private:
  /// What the result depends on: other operations need no counterpart.
  void find_needed() {
    needed_.resize(pass_.operations.size());
    const auto mark = [&](const Node* node) {
      if (const auto found = index_.find(node); found != index_.end()) {
        needed_[found->second] = true;
      }
    };
    mark(pass_.output.grad_node().get());
    for (std::size_t i = needed_.size(); i-- > 0;) {
      for (const TracedOperation::Input& input : pass_.operations[i].inputs) {
        if (needed_[i]) {
          mark(input.made_by.get());
        }
      }
    }
  }

  Value value_of(const TracedOperation::Input& input, std::size_t operation) {
    if (!input.tensor.defined()) {
      return {};
    }
    if (input.made_by != nullptr) {
      return values_.at(index_.at(input.made_by.get()));
    }
    if (is_same(input.tensor, pass_.input)) {
      return input_;
    }
    if (input.tensor.version() != input.version) {
      fail(operation, "reads a tensor that was written to later in the forward pass");
    }
    return graph_.constant(input.tensor);
  }

  Value add(std::size_t index) {
    const TracedOperation& operation = pass_.operations[index];
    graph_.begin_operation(index, operation.module_path);
    const auto inputs = mapped(operation.inputs, [&](const TracedOperation::Input& input) {
      return value_of(input, index);
    });
    try {
      if (auto value =
              onnx::add_operation({graph_, operation, other_.operations[index].shape, inputs})) {
        return *value;
      }
    } catch (const Error& error) {
      fail(index, error.what());
    }
    fail(index, "has no counterpart in ONNX");
  }

  void name_output() {
    const auto made_by = index_.find(pass_.output.grad_node().get());
    if (made_by == index_.end() && !is_same(pass_.output, pass_.input)) {
      throw Error(
          "export_onnx: the result does not depend on the input, or was taken off the tape "
          "(detach(), NoGradGuard)");
    }
    output_ = made_by == index_.end() ? input_ : values_[made_by->second];
    const bool channels_first = output_.shape.rank() == 4;
    std::string name = graph_.operand(output_, channels_first);
    if (name == input_.name) {
      name = graph_.add("Identity", {name});
    }
    graph_.rename(name, "output");
    output_.name = "output";
    output_.channels_first = channels_first;
  }

  Module& model_;
  const Pass& pass_;
  const Pass& other_;
  Graph graph_;
  std::unordered_map<const Node*, std::size_t> index_;
  std::vector<bool> needed_;
  std::vector<Value> values_;  // of the operations
  Value input_;
  Value output_;
};

/// Throws Error if the passes did not do the same.
void require_same_operations(const Pass& a, const Pass& b) {
  const bool same = std::equal(
      a.operations.begin(), a.operations.end(), b.operations.begin(), b.operations.end(),
      [](const TracedOperation& x, const TracedOperation& y) {
        return x.module_path == y.module_path && std::string(x.node->name()) == y.node->name() &&
               x.inputs.size() == y.inputs.size();
      });
  if (!same) {
    throw Error(
        "export_onnx: the forward pass runs other operations for another batch: ONNX keeps one "
        "graph for all");
  }
}

/// A ValueInfoProto. Extents in which two passes differ are free: N in front.
ProtoMessage value_info(const Value& value, const Shape& other) {
  std::vector<int> order = onnx::transposition(value.shape.rank(), true);
  if (!value.channels_first) {
    std::sort(order.begin(), order.end());
  }
  ProtoMessage shape;
  for (const int axis : order) {
    ProtoMessage extent;
    if (value.shape[axis] != other[axis]) {
      extent.text(2, axis == 0 ? "N" : formatted("N{}", axis));
    } else {
      extent.integer(1, value.shape[axis]);
    }
    shape.message(1, extent);
  }
  ProtoMessage tensor;
  tensor.integer(1, onnx::data_type(value.dtype));
  tensor.message(2, shape);
  ProtoMessage type;
  type.message(1, tensor);
  ProtoMessage info;
  info.text(1, value.name);
  info.message(2, type);
  return info;
}

Graph::Names names_of(const Module& model) {
  Graph::Names names;
  for (const NamedTensors& tensors : {model.named_parameters(), model.named_buffers()}) {
    for (const auto& [name, tensor] : tensors) {
      names.emplace(tensor.impl().get(), name);
    }
  }
  return names;
}

}  // namespace

void export_onnx(Module& model, const Shape& input_shape, const std::string& path,
                 const OnnxOptions& options) {
  const Frozen frozen(model);
  const Pass pass = trace(model, input_shape, 2);
  const Pass other = trace(model, input_shape, 3);
  require_same_operations(pass, other);
  const NoGradGuard no_grad;
  const Graph::Names names = names_of(model);
  const Export exported(model, names, pass, other);
  if (const auto difference =
          exported.graph().first_difference(Export(model, names, other, pass).graph())) {
    exported.fail(difference->operation,
                  difference->is_constant
                      ? "reads a tensor that was computed from the input off the tape (a "
                        "comparison, detach(), NoGradGuard, item()) or from the size of the batch: "
                        "ONNX would keep this batch's"
                      : "depends on the size of the batch or on values of the input");
  }

  ProtoMessage graph;
  exported.graph().write(graph);
  graph.text(2, model.type_name());
  graph.message(11, value_info(exported.input(), other.input.shape()));
  graph.message(12, value_info(exported.output(), other.output.shape()));
  ProtoMessage opset;
  opset.text(1, "");
  opset.integer(2, kOpset);
  ProtoMessage file;
  file.integer(1, kIrVersion);
  file.text(2, "CKS");
  file.message(8, opset);
  file.message(7, graph);
  for (const auto& [key, value] : options.metadata) {
    ProtoMessage entry;
    entry.text(1, key);
    entry.text(2, value);
    file.message(14, entry);
  }
  if (file.bytes().size() > std::numeric_limits<std::int32_t>::max()) {
    throw Error(formatted("export_onnx: {} would have {} bytes, but ONNX files end at 2 GiB", path,
                          file.bytes().size()));
  }
  write_file_atomically(path, file.bytes());
}

}  // namespace cks
