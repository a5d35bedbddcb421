#pragma once
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "cks/core/scoped_value.h"
#include "cks/core/tensor/grad_mode.h"  // IWYU pragma: export
#include "cks/core/tensor/tensor.h"

namespace cks {

/// A tensor that backward will read. Registers with its node, remembers the version of the elements
/// and keeps them alive until backward has run.
class SavedTensor {
 public:
  explicit SavedTensor(Node* owner);
  SavedTensor(const SavedTensor&) = delete;
  SavedTensor& operator=(const SavedTensor&) = delete;

  void save(const Tensor& tensor);  // once, in the forward pass; an undefined one is allowed
  bool defined() const { return tensor_.defined(); }
  /// The elements, off the tape. Throws AutogradError, naming the operation, if they were written
  /// to since save(), or if backward has already run and freed them.
  const Tensor& get() const;
  void release();

 private:
  const Node* owner_;
  Tensor tensor_;
  std::uint64_t version_ = 0;
  bool released_ = false;
};

/// What a node can do, or leave to others, in the passes over memory that its gradients take
/// anyway. The engine makes use of it on GPUs, where such a pass costs time.
struct NodeAbilities {
  int added_terms = 1;        // of the gradient of its result, which it adds up itself
  int masked_inputs = 0;      // masks the gradients of so many first inputs by these
  double result_slope = 1.0;  // of the activation that ends its operation; 1: none
};
/// Which of that is asked for in a call of backward().
struct GradientWork {
  std::vector<Tensor> terms{};  // to be added to grad_output, in order
  /// Of the gradients of the masked inputs, where these are not above 0; 1: not masked.
  std::vector<double> input_slopes{};
  bool is_masked = false;  // grad_output went through the activation already
  /// Whether what makes the gradients of inputs other than the first may go on running beside what
  /// follows (core/capture/branches_impl.h): nobody reads them before that is waited for.
  bool may_run_on = false;

  /// Of input i; 1 where none is asked for.
  double input_slope(std::size_t i) const {
    return i < input_slopes.size() ? input_slopes[i] : 1.0;
  }
};

/// One recorded operation: knows how to turn the gradient of its result into those of its inputs.
///
/// A user's own operation derives from it, keeps what it needs in SavedTensor members, and calls
/// record() at the end of its forward function:
///
///   struct SquareBackward : Node {
///     SavedTensor input{this};
///     const char* name() const override { return "square"; }
///     std::vector<Tensor> backward(const Tensor& grad_output, const std::vector<bool>&) override {
///       return {grad_output * input.get() * 2.0};
///     }
///   };
///   Tensor square(const Tensor& input) {
///     return record<SquareBackward>(input.detach() * input.detach(), {input},
///                                   [&](SquareBackward& node) { node.input.save(input); });
///   }
class Node : public std::enable_shared_from_this<Node> {
 public:
  Node() = default;
  virtual ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  /// Name of the operation, for messages.
  virtual const char* name() const = 0;
  /// Gradients of the inputs in the order given to record(). needed[i] is false where nobody asks
  /// for input i's: return an undefined tensor there and save the work. Runs with grad mode off.
  /// The engine checks shapes and dtypes, and sums gradients unless a node says that it does; a
  /// node always makes new ones.
  virtual std::vector<Tensor> backward(const Tensor& grad_output,
                                       const std::vector<bool>& needed) = 0;
  /// To be called at most once, right after record(): what reads the result may ask.
  void declare(const NodeAbilities& abilities) { abilities_ = abilities; }
  /// Of the activation that ends the operation; 1: none.
  double result_slope() const { return abilities_.result_slope; }

 protected:
  /// For backward(): what the engine asks for beyond it.
  const GradientWork& work() const { return work_; }

 private:
  friend class SavedTensor;
  friend class Engine;
  friend Tensor record_node(Tensor result, std::shared_ptr<Node> node,
                            std::span<const Tensor> inputs);

  struct Edge {
    std::shared_ptr<Node> node;        // the operation that made the input, or
    std::shared_ptr<TensorImpl> leaf;  // the leaf that collects the gradient; neither: not needed
    Shape shape;
    DType dtype = DType::float32;
    Device device;
  };
  void release();                 // drops saved tensors and edges
  std::string at_module() const;  // for messages

  std::vector<Edge> edges_;
  std::vector<SavedTensor*> saved_;
  // Of the forward pass; restored for backward.
  Precision precision_ = Precision::fp32;
  std::string module_path_;
  NodeAbilities abilities_;
  GradientWork work_;
  bool released_ = false;  // backward has run, or was stopped by an exception
};

/// True if grad mode is on and one of the tensors requires a gradient.
bool needs_recording(std::span<const Tensor> inputs);

/// Puts `result` on the tape as made by `node` from `inputs` (undefined inputs are allowed and
/// never need a gradient). `result` must be a fresh tensor off the tape.
Tensor record_node(Tensor result, std::shared_ptr<Node> node, std::span<const Tensor> inputs);

/// Makes the node only if it is needed: `save` fills its members.
template <class NodeType, class Save>
Tensor record(Tensor result, std::initializer_list<Tensor> inputs, Save&& save) {
  const std::span<const Tensor> span(inputs.begin(), inputs.size());
  if (!needs_recording(span)) {
    return result;
  }
  auto node = std::make_shared<NodeType>();
  save(*node);
  return record_node(std::move(result), std::move(node), span);
}

/// Tensors of the forward pass that a function reads in backward, in record()'s order.
class SavedTensors {
 public:
  SavedTensors(Node* owner, std::span<const Tensor> tensors);
  /// As SavedTensor::get; undefined if an undefined tensor was saved.
  const Tensor& operator[](std::size_t i) const { return all_[i]->get(); }

 private:
  std::vector<std::unique_ptr<SavedTensor>> all_;
};

/// A node of one function.
template <class Backward>
class FunctionNode : public Node {
 public:
  FunctionNode(const char* name, std::span<const Tensor> saved, Backward backward)
      : name_(name), saved_(this, saved), backward_(std::move(backward)) {}

  const char* name() const override { return name_; }
  std::vector<Tensor> backward(const Tensor& grad_output,
                               const std::vector<bool>& needed) override {
    const auto call = [&] {
      if constexpr (std::is_invocable_v<Backward, const Tensor&, const GradientWork&,
                                        const std::vector<bool>&, const SavedTensors&>) {
        return backward_(grad_output, work(), needed, saved_);
      } else if constexpr (std::is_invocable_v<Backward, const Tensor&>) {
        return backward_(grad_output);
      } else if constexpr (std::is_invocable_v<Backward, const Tensor&, const SavedTensors&>) {
        return backward_(grad_output, saved_);
      } else if constexpr (std::is_invocable_v<Backward, const Tensor&, const std::vector<bool>&>) {
        return backward_(grad_output, needed);
      } else {
        return backward_(grad_output, needed, saved_);
      }
    };
    return {call()};
  }

 private:
  const char* name_;  // outlives the node
  SavedTensors saved_;
  Backward backward_;
};

/// The same without a struct: `backward` is a function of grad_output, of its work() where it
/// declares abilities, then of `needed` and of the saved tensors where it takes them, and returns
/// the only input's gradient or all of them. What it captures are extents and options, never
/// tensors, whose changes nobody would notice: those are `saved`.
///
///   return record("scale", result, {input}, {factor},
///                 [](const Tensor& grad, const SavedTensors& saved) { return grad * saved[0]; });
template <class Backward>
Tensor record(const char* name, Tensor result, std::span<const Tensor> inputs,
              std::span<const Tensor> saved, Backward backward) {
  if (!needs_recording(inputs)) {
    return result;
  }
  return record_node(std::move(result),
                     std::make_shared<FunctionNode<Backward>>(name, saved, std::move(backward)),
                     inputs);
}
/// The same for tensors that are listed in the call.
template <class Backward>
Tensor record(const char* name, Tensor result, std::initializer_list<Tensor> inputs,
              std::initializer_list<Tensor> saved, Backward backward) {
  return record(name, std::move(result), std::span(inputs.begin(), inputs.size()),
                std::span(saved.begin(), saved.size()), std::move(backward));
}
/// The same for a backward pass that needs no saved tensors.
template <class Backward>
Tensor record(const char* name, Tensor result, std::initializer_list<Tensor> inputs,
              Backward backward) {
  return record(name, std::move(result), inputs, {}, std::move(backward));
}

/// Mode in which operations of this thread multiply, until the end of the scope. A node remembers
/// the mode of its forward pass for backward.
///
///   fp32   strictly
///   tf32   factors of float32 have 10 bits behind the point; where GPUs multiply them as float16
///          times a power of two (kernels/halves/halves.h), those below 2^-22 of the largest fewer
///   bf16   conv2d, conv_transpose2d, linear and matmul round operands of float32 to bfloat16, add
///          up in float32 and return bfloat16; gradients of weights of float32 are not rounded
///
/// Every operation takes bfloat16; those that have no kernels for it compute in float32 and round
/// what they return. Losses, statistics and the optimisers' state are float32. float64 stays.
/// Operations that multiply throw DeviceError where the device lacks the mode (precisions_of).
class PrecisionScope : ScopedValue<Precision> {
 public:
  explicit PrecisionScope(Precision precision);
};
Precision current_precision();  // of this thread; fp32 unless a scope says otherwise

/// Is told, while backward() of its thread runs, of each leaf's gradient when no more terms of it
/// come, in an order that follows from the graph alone; in a captured step some operations later.
class GradientListener {
 public:
  virtual ~GradientListener() = default;
  /// What this backward() brings to the leaf. May be written to in place; the leaf gets it at the
  /// end, added to a gradient that it has already.
  virtual void on_gradient(const Tensor& leaf, Tensor& gradient) = 0;
  /// All have come. Handles to them must be let go of here.
  virtual void on_end() = 0;
};

/// Makes `listener` this thread's, until the end of the scope; null: nobody listens.
class GradientListenerScope : ScopedValue<GradientListener*> {
 public:
  explicit GradientListenerScope(GradientListener* listener);
};

/// Gradients of `output` (one element unless grad_output is given) with respect to `inputs`,
/// without touching any .grad. Inputs that `output` does not depend on get undefined tensors. Frees
/// the tape, like Tensor::backward.
std::vector<Tensor> gradients(const Tensor& output, std::span<const Tensor> inputs,
                              const Tensor& grad_output = {});

}  // namespace cks
