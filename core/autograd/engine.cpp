#include <algorithm>
#include <deque>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "cks/core/autograd/autograd.h"
#include "cks/core/capture/branches_impl.h"
#include "cks/core/device/capture_rules.h"
#include "cks/core/device/dispatch.h"
#include "cks/core/distributed/batch_part.h"
#include "cks/core/profile/module_path.h"
#include "cks/core/tensor/check.h"
#include "cks/core/tensor/tensor_impl.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/kernels/elementwise/elementwise.h"

namespace cks {
namespace {

thread_local GradientListener* current_listener = nullptr;

}  // namespace

GradientListenerScope::GradientListenerScope(GradientListener* listener)
    : ScopedValue(current_listener, listener) {}

/// One walk of a tape, from a tensor backward.
class Engine {
 public:
  /// Gradients of the inputs alone if there are any, of all leaves otherwise.
  Engine(const Tensor& output, std::span<const Tensor> inputs) : output_(output) {
    for (const Tensor& input : inputs) {
      if (input.grad_node() != nullptr) {
        wanted_nodes_.emplace(input.grad_node().get(), Tensor());
      } else {
        wanted_leaves_.insert(input.impl().get());
      }
    }
    all_leaves_ = inputs.empty();
    listener_ = all_leaves_ ? current_listener : nullptr;
  }

  void run(const Tensor& grad_output) {
    if (output_.is_leaf()) {
      leaf_index_.emplace(output_.impl().get(), 0);
      leaves_.push_back({output_.impl(), grad_output});
      return;
    }
    discover();
    try {
      walk(grad_output);
      if (listener_ != nullptr) {
        listener_->on_end();
      }
    } catch (...) {
      free_graph();  // part of it is gone: a second backward says so
      throw;
    }
    free_graph();
  }

  /// Adds the gradients to those of the leaves. Everything that can fail comes before the first
  /// leaf changes.
  void store_leaf_gradients() {
    for (LeafGradient& entry : leaves_) {
      Tensor& gradient = entry.gradient;
      const TensorImpl& leaf = *entry.leaf;
      require_matches(gradient, leaf.shape, leaf.dtype, leaf.storage->device(), [] {
        return std::string("backward: a leaf changed since the forward pass; its gradient");
      });
      if (leaf.gradient == nullptr) {
        own(gradient);
      } else if (!capture::active()) {
        add(gradient, Tensor(leaf.gradient));
      }
    }
    for (LeafGradient& entry : leaves_) {
      if (entry.leaf->gradient == nullptr || !capture::active()) {
        entry.leaf->gradient = entry.gradient.impl();
        continue;
      }
      // Where a repetition of a captured step finds the sum again.
      Tensor sum(entry.leaf->gradient);
      accumulate(entry.gradient, sum);
      sum.bump_version();
    }
  }

  Tensor gradient_of(const Tensor& input) {
    if (input.grad_node() != nullptr) {
      return wanted_nodes_.at(input.grad_node().get());
    }
    const auto found = leaf_index_.find(input.impl().get());
    return found == leaf_index_.end() ? Tensor() : leaves_[found->second].gradient;
  }

 private:
  struct Visit {
    std::shared_ptr<Node> node;
    std::int64_t consumers = 0;  // wanted edges that lead here and have not brought their gradient
    bool wanted = false;         // leads to something whose gradient is asked for
    Tensor gradient;             // of the node's result, as far as it has come
    GradientWork work{};         // that is left to the node
  };
  struct Untold {
    std::size_t leaf;       // in leaves_
    std::uint64_t made_by;  // branches whose join is postponed
  };
  struct LeafGradient {
    std::shared_ptr<TensorImpl> leaf;
    Tensor gradient;
  };

  /// Finds all nodes, inputs before their consumers, and counts the consumers.
  void discover() {
    struct Frame {
      Node* node;
      std::size_t next_edge;
    };
    std::vector<Frame> stack;
    const auto enter = [&](Node* node) {
      if (node->released_) {
        throw AutogradError(formatted(
            "backward: the graph was freed by an earlier backward() and is needed again by {}{}",
            node->name(), node->at_module()));
      }
      index_.emplace(node, kOpen);
      stack.push_back({node, 0});
    };
    enter(output_.grad_node().get());
    while (!stack.empty()) {
      Frame& frame = stack.back();
      if (frame.next_edge < frame.node->edges_.size()) {
        const Node::Edge& edge = frame.node->edges_[frame.next_edge++];
        if (edge.node != nullptr && !index_.contains(edge.node.get())) {
          enter(edge.node.get());
        }
        continue;
      }
      finish(frame.node);
      stack.pop_back();
    }
  }

  /// All inputs of the node are known now.
  void finish(Node* node) {
    Visit visit;
    visit.node = node->shared_from_this();
    visit.wanted = wanted_nodes_.contains(node);
    for (const Node::Edge& edge : node->edges_) {
      if (is_wanted(edge)) {
        visit.wanted = true;
        if (edge.node != nullptr) {
          ++visits_[index_.at(edge.node.get())].consumers;
        } else {
          ++leaf_terms_[edge.leaf.get()];
        }
      }
    }
    index_[node] = visits_.size();
    visits_.push_back(std::move(visit));
  }

  bool is_wanted(const Node::Edge& edge) const {
    if (edge.node != nullptr) {
      return visits_[index_.at(edge.node.get())].wanted;
    }
    return edge.leaf != nullptr && (all_leaves_ || wanted_leaves_.contains(edge.leaf.get()));
  }

  /// Runs each node once all gradients of its result have come. The order, and with it the order of
  /// every sum, follows from the graph alone.
  void walk(const Tensor& grad_output) {
    visits_.back().gradient = grad_output;
    if (!visits_.back().wanted) {
      return;
    }
    const NoGradGuard no_grad;
    std::vector<std::size_t> ready{visits_.size() - 1};
    while (!ready.empty()) {
      Visit& visit = visits_[ready.back()];
      ready.pop_back();
      const auto wanted = wanted_nodes_.find(visit.node.get());
      if (wanted != wanted_nodes_.end()) {
        wanted->second = visit.gradient;
      }
      run_node(visit, ready);
      visit.node->release();
      visit.node.reset();  // what it keeps beside its saved tensors goes, too
      tell_listener();
    }
    join_postponed_branches();
    tell_listener();
  }

  void run_node(Visit& visit, std::vector<std::size_t>& ready) {
    Node& node = *visit.node;
    const std::vector<bool> needed =
        mapped(node.edges_, [&](const Node::Edge& edge) { return is_wanted(edge); });
    if (!contains(needed, true)) {
      return;
    }
    std::vector<Tensor> gradients = in_module(
        node.module_path_,
        [&] {
          const PrecisionScope precision(node.precision_);
          node.work_ = std::exchange(visit.work, {});
          node.work_.input_slopes = take_masks_of_inputs(node, visit.gradient);
          node.work_.may_run_on = reads_no_gradient_behind_first(node);
          return node.backward(visit.gradient, needed);
        },
        ModulePass::backward);
    node.work_ = {};
    visit.gradient = {};
    if (gradients.size() != needed.size()) {
      throw AutogradError(formatted("{}: backward returned {} gradients, expected {}{}",
                                    node.name(), gradients.size(), needed.size(),
                                    node.at_module()));
    }
    for (std::size_t i = 0; i < needed.size(); ++i) {
      if (needed[i]) {
        deliver(node, i, std::move(gradients[i]), ready);
      }
    }
  }

  void deliver(const Node& node, std::size_t input, Tensor gradient,
               std::vector<std::size_t>& ready) {
    const Node::Edge& edge = node.edges_[input];
    require_matches(gradient, edge.shape, edge.dtype, edge.device, [&] {
      return formatted("{}: backward, gradient of input {}{}", node.name(), input,
                       node.at_module());
    });
    if (edge.node == nullptr) {
      const auto [entry, is_new] = leaf_index_.emplace(edge.leaf.get(), leaves_.size());
      if (is_new) {
        leaves_.push_back({edge.leaf, {}});
      }
      Tensor& sum = leaves_[entry->second].gradient;
      add(sum, std::move(gradient));
      if (--leaf_terms_.at(edge.leaf.get()) == 0 && listener_ != nullptr) {
        untold_.push_back({entry->second, postponed_branches()});
      }
      return;
    }
    const std::size_t index = index_.at(edge.node.get());
    Visit& visit = visits_[index];
    if (visit.gradient.defined() && leaves_sum_to(visit, gradient)) {
      visit.work.terms.push_back(std::move(gradient));
    } else {
      add(visit.gradient, std::move(gradient));
    }
    if (--visit.consumers == 0) {
      ready.push_back(index);
    }
  }

  /// Of the gradients that have come, in this order, unless what makes them runs on.
  void tell_listener() {
    while (!untold_.empty() &&
           (untold_.front().made_by == 0 || untold_.front().made_by != postponed_branches())) {
      auto& [leaf, gradient] = leaves_[untold_.front().leaf];
      own(gradient);
      listener_->on_gradient(Tensor(leaf), gradient);
      untold_.pop_front();
    }
  }

  /// Where a pass over memory costs time, the last sums are left to a node that can.
  bool leaves_sum_to(const Visit& visit, const Tensor& term) const {
    const std::size_t last =
        visit.work.terms.size() + visit.consumers;  // with this and all to come
    return term.device().is_cuda() &&
           last < static_cast<std::size_t>(visit.node->abilities_.added_terms) &&
           !wanted_nodes_.contains(visit.node.get());
  }

  /// Whether the gradients of inputs other than the first go to leaves that get no other. Not where
  /// ranks share statistics: their exchanges in the backward pass keep their places among those of
  /// gradients, which the listener is told of later then, depending on this rank's share alone.
  bool reads_no_gradient_behind_first(const Node& node) const {
    const bool in_order = listener_ != nullptr && current_batch_part().statistics != nullptr;
    return all_leaves_ && !in_order &&
           std::all_of(node.edges_.begin() + 1, node.edges_.end(), [&](const Node::Edge& edge) {
             return edge.node == nullptr &&
                    (edge.leaf == nullptr || (leaf_terms_.at(edge.leaf.get()) == 1 &&
                                              !leaf_index_.contains(edge.leaf.get())));
           });
  }

  /// The slopes by which the node masks the gradients of its inputs for the operations that made
  /// them, whose results nobody else reads.
  std::vector<double> take_masks_of_inputs(const Node& node, const Tensor& gradient) {
    const auto count = std::min(static_cast<std::size_t>(node.abilities_.masked_inputs),
                                gradient.device().is_cuda() ? node.edges_.size() : 0);
    std::vector<double> slopes(count, 1.0);
    for (std::size_t i = 0; i < count; ++i) {
      const Node* const maker = node.edges_[i].node.get();
      if (maker == nullptr || maker->abilities_.result_slope == 1.0 ||
          wanted_nodes_.contains(maker)) {
        continue;
      }
      Visit& visit = visits_[index_.at(maker)];
      if (visit.wanted && visit.consumers == 1 && !visit.gradient.defined()) {
        visit.work.is_masked = true;
        slopes[i] = maker->abilities_.result_slope;
      }
    }
    return slopes;
  }

  /// The one place where gradients are summed, but for what is left to nodes. Nodes may return one
  /// tensor for several inputs: only what nobody else can see is added to in place.
  static void add(Tensor& sum, Tensor term) {
    if (!sum.defined()) {
      sum = std::move(term);
      return;
    }
    own(sum);
    accumulate(term, sum);
  }

  static void accumulate(const Tensor& term, Tensor& sum) {
    CKS_KERNEL(term.device(), accumulate(term.dtype(), term.numel(), term.data(), sum.data(), 1.0));
  }

  /// Makes it a copy if anybody else holds the tensor or its memory, or the memory holds more.
  static void own(Tensor& tensor) {
    if (tensor.impl().use_count() > 1 || tensor.storage().use_count() > 1 ||
        tensor.storage()->bytes() != tensor.nbytes()) {
      Tensor copy = Tensor::empty(tensor.shape(), tensor.dtype(), tensor.device());
      tensor = copy.copy_(tensor.detach());  // a node may return a leaf
    }
  }

  /// who() begins the message.
  template <class Who>
  static void require_matches(const Tensor& gradient, const Shape& shape, DType dtype,
                              Device device, const Who& who) {
    if (!gradient.defined()) {
      throw AutogradError(formatted("{}: it is undefined, expected {}", who(),
                                    ops::describe(shape, dtype, device)));
    }
    ops::require_like(gradient, shape, dtype, device, [&] { return who() + ": got"; });
  }

  void free_graph() {
    for (Visit& visit : visits_) {
      if (visit.node != nullptr) {
        visit.node->release();
      }
    }
    visits_.clear();
  }

  static constexpr std::size_t kOpen = static_cast<std::size_t>(-1);

  Tensor output_;
  bool all_leaves_ = false;
  std::unordered_set<const TensorImpl*> wanted_leaves_;
  std::unordered_map<const Node*, Tensor> wanted_nodes_;
  std::vector<Visit> visits_;  // inputs before consumers; the output's node comes last
  std::unordered_map<const Node*, std::size_t> index_;  // into visits_
  std::vector<LeafGradient> leaves_;
  std::unordered_map<const TensorImpl*, std::size_t> leaf_index_;
  std::unordered_map<const TensorImpl*, std::int64_t> leaf_terms_;  // yet to come
  GradientListener* listener_ = nullptr;
  std::deque<Untold> untold_;  // gradients that the listener waits for
};

namespace {

/// The gradient to start from, checked.
Tensor start_gradient(const char* operation, const Tensor& output, const Tensor& grad_output) {
  ops::require_defined(operation, {{"tensor", output}});
  if (!output.requires_grad()) {
    throw AutogradError(
        formatted("{}: the tensor does not depend on any that requires a gradient (shape {})",
                  operation, output.shape()));
  }
  if (!grad_output.defined()) {
    if (output.numel() != 1) {
      throw ShapeError(formatted(
          "{}: a tensor of shape {} needs a grad_output; only one element starts with gradient 1",
          operation, output.shape()));
    }
    return Tensor::ones(output.shape(), output.dtype(), output.device());
  }
  ops::require_same(operation, {{"tensor", output}, {"grad_output", grad_output}});
  ops::require_shape(operation, {"grad_output", grad_output}, output.shape());
  if (grad_output.requires_grad()) {
    throw AutogradError(
        formatted("{}: grad_output requires a gradient, but backward is not recorded: there is no "
                  "double backward; detach() it",
                  operation));
  }
  return grad_output;
}

}  // namespace

void Tensor::backward(const Tensor& grad_output) const {
  const Tensor start = start_gradient("backward", *this, grad_output);
  Engine engine(*this, {});
  engine.run(start);
  engine.store_leaf_gradients();
}

std::vector<Tensor> gradients(const Tensor& output, std::span<const Tensor> inputs,
                              const Tensor& grad_output) {
  const Tensor start = start_gradient("gradients", output, grad_output);
  for (const Tensor& input : inputs) {
    ops::require_defined("gradients", {{"input", input}});
    if (!input.requires_grad()) {
      throw AutogradError(
          formatted("gradients: an input of shape {} does not require a gradient", input.shape()));
    }
  }
  if (inputs.empty()) {
    return {};
  }
  Engine engine(output, inputs);
  engine.run(start);
  return mapped(inputs, [&](const Tensor& input) {
    const Tensor gradient = engine.gradient_of(input);
    return gradient.defined() ? gradient.detach().clone() : Tensor();
  });
}

}  // namespace cks
