#include "cks/core/ops/eigh.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "cks/core/ops/output.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {
namespace {

constexpr int kMostSweeps = 60;  // about ten are needed: convergence is quadratic

struct Square {
  std::size_t n;
  std::vector<double> elements;
  double& at(std::size_t row, std::size_t column) { return elements[row * n + column]; }
};

/// Turns axes p and q so that a(p,q), a being symmetric, becomes 0; the vectors' columns turn
/// along.
void rotate(Square& a, Square& vectors, std::size_t p, std::size_t q) {
  if (a.at(p, q) == 0.0) {
    return;
  }
  const double theta = (a.at(q, q) - a.at(p, p)) / (2.0 * a.at(p, q));
  const double t = std::copysign(1.0, theta) / (std::abs(theta) + std::hypot(theta, 1.0));
  const double c = 1.0 / std::hypot(t, 1.0);
  const double s = t * c;
  const auto turn = [&](double& x, double& y) {
    const double old = x;
    x = c * old - s * y;
    y = s * old + c * y;
  };
  for (std::size_t k = 0; k < a.n; ++k) {
    turn(a.at(k, p), a.at(k, q));
    turn(vectors.at(k, p), vectors.at(k, q));
  }
  for (std::size_t k = 0; k < a.n; ++k) {
    turn(a.at(p, k), a.at(q, k));
  }
}

/// Whether all but the diagonal is nothing beside it.
bool is_diagonal(Square& a) {
  double off = 0.0;
  double all = 0.0;
  for (std::size_t row = 0; row < a.n; ++row) {
    for (std::size_t column = 0; column < a.n; ++column) {
      const double size = std::abs(a.at(row, column));
      all = std::max(all, size);
      off = row == column ? off : std::max(off, size);
    }
  }
  return off <= 1e-15 * all;
}

}  // namespace

SymmetricEigen eigh(const Tensor& matrix) {
  const char* operation = "eigh";
  ops::require_real(operation, {"matrix", matrix});
  ops::require_rank(operation, {"matrix", matrix}, 2, "[n,n]");
  ops::require_shape(operation, {"matrix", matrix}, {matrix.size(0), matrix.size(0)});
  capture::forbid(operation);
  const auto n = static_cast<std::size_t>(matrix.size(0));
  Square a{n, matrix.detach().to(DType::float64).to_vector<double>()};
  Square vectors{n, std::vector<double>(n * n)};
  for (std::size_t row = 0; row < n; ++row) {
    vectors.at(row, row) = 1.0;
    for (std::size_t column = 0; column <= row; ++column) {
      if (!std::isfinite(a.at(row, column))) {
        throw Error(
            formatted("eigh: element [{},{}] of the matrix is {}", row, column, a.at(row, column)));
      }
      a.at(column, row) = a.at(row, column);
    }
  }
  for (int sweep = 0; sweep < kMostSweeps && !is_diagonal(a); ++sweep) {
    for (std::size_t p = 0; p < n; ++p) {
      for (std::size_t q = p + 1; q < n; ++q) {
        rotate(a, vectors, p, q);
      }
    }
  }
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t i, std::size_t j) { return a.at(i, i) < a.at(j, j); });
  std::vector<double> values;
  Square sorted{n, std::vector<double>(n * n)};
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t from = order[i];
    values.push_back(a.at(from, from));
    double greatest = 0.0;
    for (std::size_t k = 0; k < n; ++k) {
      const double element = vectors.at(k, from);
      greatest = std::abs(element) > std::abs(greatest) ? element : greatest;
    }
    for (std::size_t k = 0; k < n; ++k) {
      sorted.at(k, i) = std::copysign(1.0, greatest) * vectors.at(k, from);
    }
  }
  const auto as_given = [&](const std::vector<double>& elements, const Shape& shape) {
    return Tensor::from_vector(elements, shape).to(matrix.dtype()).to(matrix.device());
  };
  return {as_given(values, {matrix.size(0)}), as_given(sorted.elements, matrix.shape())};
}

}  // namespace cks
