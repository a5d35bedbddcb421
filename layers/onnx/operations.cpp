#include <algorithm>
#include <array>
#include <limits>
#include <numbers>
#include <numeric>

#include "cks/core/conv/conv2d.h"
#include "cks/core/ops/pool2d.h"
#include "cks/core/ops/traced_options_impl.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/layers/onnx/graph_impl.h"

// Each operation of ours in ONNX's words, opset 18: https://onnx.ai/onnx/operators/

namespace cks::onnx {
namespace {

using kernels::UnaryOp;

/// What note_options() said. Throws std::bad_any_cast for an operation of somebody else's that has
/// the name of one of ours.
template <class Options>
const Options& options_of(const Call& call) {
  return std::any_cast<const Options&>(call.operation.options);
}

Value result(const Call& call, std::string name, bool channels_first = false) {
  return {.name = std::move(name),
          .shape = call.operation.shape,
          .dtype = call.operation.dtype,
          .channels_first = channels_first};
}

/// The name of an input, in the asked-for order.
std::string operand(const Call& call, std::size_t input, bool channels_first) {
  return call.graph.operand(call.inputs[input], channels_first);
}

/// The operands as they lie.
std::string as_is(const Call& call, const Value& value) {
  return call.graph.operand(value, value.channels_first);
}

/// Of an axis of ours, where the value lies.
std::int64_t axis_in(const Value& value, int axis) {
  if (!value.channels_first || axis == 0) {
    return axis;
  }
  return axis == value.shape.rank() - 1 ? 1 : axis + 1;
}

std::vector<std::int64_t> pair(Size2 size) { return {size.h, size.w}; }
std::vector<std::int64_t> sides(const Padding2d& p) { return {p.top, p.left, p.bottom, p.right}; }

/// An operator of one tensor that leaves each element in its place; `more` follow it.
Value in_place(const Call& call, const char* type, std::vector<std::string> more = {},
               std::vector<ProtoMessage> attributes = {}) {
  more.insert(more.begin(), as_is(call, call.inputs[0]));
  return result(call, call.graph.add(type, std::move(more), std::move(attributes)),
                call.inputs[0].channels_first);
}

Value unary(const Call& call) {
  // In the order of UnaryOp.
  constexpr std::array kTypes{"Neg", "Abs",  "Mul",  "Exp",       "Log",     "Sqrt",
                              "Pow", "Clip", "Relu", "LeakyRelu", "Sigmoid", "Tanh",
                              "Mul", "Add",  "Mul",  "Div",       "Sub",     "Div"};
  const auto& [op, parameters] = options_of<ops::UnaryCall>(call);
  const auto& [a, b] = parameters;
  const char* const type = kTypes.at(static_cast<std::size_t>(op));
  const Value& x = call.inputs[0];
  const auto number = [&](double value) { return call.graph.number(value, x.dtype); };
  switch (op) {
    case UnaryOp::square:
      return in_place(call, type, {as_is(call, x)});
    case UnaryOp::pow:
    case UnaryOp::add_scalar:
    case UnaryOp::mul_scalar:
    case UnaryOp::div_scalar:
      return in_place(call, type, {number(a)});
    case UnaryOp::clamp:
      return in_place(call, type, {number(a), number(b)});
    case UnaryOp::leaky_relu:
      return in_place(call, type, {}, {attribute("alpha", static_cast<float>(a))});
    case UnaryOp::gelu: {
      // Gelu is an operator from opset 20 on. Written in PyTorch's order, which runtimes recognise.
      Graph& graph = call.graph;
      const std::string erf =
          graph.add("Erf", {graph.add("Div", {as_is(call, x), number(std::numbers::sqrt2)})});
      const std::string twice =
          graph.add("Mul", {as_is(call, x), graph.add("Add", {erf, number(1.0)})});
      return result(call, graph.add(type, {twice, number(0.5)}), x.channels_first);
    }
    case UnaryOp::subtract_from:
    case UnaryOp::divide_into:
      return result(call, call.graph.add(type, {number(a), as_is(call, x)}), x.channels_first);
    default:
      return in_place(call, type);
  }
}

/// Operands that broadcast: all with their channels in the second place if one lies so, has the
/// result's rank and is computed.
std::vector<std::string> aligned(const Call& call, bool& channels_first) {
  const int rank = call.operation.shape.rank();
  channels_first = any_of(call.inputs, [&](const Value& value) {
    return value.channels_first && value.shape.rank() == rank;
  });
  std::vector<std::string> names;
  for (Value value : call.inputs) {
    const int own_rank = value.shape.rank();
    if (channels_first && own_rank > 0 &&
        own_rank < rank) {  // stretched in front, as broadcasting does
      std::vector<std::int64_t> extents(static_cast<std::size_t>(rank - own_rank), 1);
      extents.insert(extents.end(), value.shape.begin(), value.shape.end());
      if (value.constant.defined()) {
        value = call.graph.constant(value.constant.reshape(extents));
      } else {
        std::vector<std::int64_t> axes(static_cast<std::size_t>(rank - own_rank));
        std::iota(axes.begin(), axes.end(), 0);
        value.name = call.graph.add("Unsqueeze",
                                    {call.graph.operand(value, false), call.graph.integers(axes)});
        value.channels_first = false;
        value.shape = Shape(extents);
      }
    }
    names.push_back(call.graph.operand(value, channels_first));
  }
  return names;
}

Value binary(const Call& call, const char* type) {
  options_of<kernels::BinaryOp>(call);
  bool channels_first = false;
  const std::vector<std::string> operands = aligned(call, channels_first);
  return result(call, call.graph.add(type, operands), channels_first);
}

Value where(const Call& call) {
  constexpr std::int64_t kBool = 9;
  bool channels_first = false;
  std::vector<std::string> operands = aligned(call, channels_first);
  operands[0] = call.graph.add("Cast", {operands[0]}, {attribute("to", kBool)});
  return result(call, call.graph.add("Where", operands), channels_first);
}

/// `name` behind the activation that was part of the operation.
std::string activated(const Call& call, const std::string& name, double negative_slope) {
  if (negative_slope == 1.0) {
    return name;
  }
  return negative_slope == 0.0
             ? call.graph.add("Relu", {name})
             : call.graph.add("LeakyRelu", {name},
                              {attribute("alpha", static_cast<float>(negative_slope))});
}

/// Input, weight and, if there is one, bias.
std::vector<std::string> weighted_operands(const Call& call, bool channels_first) {
  std::vector<std::string> names{operand(call, 0, channels_first),
                                 operand(call, 1, channels_first)};
  if (!call.inputs[2].name.empty()) {
    names.push_back(operand(call, 2, false));
  }
  return names;
}

Value convolution(const Call& call, const char* type, bool transposed) {
  const auto& options = options_of<ConvTranspose2dOptions>(call);
  std::vector<std::string> operands = weighted_operands(call, true);
  const Shape& weight = call.inputs[1].shape;
  std::vector<ProtoMessage> attributes{
      attribute("kernel_shape", {weight[1], weight[2]}), attribute("strides", pair(options.stride)),
      attribute("pads", sides(options.padding)), attribute("dilations", pair(options.dilation)),
      attribute("group", options.groups)};
  if (transposed) {
    attributes.push_back(attribute("output_padding", pair(options.output_padding)));
  }
  const std::string name = call.graph.add(type, std::move(operands), std::move(attributes));
  return result(call, activated(call, name, options.negative_slope), true);
}

template <class Options>
Value pooling(const Call& call, const char* type) {
  const auto& options = options_of<Options>(call);
  std::vector<ProtoMessage> attributes;
  if constexpr (requires { options.dilation; }) {
    attributes.push_back(attribute("dilations", pair(options.dilation)));
  } else {
    attributes.push_back(attribute("count_include_pad", std::int64_t{options.count_include_pad}));
  }
  attributes.push_back(attribute("kernel_shape", pair(options.kernel_size)));
  attributes.push_back(attribute(
      "strides", pair(options.stride == Size2(0) ? options.kernel_size : options.stride)));
  attributes.push_back(attribute("pads", sides(options.padding)));
  attributes.push_back(attribute("ceil_mode", std::int64_t{options.ceil_mode}));
  return result(call, call.graph.add(type, {operand(call, 0, true)}, std::move(attributes)), true);
}

Value global_pooling(const Call& call) {
  options_of<ops::NoOptions>(call);
  return result(call, call.graph.add("GlobalAveragePool", {operand(call, 0, true)}), true);
}

Value batch_norm(const Call& call) {
  const auto& options = options_of<ops::NormCall>(call);
  if (options.training) {
    throw Error(
        "normalises with the batch's statistics even in evaluation mode, which ONNX cannot say");
  }
  const bool channels_first = call.inputs[0].shape.rank() > 2;
  std::vector<std::string> operands{operand(call, 0, channels_first)};
  const Tensor& mean = options.running_mean;
  const auto add_constant = [&](const Tensor& tensor) {
    operands.push_back(call.graph.operand(call.graph.constant(tensor), false));
  };
  for (const std::size_t i : {1, 2}) {
    if (call.inputs[i].name.empty()) {
      add_constant(Tensor::full(mean.shape(), i == 1 ? 1.0 : 0.0, mean.dtype()));
    } else {
      operands.push_back(operand(call, i, false));
    }
  }
  add_constant(mean);
  add_constant(options.running_var);
  std::string name = call.graph.add("BatchNormalization", std::move(operands),
                                    {attribute("epsilon", static_cast<float>(options.eps))});
  if (!call.inputs[3].name.empty()) {
    name = call.graph.add("Add", {name, operand(call, 3, channels_first)});
  }
  return result(call, activated(call, name, options.slope), channels_first);
}

/// x W^T + bias; other ranks than 2 come as a reshape, this and another one.
Value linear(const Call& call) {
  const std::string name = call.graph.add("Gemm", weighted_operands(call, false),
                                          {attribute("transB", std::int64_t{1})});
  return result(call, activated(call, name, options_of<ops::ActivationCall>(call).slope));
}

Value matmul(const Call& call) {
  options_of<ops::NoOptions>(call);
  return result(call, call.graph.add("MatMul", {operand(call, 0, false), operand(call, 1, false)}));
}

Value softmax(const Call& call, const char* type) {
  return in_place(
      call, type, {},
      {attribute("axis", axis_in(call.inputs[0], options_of<ops::AlongAxis>(call).axis))});
}

/// What is left of the axes must stand in our order, or in ONNX's.
Value reduction(const Call& call, const char* type) {
  const auto& [axes, keepdim] = options_of<ops::Reduction>(call);
  Value x = call.inputs[0];
  const int last = x.shape.rank() - 1;
  const auto goes = [&, &axes = axes](int axis) { return contains(axes, axis); };
  bool stays_first = keepdim;
  if (x.channels_first && !keepdim) {
    const bool channels_stay = !goes(last);
    const auto inner_left =
        last - 1 - static_cast<int>(std::count_if(axes.begin(), axes.end(), [&](int axis) {
          return axis > 0 && axis < last;
        }));
    stays_first = channels_stay && inner_left > 0;
    if (stays_first && goes(0)) {  // [H,W,C] would become [C,H,W]
      x.name = call.graph.operand(x, false);
      x.channels_first = stays_first = false;
    }
  }
  const auto places = mapped(axes, [&](int axis) { return axis_in(x, axis); });
  return result(call,
                call.graph.add(type, {as_is(call, x), call.graph.integers(places)},
                               {attribute("keepdims", std::int64_t{keepdim}),
                                attribute("noop_with_empty_axes", std::int64_t{1})}),
                x.channels_first && stays_first);
}

/// The extent that follows the batch is left to ONNX.
Value reshape(const Call& call) {
  options_of<ops::NoOptions>(call);
  const Shape& shape = call.operation.shape;
  std::vector<std::int64_t> extents = shape.to_vector();
  if (call.other_shape.rank() != shape.rank()) {
    throw Error("has another rank with another batch");
  }
  int free = 0;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] != call.other_shape[axis]) {
      extents[static_cast<std::size_t>(axis)] = -1;
      ++free;
    }
  }
  if (free > 1) {
    throw Error("has more than one extent that depends on the size of the batch");
  }
  return result(call,
                call.graph.add("Reshape", {operand(call, 0, false), call.graph.integers(extents)}));
}

Value permutation(const Call& call) {
  const Value& x = call.inputs[0];
  const auto order =
      mapped(options_of<ops::Permutation>(call).order, [&](int axis) { return axis_in(x, axis); });
  if (std::is_sorted(order.begin(), order.end())) {  // flatten_chw of images: they lie so already
    return result(call, as_is(call, x));
  }
  return result(call, call.graph.add("Transpose", {as_is(call, x)}, {attribute("perm", order)}));
}

Value slice(const Call& call) {
  const auto& range = options_of<ops::Range>(call);
  const Value& x = call.inputs[0];
  const bool to_end = range.end == x.shape[range.axis];
  const auto one = [&](std::int64_t number) { return call.graph.integers({number}); };
  return in_place(
      call, "Slice",
      {one(range.begin), one(to_end ? std::numeric_limits<std::int64_t>::max() : range.end),
       one(axis_in(x, range.axis)), one(range.step)});
}

Value padding(const Call& call) {
  const auto& [amounts, value] = options_of<ops::Surrounding>(call);
  const Value& x = call.inputs[0];
  const std::size_t rank = amounts.size();
  std::vector<std::int64_t> pads(2 * rank);
  for (std::size_t axis = 0; axis < rank; ++axis) {
    const auto place = static_cast<std::size_t>(axis_in(x, static_cast<int>(axis)));
    pads[place] = amounts[axis].before;
    pads[rank + place] = amounts[axis].after;
  }
  return in_place(call, "Pad", {call.graph.integers(pads), call.graph.number(value, x.dtype)});
}

Value concatenation(const Call& call) {
  const int axis = options_of<ops::AlongAxis>(call).axis;
  Value sum = result(call, {},
                     any_of(call.inputs, [](const Value& value) { return value.channels_first; }));
  auto operands = mapped(call.inputs, [&](const Value& value) {
    return call.graph.operand(value, sum.channels_first);
  });
  sum.name = call.graph.add("Concat", std::move(operands), {attribute("axis", axis_in(sum, axis))});
  return sum;
}

Value enlargement(const Call& call) {
  const auto scale = static_cast<float>(options_of<ops::Enlargement>(call).scale);
  const Tensor scales = Tensor::from_vector<float>({1.0F, 1.0F, scale, scale}, {4});
  return result(call,
                call.graph.add("Resize",
                               {operand(call, 0, true), "",
                                call.graph.operand(call.graph.constant(scales), false)},
                               {attribute("mode", "nearest"), attribute("nearest_mode", "floor"),
                                attribute("coordinate_transformation_mode", "asymmetric")}),
                true);
}

Value resampling(const Call& call) {
  const auto& options = options_of<ops::Resampling>(call);
  return result(
      call,
      call.graph.add("Resize",
                     {operand(call, 0, true), "", "", call.graph.integers(pair(options.size))},
                     {attribute("mode", "linear"), attribute("axes", {2, 3}),
                      attribute("coordinate_transformation_mode",
                                options.align_corners ? "align_corners" : "half_pixel")}),
      true);
}

Value copy(const Call& call) {
  options_of<ops::NoOptions>(call);
  return in_place(call, "Cast", {}, {attribute("to", data_type(call.operation.dtype))});
}

using Add = Value (*)(const Call&);

const std::map<std::string, Add>& table() {
  static const std::map<std::string, Add> all{
      {"add", [](const Call& call) { return binary(call, "Add"); }},
      {"sub", [](const Call& call) { return binary(call, "Sub"); }},
      {"mul", [](const Call& call) { return binary(call, "Mul"); }},
      {"div", [](const Call& call) { return binary(call, "Div"); }},
      {"maximum", [](const Call& call) { return binary(call, "Max"); }},
      {"minimum", [](const Call& call) { return binary(call, "Min"); }},
      {"where", where},
      {"conv2d", [](const Call& call) { return convolution(call, "Conv", false); }},
      {"conv_transpose2d",
       [](const Call& call) { return convolution(call, "ConvTranspose", true); }},
      {"max_pool2d", [](const Call& call) { return pooling<MaxPool2dOptions>(call, "MaxPool"); }},
      {"avg_pool2d",
       [](const Call& call) { return pooling<AvgPool2dOptions>(call, "AveragePool"); }},
      {"global_avg_pool2d", global_pooling},
      {"batch_norm2d", batch_norm},
      {"linear", linear},
      {"matmul", matmul},
      {"softmax", [](const Call& call) { return softmax(call, "Softmax"); }},
      {"log_softmax", [](const Call& call) { return softmax(call, "LogSoftmax"); }},
      {"sum", [](const Call& call) { return reduction(call, "ReduceSum"); }},
      {"mean", [](const Call& call) { return reduction(call, "ReduceMean"); }},
      {"max", [](const Call& call) { return reduction(call, "ReduceMax"); }},
      {"reshape", reshape},
      {"permute", permutation},
      {"slice", slice},
      {"pad", padding},
      {"concat", concatenation},
      {"upsample_nearest", enlargement},
      {"upsample_bilinear", resampling},
      {"clone", copy},
      {"to", copy}};
  return all;
}

}  // namespace

std::optional<Value> add_operation(const Call& call) {
  if (std::any_cast<ops::UnaryCall>(&call.operation.options) != nullptr) {
    return unary(call);
  }
  const auto found = table().find(call.operation.node->name());
  try {
    return found == table().end() ? std::nullopt : std::optional(found->second(call));
  } catch (const std::bad_any_cast&) {
    return std::nullopt;
  }
}

}  // namespace cks::onnx
