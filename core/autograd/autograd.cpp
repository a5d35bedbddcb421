#include "cks/core/autograd/autograd.h"

#include "cks/core/autograd/trace_impl.h"
#include "cks/core/profile/module_path.h"
#include "cks/core/tensor/tensor_impl.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"

namespace cks {
namespace {

thread_local Precision thread_precision = Precision::fp32;
thread_local Trace* current_trace = nullptr;

}  // namespace

Precision current_precision() { return thread_precision; }

PrecisionScope::PrecisionScope(Precision precision) : ScopedValue(thread_precision, precision) {}

// --- Trace --------------------------------------------------------------------------------------

Trace::Trace() : ScopedValue(current_trace, this) {}

Trace* Trace::current() { return current_trace; }

// --- SavedTensor --------------------------------------------------------------------------------

SavedTensor::SavedTensor(Node* owner) : owner_(owner) { owner->saved_.push_back(this); }

void SavedTensor::save(const Tensor& tensor) {
  // Off the tape: a node that saves its own result would otherwise keep itself alive.
  tensor_ = tensor.defined() ? tensor.detach() : Tensor();
  version_ = tensor.defined() ? tensor.version() : 0;
}

const Tensor& SavedTensor::get() const {
  if (released_) {
    throw AutogradError(
        formatted("{}: the saved tensors were freed by an earlier backward()", owner_->name()));
  }
  if (tensor_.defined() && tensor_.version() != version_) {
    throw AutogradError(
        formatted("{}: a tensor of shape {} that backward needs was written to {} time(s) since "
                  "the forward pass",
                  owner_->name(), tensor_.shape(), tensor_.version() - version_));
  }
  return tensor_;
}

void SavedTensor::release() {
  tensor_ = {};
  released_ = true;
}

SavedTensors::SavedTensors(Node* owner, std::span<const Tensor> tensors) {
  for (const Tensor& tensor : tensors) {
    all_.push_back(std::make_unique<SavedTensor>(owner));
    all_.back()->save(tensor);
  }
}

// --- Node ---------------------------------------------------------------------------------------

Node::~Node() {
  // A chain of nodes would destroy itself recursively, one stack frame a node. The outermost
  // destructor of a thread instead collects what the others let go of.
  thread_local std::vector<std::shared_ptr<Node>>* orphans = nullptr;
  const auto take_inputs = [](std::vector<Edge>& edges, std::vector<std::shared_ptr<Node>>& to) {
    for (Edge& edge : edges) {
      if (edge.node != nullptr) {
        to.push_back(std::move(edge.node));
      }
    }
  };
  if (orphans != nullptr) {
    take_inputs(edges_, *orphans);
    return;
  }
  std::vector<std::shared_ptr<Node>> pending;
  take_inputs(edges_, pending);
  orphans = &pending;
  while (!pending.empty()) {
    const std::shared_ptr<Node> node = std::move(pending.back());
    pending.pop_back();
  }
  orphans = nullptr;
}

std::string Node::at_module() const {
  return module_path_.empty() ? "" : " (forward pass in module " + module_path_ + ")";
}

void Node::release() {
  for (SavedTensor* saved : saved_) {
    saved->release();
  }
  edges_.clear();
  work_ = {};
  released_ = true;
}

bool needs_recording(std::span<const Tensor> inputs) {
  const auto is_wanted = [](const Tensor& input) {
    return input.defined() && input.requires_grad();
  };
  if (grad_enabled() && any_of(inputs, is_wanted)) {
    return true;
  }
  if (current_trace != nullptr) {
    current_trace->options.reset();  // they are not those of the next operation
  }
  return false;
}

Tensor record_node(Tensor result, std::shared_ptr<Node> node, std::span<const Tensor> inputs) {
  if (node == nullptr) {
    throw AutogradError("record_node: node is null");
  }
  const std::string name = node->name();
  if (!result.defined() || result.requires_grad()) {
    throw AutogradError(formatted("{}: the result to record is {}, expected a fresh tensor", name,
                                  result.defined() ? "on the tape already" : "undefined"));
  }
  if (!is_floating(result.dtype())) {
    throw DtypeError(
        formatted("{}: a result of dtype {} has no gradient, expected a floating dtype", name,
                  result.dtype()));
  }
  if (!node->edges_.empty() || node->released_) {
    throw AutogradError(formatted("{}: the node has been recorded before", name));
  }
  std::vector<Node::Edge> edges;
  edges.reserve(inputs.size());
  for (const Tensor& input : inputs) {
    Node::Edge& edge = edges.emplace_back();
    if (!input.defined()) {
      continue;
    }
    if (is_same(input, result)) {
      throw AutogradError(formatted("{}: the result to record is one of the inputs", name));
    }
    edge.shape = input.shape();
    edge.dtype = input.dtype();
    edge.device = input.device();
    if (input.grad_node() != nullptr) {
      edge.node = input.grad_node();
    } else if (input.requires_grad()) {
      edge.leaf = input.impl();
    }
  }
  node->edges_ = std::move(edges);
  node->precision_ = current_precision();
  node->module_path_ = current_module_path();
  if (current_trace != nullptr) {
    auto traced = mapped(inputs, [](const Tensor& input) {
      return input.defined() ? TracedOperation::Input{input, input.grad_node(), input.version()}
                             : TracedOperation::Input{};
    });
    current_trace->operations.push_back({node, node->module_path_, std::move(traced),
                                         result.shape(), result.dtype(),
                                         std::exchange(current_trace->options, {})});
  }
  result.impl()->node = std::move(node);
  return result;
}

}  // namespace cks
