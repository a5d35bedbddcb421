#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cks/core/autograd/trace_impl.h"
#include "cks/core/io/protobuf_impl.h"

/// An ONNX graph, as it is made from the trace of a forward pass.
namespace cks::onnx {

/// A value of the traced pass, and where it is in the graph. Images of ours lie as [N,H,W,C], those
/// of ONNX as [N,C,H,W]; a value is transposed only where an operation needs the other order.
struct Value {
  std::string name{};
  Shape shape{};  // as traced: our order of axes
  DType dtype = DType::float32;
  bool channels_first = false;  // lies as [N,C,...]; of rank 3 and more
  Tensor constant{};            // its elements, unless they are computed
};

/// The axes of [N,...,C] in the order of [N,C,...] or, if not `channels_first`, the way back; below
/// rank 3 as they are.
std::vector<int> transposition(int rank, bool channels_first);

/// TensorProto.DataType.
std::int64_t data_type(DType dtype);

/// An AttributeProto.
ProtoMessage attribute(const char* name, std::int64_t value);
ProtoMessage attribute(const char* name, float value);
ProtoMessage attribute(const char* name, const char* value);
ProtoMessage attribute(const char* name, const std::vector<std::int64_t>& values);

struct Operator {
  std::string type;
  std::vector<std::string> inputs;
  std::string output;
  std::vector<ProtoMessage> attributes;
  std::size_t operation = 0;  // of the trace
};

class Graph {
 public:
  using Names = std::unordered_map<const TensorImpl*, std::string>;

  /// Of parameters and buffers.
  explicit Graph(const Names& names);

  /// Where the operators and constants that follow come from: for names, and for messages.
  void begin_operation(std::size_t index, const std::string& module_path);

  Value constant(const Tensor& tensor);
  /// Numbers that an operator takes as an input: axes, extents.
  std::string integers(const std::vector<std::int64_t>& values);
  std::string number(double value, DType dtype);
  /// The name of a value as an operator reads it: in the asked-for order, if its rank is 3 or more.
  std::string operand(const Value& value, bool channels_first);
  /// A new operator; the name of its result.
  std::string add(const char* type, std::vector<std::string> inputs,
                  std::vector<ProtoMessage> attributes = {});
  /// The result gets this name wherever it stands.
  void rename(const std::string& from, const std::string& to);

  /// Where this graph and one of the same operations on another batch first differ.
  struct Difference {
    std::size_t operation;  // of the trace
    bool is_constant;       // in a constant that it reads, rather than in its options
  };
  std::optional<Difference> first_difference(const Graph& other) const;

  /// Adds operators and constants to a GraphProto.
  void write(ProtoMessage& graph) const;

 private:
  struct Initializer {
    Tensor tensor;
    std::size_t operation;
    bool is_option;  // rather than a tensor of the pass
  };

  std::string unique(const std::string& name);
  std::string add_initializer(const std::string& name, const Tensor& tensor,
                              bool is_option = false);

  Names names_;
  std::vector<Tensor> constants_;  // alive, so that no other tensor takes the address of one
  std::vector<Operator> nodes_;
  std::vector<std::pair<std::string, Initializer>> initializers_;
  std::map<std::string, int> used_names_;
  std::map<std::string, std::string> converted_;  // values in the other order
  std::size_t operation_ = 0;
  std::string module_path_;
};

/// An operation of the trace on its way into the graph.
struct Call {
  Graph& graph;
  const TracedOperation& operation;
  const Shape& other_shape;  // of the result in a trace with another batch
  std::vector<Value> inputs;
};

/// Where the result of an operation is; nullopt if ONNX has nothing like it. Throws Error, a
/// sentence that follows on the operation's name, for options that it cannot have.
std::optional<Value> add_operation(const Call& call);

}  // namespace cks::onnx
