#pragma once
#include <functional>
#include <unordered_map>
#include <vector>

#include "cks/core/tensor/tensor.h"

namespace cks {

/// A forward pass on this thread, from the call of the outermost module to its return: what its
/// operations would do in many small launches, one for each weight or counter, they do in one.
///
/// In bf16 the first operation that rounds a parameter of that module rounds all of them, and the
/// others find their copies here; in a captured step large ones are rounded beside the operations
/// before the first that needs such a copy. Backward reads those of the forward pass, which end
/// with it.
class ForwardPass {
 public:
  /// `parameters` is called at most once, when they are needed. Within another pass of the thread
  /// this one does nothing.
  explicit ForwardPass(std::function<std::vector<Tensor>()> parameters);
  ~ForwardPass();
  ForwardPass(const ForwardPass&) = delete;
  ForwardPass& operator=(const ForwardPass&) = delete;

  /// This thread's outermost; null: none.
  static ForwardPass* current();

  /// The parameter's bfloat16 copy, made on this stream of the elements that it has now; undefined
  /// if there is none.
  Tensor rounded(const Tensor& parameter);
  /// As count_up_() (core/ops/counter.h), but by finish() of this thread's outermost pass, in one
  /// launch with its other counters; at once outside of one.
  static void count_at_end(Tensor& counter);
  /// Counts up what count_at_end() has put off of a counter that is about to be read.
  static void count_now(const Tensor& counter);
  /// What was put off. An exception leaves it undone.
  void finish();

 private:
  struct Copy {
    std::uint64_t version = 0;  // of the parameter
    Tensor rounded;
  };
  void round_all(Device device);

  std::function<std::vector<Tensor>()> get_parameters_;
  bool is_outermost_;
  std::vector<Tensor> parameters_;
  std::unordered_map<const TensorImpl*, Copy> copies_;  // of each parameter, once they are known
  void* stream_ = nullptr;                              // on which copies were made
  bool awaits_large_ = false;                           // copies that a branch still makes
  std::vector<Tensor> counters_;
};

}  // namespace cks
