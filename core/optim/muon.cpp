#include "cks/core/optim/muon.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "cks/core/capture/branches_impl.h"
#include "cks/core/conv/matmul.h"
#include "cks/core/conv/matmul_impl.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/output.h"
#include "cks/core/ops/rearrange.h"
#include "cks/core/ops/reduce.h"
#include "cks/core/optim/step_problem_impl.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {
namespace {

enum : std::size_t { kMomentumBuffer, kAdam };  // places in a slot's state

constexpr double kLeastNorm = 1e-7;

// The polynomial (a + b G + c G^2) X, G being X X^T, is (K^2 + (a - b^2 / 4c) I) X with
// K = sqrt(c) G + b / (2 sqrt(c)) I. Of X times the fourth root of c all of it is products that
// have a multiple of I added.
constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315;

/// Of the iterations' matrices: in a run of bf16 that, as the source does.
DType iterated_type(DType dtype) {
  return dtype == DType::float32 && current_precision() == Precision::bf16 ? DType::bfloat16
                                                                           : dtype;
}

/// At least kLeastNorm.
Tensor norm(const Tensor& matrix) {
  return clamp(sqrt(sum(square(matrix))), kLeastNorm, std::numeric_limits<double>::infinity());
}

Tensor multiple_of_identity(std::int64_t side, double value, DType dtype, Device device) {
  const Tensor column = Tensor::full({side, 1}, value, dtype, device);
  const Tensor shifted = pad(column, {{0, 0}, {0, side}});  // each row begins one further on
  return slice(shifted.reshape({side * (side + 1)}), 0, 0, side * side).reshape({side, side});
}

/// For matrices of such a shape.
optim::NewtonSchulzShifts shifts_for(std::int64_t rows, std::int64_t columns, DType dtype,
                                     Device device) {
  const auto times_identity = [&](double value) {
    return multiple_of_identity(std::min(rows, columns), value, dtype, device);
  };
  return {times_identity(kB / (2.0 * std::sqrt(kC))), times_identity(kA - kB * kB / (4.0 * kC))};
}

/// newton_schulz() of a matrix.
Tensor orthogonalized(const Tensor& matrix, std::int64_t iterations,
                      const optim::NewtonSchulzShifts& shifts) {
  const char* const name = "newton_schulz";
  ops::require_precision(name, matrix.device());
  const double stretch = std::pow(kC, 0.25);
  const bool is_tall = matrix.size(0) > matrix.size(1);  // products of the smaller side are cheaper
  Tensor x = is_tall ? transpose(matrix) : matrix;
  const DType iterated = iterated_type(matrix.dtype());
  const bool is_narrow = iterated == DType::bfloat16;
  x = (x / (norm(x) / stretch)).to(iterated);
  for (std::int64_t i = 0; i < iterations; ++i) {
    const Tensor k = ops::product_and(name, x, x, true, shifts.of_gram);
    const Tensor polynomial = ops::product_and(name, k, k, true, shifts.of_square);
    // X whole: what a rounding leaves where X has no rank would be multiplied by a each time.
    const PrecisionScope whole(is_narrow ? Precision::bf16 : Precision::fp32);
    x = ops::product_and(name, polynomial, x, false, {});
  }
  x = x.to(matrix.dtype()) / stretch;
  return is_tall ? transpose(x) : x;
}

void require_iterations(const char* operation, std::int64_t iterations) {
  if (iterations < 1) {
    throw Error(formatted("{}: iterations must be at least 1, got {}", operation, iterations));
  }
}

}  // namespace

Tensor newton_schulz(const Tensor& matrix, std::int64_t iterations) {
  ops::require_real("newton_schulz", {"matrix", matrix});
  ops::require_rank("newton_schulz", {"matrix", matrix}, 2, "rows and columns");
  require_iterations("newton_schulz", iterations);
  const NoGradGuard no_grad;
  return orthogonalized(
      matrix, iterations,
      shifts_for(matrix.size(0), matrix.size(1), iterated_type(matrix.dtype()), matrix.device()));
}

std::pair<std::int64_t, std::int64_t> Muon::sides_of(const Slot& slot) {
  return {slot.shape[0], slot.shape.numel() / std::max<std::int64_t>(slot.shape[0], 1)};
}

bool Muon::is_matrix(const Slot& slot) { return !slot.as_vector && slot.shape.rank() >= 2; }

Muon::Muon(NamedTensors parameters, const Options& options)
    : Muon(single_group(std::move(parameters)), options) {}

Muon::Muon(std::vector<ParameterGroup> groups, const Options& options)
    : Optimizer("muon", std::move(groups), options.learning_rate),
      options_(options),
      one_(Tensor::scalar(1.0, DType::float64, device())) {
  optim::require_option("muon", "weight_decay", options.weight_decay);
  require_iterations("muon", options.iterations);
  if (options.learning_rate == 0.0) {
    throw Error("muon: learning_rate must be above 0");
  }
  if (options.nesterov && options.momentum == 0.0) {
    throw Error("muon: nesterov needs a momentum above 0");
  }
  for (const Slot& slot : slots()) {
    if (is_matrix(slot)) {
      const auto [rows, columns] = sides_of(slot);
      for (const DType dtype : {slot.dtype, DType::bfloat16}) {  // of whatever mode a step is in
        shifts_.try_emplace({std::min(rows, columns), dtype},
                            shifts_for(rows, columns, dtype, slot.device));
      }
    }
  }
  add_momentum(options.momentum);
  const auto* sgd = std::get_if<SgdOptions>(&options.vectors);
  // A rule's own constructor knows what it may be given.
  const NamedTensors any{{"any", Tensor::zeros({1})}};
  if (sgd != nullptr) {
    Sgd checked(any, *sgd);
    add_state("momentum_buffer", StateKind::like_parameter,
              sgd->momentum == 0.0 ? is_matrix : nullptr);
  } else {
    AdamW checked(any, std::get<AdamWOptions>(options.vectors));
    add_state("momentum_buffer", StateKind::like_parameter, is_matrix);
    add_state("exp_avg", StateKind::like_parameter, is_vector);
    add_state("exp_avg_sq", StateKind::like_parameter, is_vector);
    add_state("step", StateKind::step_count, is_vector);
  }
}

void Muon::update(const std::vector<Due>& due, const StepScalars& scalars) {
  std::vector<Due> matrices;
  std::vector<Due> vectors;
  for (const Due& one : due) {
    (is_matrix(*one.slot) ? matrices : vectors).push_back(one);
  }
  update_matrices(matrices, scalars);  // first: it may run out of memory before it writes
  update_vectors(vectors, scalars);
}

void Muon::update_matrices(const std::vector<Due>& due, const StepScalars& scalars) {
  const NoGradGuard no_grad;
  // SGD's kernel adds up the momentum, for all matrices at once: with the rate 1 and parameters
  // that are 0 it leaves -g in their place. Here on copies of the buffers, to write nothing yet.
  const kernels::SgdStepOptions momentum{
      .momentum = options_.momentum, .nesterov = options_.nesterov, .momentum_now = momentum_now()};
  std::vector<kernels::StepTensor> directions = optim::step_tensors(due, 0.0, kMomentumBuffer);
  std::vector<Tensor> negative;
  std::vector<Tensor> copies;
  for (std::size_t i = 0; i < due.size(); ++i) {
    negative.push_back(Tensor::zeros(due[i].slot->shape, due[i].slot->dtype, device()));
    copies.push_back(due[i].slot->state[kMomentumBuffer].clone());
    directions[i].parameter = negative[i].data();
    directions[i].first = copies[i].data();
    directions[i].learning_rate_scale = 1.0;
  }
  const auto momentum_step = [&](const std::uint8_t* skip) {
    kernels::StepProblem problem = optim::step_problem(directions, one_, scalars);
    problem.skip = skip;
    CKS_KERNEL(device(), sgd_step(problem, momentum));
  };
  momentum_step(nullptr);

  std::vector<kernels::StepTensor> steps = optim::step_tensors(due, options_.weight_decay);
  std::vector<kernels::StepTensor> excesses = optim::step_tensors(due, 0.0);
  std::vector<Tensor> too_much(due.size());  // beyond the norm that is wanted
  const auto direct = [&](std::size_t i) {
    const Slot& slot = *due[i].slot;
    const auto [rows, columns] = sides_of(slot);
    copies[i] = orthogonalized(negative[i].reshape({rows, columns}), options_.iterations,
                               shifts_.at({std::min(rows, columns), iterated_type(slot.dtype)}));
    // SGD's formula once more: p = p - rate * (grad + decay * p).
    const double stretch = std::sqrt(std::max(
        1.0, static_cast<double>(rows) / static_cast<double>(std::max<std::int64_t>(columns, 1))));
    steps[i].grad = copies[i].data();
    steps[i].first = nullptr;
    steps[i].learning_rate_scale *= -stretch;
    steps[i].weight_decay /= -stretch;
    if (options_.normalize_weights) {
      const Tensor p = slot.parameter.detach();
      const Tensor wanted = std::sqrt(static_cast<double>(rows)) / norm(p);
      too_much[i] = p - p * wanted;
      excesses[i].grad = too_much[i].data();
      excesses[i].first = nullptr;
      excesses[i].learning_rate_scale = 1.0;
    }
  };
  // Side by side: products of small matrices leave most of a GPU idle.
  Branches branches;
  constexpr std::size_t kLines = Branches::kCount + 1;  // the last is the main one
  for (std::size_t line = 0; line < kLines; ++line) {
    branches.run([&] {
      for (std::size_t i = line; i < due.size(); i += kLines) {
        direct(i);
      }
    });
  }
  branches.join();

  // Nothing below throws.
  for (std::size_t i = 0; i < due.size(); ++i) {
    directions[i].first = due[i].slot->state[kMomentumBuffer].data();
  }
  momentum_step(scalars.skip);
  StepScalars unscaled = scalars;
  unscaled.grad_scale = nullptr;
  if (options_.normalize_weights) {
    CKS_KERNEL(device(), sgd_step(optim::step_problem(excesses, one_, unscaled), {}));
  }
  CKS_KERNEL(device(), sgd_step(optim::step_problem(steps, learning_rate_tensor(), unscaled), {}));
}

void Muon::update_vectors(const std::vector<Due>& due, const StepScalars& scalars) {
  std::visit(
      [&]<class Rule>(const Rule& rule) {
        constexpr bool is_sgd = std::is_same_v<Rule, SgdOptions>;
        auto tensors =
            optim::step_tensors(due, rule.weight_decay, is_sgd ? kMomentumBuffer : kAdam);
        for (kernels::StepTensor& tensor : tensors) {
          tensor.learning_rate_scale *= rule.learning_rate / options_.learning_rate;
        }
        const auto problem = optim::step_problem(tensors, learning_rate_tensor(), scalars);
        if constexpr (is_sgd) {
          CKS_KERNEL(device(),
                     sgd_step(problem, {.momentum = rule.momentum, .nesterov = rule.nesterov}));
        } else {
          CKS_KERNEL(device(), adam_step(problem, {.beta1 = rule.beta1,
                                                   .beta2 = rule.beta2,
                                                   .eps = rule.eps,
                                                   .decoupled = true}));
        }
      },
      options_.vectors);
}

}  // namespace cks
