#include <algorithm>
#include <cmath>

#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace cks::kernels {
namespace {

template <class Body>
void for_rows(const SoftmaxProblem& p, Body&& body) {
  parallel_for_ranges(p.rows, std::max<std::int64_t>(1, 4096 / p.C),
                      [&](std::int64_t begin, std::int64_t end) {
                        for (std::int64_t row = begin; row < end; ++row) {
                          body(row);
                        }
                      });
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

template <class T>
void log_softmax(const SoftmaxProblem& p, const T* x, T* y) {
  for_rows(p, [&](std::int64_t row) {
    const T* from = x + row * p.C;
    T* to = y + row * p.C;
    const RowSums<T> sums = sums_of(from, p.C);
    const T log_sum = std::log(sums.exponentials);
    for (std::int64_t c = 0; c < p.C; ++c) {
      to[c] = from[c] - sums.largest - log_sum;
    }
  });
}

template <class T>
void softmax(const SoftmaxProblem& p, const T* x, T* y) {
  for_rows(p, [&](std::int64_t row) {
    const T* from = x + row * p.C;
    T* to = y + row * p.C;
    const RowSums<T> sums = sums_of(from, p.C);
    for (std::int64_t c = 0; c < p.C; ++c) {
      to[c] = std::exp(from[c] - sums.largest) / sums.exponentials;
    }
  });
}

template <class T>
T cross_entropy(const SoftmaxProblem& p, double smoothing, const T* log_probabilities,
                const std::int64_t* labels, const T* weights, double* row_losses) {
  for_rows(p, [&](std::int64_t row) {
    const T* from = log_probabilities + row * p.C;
    double loss = -static_cast<double>(from[labels[row]]);
    if (smoothing != 0.0) {  // 0 * infinity of an excluded class would be NaN
      double sum = 0.0;
      for (std::int64_t c = 0; c < p.C; ++c) {
        sum -= static_cast<double>(from[c]);
      }
      loss = (1.0 - smoothing) * loss + smoothing / static_cast<double>(p.C) * sum;
    }
    row_losses[row] = weights == nullptr ? loss : static_cast<double>(weights[labels[row]]) * loss;
  });
  double sum = 0.0;
  for (std::int64_t row = 0; row < p.rows; ++row) {
    sum += row_losses[row];
  }
  return static_cast<T>(sum / static_cast<double>(p.rows));
}

template <class T>
void cross_entropy_gradient(const SoftmaxProblem& p, double smoothing, const T* log_probabilities,
                            const std::int64_t* labels, const T* weights, T grad_loss, T* dx) {
  const T mean_scale = grad_loss / static_cast<T>(p.rows);
  const auto other = static_cast<T>(smoothing / static_cast<double>(p.C));
  const auto chosen = static_cast<T>(1.0 - smoothing);
  for_rows(p, [&](std::int64_t row) {
    const T* from = log_probabilities + row * p.C;
    T* to = dx + row * p.C;
    const T scale = weights == nullptr ? mean_scale : mean_scale * weights[labels[row]];
    for (std::int64_t c = 0; c < p.C; ++c) {
      const T target = c == labels[row] ? chosen + other : other;
      to[c] = scale * (std::exp(from[c]) - target);
    }
  });
}

/// Runs body(T{}) for the problem's dtype unless there is nothing to do.
template <class Body>
void visit(const char* operation, const SoftmaxProblem& problem, Body&& body) {
  visit_real(operation, problem.dtype, [&](auto zero) {
    if (problem.rows > 0 && problem.C > 0) {
      body(zero);
    }
  });
}

}  // namespace

namespace CKS_CPU {

void softmax_forward(const SoftmaxProblem& problem, const void* x, void* y) {
  visit("softmax", problem, [&](auto zero) {
    using T = decltype(zero);
    softmax(problem, static_cast<const T*>(x), static_cast<T*>(y));
  });
}

void log_softmax_forward(const SoftmaxProblem& problem, const void* x, void* y) {
  visit("log_softmax", problem, [&](auto zero) {
    using T = decltype(zero);
    log_softmax(problem, static_cast<const T*>(x), static_cast<T*>(y));
  });
}

void softmax_backward(const SoftmaxProblem& problem, const void* y, const void* dy, void* dx) {
  visit("softmax", problem, [&](auto zero) {
    using T = decltype(zero);
    for_rows(problem, [&](std::int64_t row) {
      const T* result = static_cast<const T*>(y) + row * problem.C;
      const T* gradient = static_cast<const T*>(dy) + row * problem.C;
      T* to = static_cast<T*>(dx) + row * problem.C;
      const T sum = sum_of<T>(problem.C, [&](std::int64_t c) { return result[c] * gradient[c]; });
      for (std::int64_t c = 0; c < problem.C; ++c) {
        to[c] = result[c] * (gradient[c] - sum);
      }
    });
  });
}

void log_softmax_backward(const SoftmaxProblem& problem, const void* y, const void* dy, void* dx) {
  visit("log_softmax", problem, [&](auto zero) {
    using T = decltype(zero);
    for_rows(problem, [&](std::int64_t row) {
      const T* result = static_cast<const T*>(y) + row * problem.C;
      const T* gradient = static_cast<const T*>(dy) + row * problem.C;
      T* to = static_cast<T*>(dx) + row * problem.C;
      const T sum = sum_of<T>(problem.C, [&](std::int64_t c) { return gradient[c]; });
      for (std::int64_t c = 0; c < problem.C; ++c) {
        to[c] = gradient[c] - std::exp(result[c]) * sum;
      }
    });
  });
}

void cross_entropy_forward(const SoftmaxProblem& problem, double label_smoothing,
                           const void* log_probabilities, const std::int64_t* labels, void* loss,
                           void* workspace, const void* class_weights) {
  visit("cross_entropy", problem, [&](auto zero) {
    using T = decltype(zero);
    *static_cast<T*>(loss) =
        cross_entropy(problem, label_smoothing, static_cast<const T*>(log_probabilities), labels,
                      static_cast<const T*>(class_weights), static_cast<double*>(workspace));
  });
}

void cross_entropy_backward(const SoftmaxProblem& problem, double label_smoothing,
                            const void* log_probabilities, const std::int64_t* labels,
                            const void* grad_loss, void* dx, const void* class_weights) {
  visit("cross_entropy", problem, [&](auto zero) {
    using T = decltype(zero);
    cross_entropy_gradient(problem, label_smoothing, static_cast<const T*>(log_probabilities),
                           labels, static_cast<const T*>(class_weights),
                           *static_cast<const T*>(grad_loss), static_cast<T*>(dx));
  });
}

}  // namespace CKS_CPU
}  // namespace cks::kernels
