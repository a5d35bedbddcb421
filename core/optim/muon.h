#pragma once
#include <cstdint>
#include <map>
#include <utility>
#include <variant>

#include "cks/core/optim/adam.h"
#include "cks/core/optim/optimizer.h"
#include "cks/core/optim/sgd.h"

namespace cks {

namespace optim {

/// What newton_schulz() adds to its products: multiples of I, of the smaller side of the matrix.
struct NewtonSchulzShifts {
  Tensor of_gram, of_square;
};

}  // namespace optim

/// Nearly the nearest matrix whose rows (or columns, if they are fewer) are orthonormal: U V^T,
/// where U S V^T is the singular value decomposition. By iterations of Newton and Schulz, matrix
/// products alone, in which a fifth-degree polynomial pushes each singular value of X towards 1:
///
///   X = matrix / max(|matrix|, 1e-7);  X = a X + b (X X^T) X + c (X X^T)^2 X
///
/// with a = 3.4445, b = -4.7750, c = 2.0315, which lifts small singular values fast: after five
/// iterations those above 1/500 of |matrix| lie between 0.68 and 1.21 rather than at 1.
///
/// Shapes  matrix [rows,columns]; the result likewise. |matrix| is the root of the sum of squares.
/// Dtype   float32 or float64, in this thread's precision: in bf16 all products of float32 are
///         rounded to bfloat16, as the source does; in tf32 those with X itself are fp32. Off the
///         tape.
/// Throws  ShapeError unless the rank is 2; Error unless iterations >= 1; DtypeError.
/// Source  Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024),
///         https://kellerjordan.github.io/posts/muon.
Tensor newton_schulz(const Tensor& matrix, std::int64_t iterations = 5);

struct MuonOptions {
  double learning_rate = 2e-2;  // of matrices; above 0
  double momentum = 0.95;
  bool nesterov = true;
  double weight_decay = 0.0;    // of matrices; decoupled
  std::int64_t iterations = 5;  // of newton_schulz()
  /// Before each step a matrix is scaled so that |p| = sqrt(rows), a norm that orthonormal rows
  /// have: for layers that a normalisation follows, where the norm of the weights says nothing but
  /// how far a step turns them.
  bool normalize_weights = false;
  /// The rule for what is no matrix. A schedule moves its learning rate by the same factor.
  std::variant<AdamWOptions, SgdOptions> vectors = AdamWOptions{};
};

/// Muon, momentum that is made orthogonal: a step turns all directions of a matrix equally far,
/// where SGD's goes almost wholly into the few that gradients share.
///
///   b = momentum * b + grad;  g = nesterov ? grad + momentum * b : b;
///   p = p * (1 - learning_rate * weight_decay)
///         - learning_rate * sqrt(max(1, rows / columns)) * newton_schulz(g)
///
/// Filters [OC,FH,FW,IC/G] are matrices [OC, FH*FW*IC/G]. Biases, factors of normalisations and
/// other parameters of fewer than two axes, and groups with `as_vectors`, are stepped as `vectors`
/// says: that should be a network's head, and layers of its input.
///
/// State   momentum_buffer.<name> of matrices; of vectors what SGD or AdamW keep.
/// Cost    15 products for each matrix, of at most rows^2 * columns multiply-adds, rows <= columns;
///         two matrices [rows,rows] of each type are kept for each such number of rows.
/// Throws  Error if an option is out of range.
/// Source  as newton_schulz(); the formula is that of torch.optim.Muon with
///         adjust_lr_fn="original", whose buffer is (1 - momentum) times this one.
class Muon : public Optimizer {
 public:
  using Options = MuonOptions;

  explicit Muon(NamedTensors parameters, const Options& options = {});
  template <class Expected = Options>
  Muon(NamedTensors, ...) = delete;  // for the error: see layers/layer.h
  explicit Muon(std::vector<ParameterGroup> groups, const Options& options = {});

 protected:
  void update(const std::vector<Due>& due, const StepScalars& scalars) override;

 private:
  static bool is_matrix(const Slot& slot);
  static std::pair<std::int64_t, std::int64_t> sides_of(const Slot& slot);  // rows, columns
  static bool is_vector(const Slot& slot) { return !is_matrix(slot); }
  void update_matrices(const std::vector<Due>& due, const StepScalars& scalars);
  void update_vectors(const std::vector<Due>& due, const StepScalars& scalars);

  Options options_;
  Tensor one_;  // float64 [], for kernels that read a learning rate
  std::map<std::pair<std::int64_t, DType>, optim::NewtonSchulzShifts> shifts_;
};

}  // namespace cks
