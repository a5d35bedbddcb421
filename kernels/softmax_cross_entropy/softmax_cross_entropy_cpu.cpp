#include <algorithm>
#include <cmath>
#include <numeric>

#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace cks::kernels {
namespace {

template <class Body>
void for_rows(const SoftmaxProblem& p, Body&& body) {
  if (p.C > 0) {
    parallel_for_each(p.rows, std::max<std::int64_t>(1, 4096 / p.C), body);
  }
}

/// The sum of term(c) over the classes: short pieces in T, and those in float64, so that the error
/// does not grow with C.
template <class T, class Term>
T sum_of(std::int64_t C, Term&& term) {
  constexpr std::int64_t kPiece = 128;
  double sum = 0.0;
  for (std::int64_t begin = 0; begin < C; begin += kPiece) {
    T piece = 0;
    for (std::int64_t c = begin; c < std::min(begin + kPiece, C); ++c) {
      piece += term(c);
    }
    sum += static_cast<double>(piece);
  }
  return static_cast<T>(sum);
}

/// The largest element, and the sum of exp(x - largest).
template <class T>
struct RowSums {
  T largest;
  T exponentials;
};

template <class T>
RowSums<T> sums_of(const T* x, std::int64_t C) {
  T largest = x[0];
  for (std::int64_t c = 1; c < C; ++c) {
    largest = std::max(largest, x[c]);
  }
  return {largest, sum_of<T>(C, [&](std::int64_t c) { return std::exp(x[c] - largest); })};
}

template <bool kLogarithm, class T>
void softmax(const SoftmaxProblem& p, const T* x, T* y) {
  for_rows(p, [&](std::int64_t row) {
    const T* from = x + row * p.C;
    T* to = y + row * p.C;
    const RowSums<T> sums = sums_of(from, p.C);
    const T log_sum = kLogarithm ? std::log(sums.exponentials) : T{0};
    for (std::int64_t c = 0; c < p.C; ++c) {
      to[c] = kLogarithm ? from[c] - sums.largest - log_sum
                         : std::exp(from[c] - sums.largest) / sums.exponentials;
    }
  });
}

template <bool kLogarithm, class T>
void softmax_gradient(const SoftmaxProblem& p, const T* y, const T* dy, T* dx) {
  for_rows(p, [&](std::int64_t row) {
    const T* result = y + row * p.C;
    const T* gradient = dy + row * p.C;
    T* to = dx + row * p.C;
    const T sum = sum_of<T>(
        p.C, [&](std::int64_t c) { return kLogarithm ? gradient[c] : result[c] * gradient[c]; });
    for (std::int64_t c = 0; c < p.C; ++c) {
      to[c] =
          kLogarithm ? gradient[c] - std::exp(result[c]) * sum : result[c] * (gradient[c] - sum);
    }
  });
}

template <class T>
void cross_entropy(const CrossEntropyProblem& p, const std::int64_t* labels, double* row_losses,
                   T* log_probabilities, const T* weights, T* loss, T* count) {
  const double smoothing = p.label_smoothing;
  for_rows(p, [&](std::int64_t row) {
    if (labels[row] == p.ignored_label) {
      row_losses[row] = 0.0;
      return;
    }
    const T* from = log_probabilities + row * p.C;
    double row_loss = -static_cast<double>(from[labels[row]]);
    if (smoothing != 0.0) {  // 0 * infinity of an excluded class would be NaN
      double sum = 0.0;
      for (std::int64_t c = 0; c < p.C; ++c) {
        sum -= static_cast<double>(from[c]);
      }
      row_loss = (1.0 - smoothing) * row_loss + smoothing / static_cast<double>(p.C) * sum;
    }
    row_losses[row] =
        weights == nullptr ? row_loss : static_cast<double>(weights[labels[row]]) * row_loss;
  });
  const double sum = std::accumulate(row_losses, row_losses + p.rows, 0.0);
  const std::int64_t counted = p.rows - std::count(labels, labels + p.rows, p.ignored_label);
  *loss = counted == 0 ? T{0} : static_cast<T>(sum / static_cast<double>(counted));
  *count = static_cast<T>(counted);
}

template <class T>
void cross_entropy_gradient(const CrossEntropyProblem& p, const std::int64_t* labels,
                            const T* log_probabilities, const T* weights, const T* count,
                            const T* grad_loss, T* dx) {
  const T mean_scale = *grad_loss / *count;  // of no use where all are ignored
  const auto other = static_cast<T>(p.label_smoothing / static_cast<double>(p.C));
  const auto chosen = static_cast<T>(1.0 - p.label_smoothing);
  for_rows(p, [&](std::int64_t row) {
    const T* from = log_probabilities + row * p.C;
    T* to = dx + row * p.C;
    if (labels[row] == p.ignored_label) {
      std::fill(to, to + p.C, T{0});
      return;
    }
    const T scale = weights == nullptr ? mean_scale : mean_scale * weights[labels[row]];
    for (std::int64_t c = 0; c < p.C; ++c) {
      const T target = c == labels[row] ? chosen + other : other;
      to[c] = scale * (std::exp(from[c]) - target);
    }
  });
}

}  // namespace

namespace CKS_CPU {

void softmax_forward(const SoftmaxProblem& problem, bool is_log, const void* x, void* y) {
  const auto run = [&]<class T>(const T* from, T* to) {
    is_log ? softmax<true>(problem, from, to) : softmax<false>(problem, from, to);
  };
  visit_real_elements(softmax_name(is_log), problem.dtype, run, x, y);
}

void softmax_backward(const SoftmaxProblem& problem, bool is_log, const void* y, const void* dy,
                      void* dx) {
  const auto run = [&]<class T>(const T* result, const T* gradient, T* to) {
    is_log ? softmax_gradient<true>(problem, result, gradient, to)
           : softmax_gradient<false>(problem, result, gradient, to);
  };
  visit_real_elements(softmax_name(is_log), problem.dtype, run, y, dy, dx);
}

void cross_entropy_forward(const CrossEntropyProblem& problem, const void* logits,
                           void* log_probabilities, const std::int64_t* labels, void* loss,
                           void* count, void* workspace, const void* class_weights) {
  softmax_forward(problem, /*is_log=*/true, logits, log_probabilities);
  const auto run = [&](auto*... arguments) {
    cross_entropy(problem, labels, static_cast<double*>(workspace), arguments...);
  };
  visit_real_elements("cross_entropy", problem.dtype, run, log_probabilities, class_weights, loss,
                      count);
}

void cross_entropy_backward(const CrossEntropyProblem& problem, const void* log_probabilities,
                            const std::int64_t* labels, const void* count, const void* grad_loss,
                            void* dx, const void* class_weights) {
  const auto run = [&](auto*... arguments) {
    cross_entropy_gradient(problem, labels, arguments...);
  };
  visit_real_elements("cross_entropy", problem.dtype, run, log_probabilities, class_weights, count,
                      grad_loss, dx);
}

}  // namespace CKS_CPU
}  // namespace cks::kernels
