#include "cks/kernels/batch_norm/batch_norm.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/compare.h"
#include "tests/support/fill.h"
#include "tests/support/run_kernel.h"

using cks::kernels::BatchNormMode;
using cks::kernels::BatchNormProblem;

namespace {

constexpr double kEps = 1e-5;
constexpr double kMomentum = 0.1;

std::vector<double> values(std::int64_t count, std::uint64_t seed, double scale, double shift) {
  std::vector<double> result;
  for (std::int64_t i = 0; i < count; ++i) {
    result.push_back(shift + scale * random_real(seed, static_cast<std::uint64_t>(i)));
  }
  return result;
}

/// Everything that one problem computes, in one element type.
template <class T>
struct Results {
  std::vector<T> mean, inv_std, running_mean, running_var, y, dx, dweight, dbias;
};

struct Inputs {
  std::vector<double> x, dy, weight, bias, running_mean, running_var;
};

Inputs make_inputs(std::int64_t rows, std::int64_t C, double shift) {
  return {values(rows * C, 1, 1.0, shift), values(rows * C, 2, 1.0, 0.0), values(C, 3, 0.5, 1.0),
          values(C, 4, 1.0, 0.0),          values(C, 5, 1.0, 0.0),        values(C, 6, 0.5, 1.0)};
}

/// The formulas, in two passes of float64.
Results<double> naive(std::int64_t rows, std::int64_t C, const Inputs& in, BatchNormMode mode,
                      bool affine) {
  Results<double> out;
  const auto n = static_cast<double>(rows);
  out.y.resize(in.x.size());
  out.dx.resize(in.x.size());
  for (std::int64_t c = 0; c < C; ++c) {
    const auto at = [&](std::int64_t r) { return static_cast<std::size_t>(r * C + c); };
    const auto channel = static_cast<std::size_t>(c);
    double mean = 0.0;
    double variance = 0.0;
    for (std::int64_t r = 0; r < rows; ++r) {
      mean += in.x[at(r)] / n;
    }
    for (std::int64_t r = 0; r < rows; ++r) {
      variance += (in.x[at(r)] - mean) * (in.x[at(r)] - mean) / n;
    }
    out.running_mean.push_back(0.9 * in.running_mean[channel] + 0.1 * mean);
    out.running_var.push_back(0.9 * in.running_var[channel] + 0.1 * variance * n / (n - 1.0));
    if (mode == BatchNormMode::given_statistics) {
      mean = in.running_mean[channel];
      variance = in.running_var[channel];
    }
    const double inv_std = 1.0 / std::sqrt(variance + kEps);
    const double weight = affine ? in.weight[channel] : 1.0;
    double sum_dy = 0.0;
    double sum_dy_xhat = 0.0;
    for (std::int64_t r = 0; r < rows; ++r) {
      const double xhat = (in.x[at(r)] - mean) * inv_std;
      out.y[at(r)] = xhat * weight + (affine ? in.bias[channel] : 0.0);
      sum_dy += in.dy[at(r)];
      sum_dy_xhat += in.dy[at(r)] * xhat;
    }
    for (std::int64_t r = 0; r < rows; ++r) {
      const double xhat = (in.x[at(r)] - mean) * inv_std;
      const double through =
          mode == BatchNormMode::batch_statistics ? sum_dy / n + xhat * sum_dy_xhat / n : 0.0;
      out.dx[at(r)] = weight * inv_std * (in.dy[at(r)] - through);
    }
    out.mean.push_back(mean);
    out.inv_std.push_back(inv_std);
    out.dweight.push_back(sum_dy_xhat);
    out.dbias.push_back(sum_dy);
  }
  return out;
}

template <class T>
struct Statistics {
  std::vector<T> mean, inv_std, running_mean, running_var;
};

/// With running statistics unless they are empty. X: of images.
template <class T, class X>
Statistics<T> run_statistics(const BatchNormProblem& problem, const std::vector<X>& x,
                             const std::vector<T>& running_mean,
                             const std::vector<T>& running_var) {
  Statistics<T> out;
  out.mean = run_kernel<T>(problem.C, [&](T* mean) {
    const std::size_t bytes = static_cast<std::size_t>(problem.C) * sizeof(T);
    TargetBuffer workspace(target::batch_norm_workspace_bytes(problem));
    TargetBuffer inv_std(bytes);
    TargetBuffer moving_mean(bytes);
    TargetBuffer moving_var(bytes);
    const bool tracked = !running_mean.empty();
    if (tracked) {
      write_to(moving_mean.as<T>(), running_mean);
      write_to(moving_var.as<T>(), running_var);
    }
    target::batch_norm_statistics(problem, kEps, kMomentum, on_device(x), mean, inv_std.data(),
                                  tracked ? moving_mean.data() : nullptr,
                                  tracked ? moving_var.data() : nullptr, workspace.data());
    out.inv_std = read_from<T>(inv_std);
    if (tracked) {
      out.running_mean = read_from<T>(moving_mean);
      out.running_var = read_from<T>(moving_var);
    }
    CHECK(workspace.intact());
    CHECK(inv_std.intact());
    CHECK(moving_mean.intact());
    CHECK(moving_var.intact());
  });
  return out;
}

template <class T>
Results<T> run(std::int64_t rows, std::int64_t C, const Inputs& in, BatchNormMode mode,
               bool affine) {
  const BatchNormProblem problem{rows, C, cks::dtype_of<T>()};
  const auto converted = [](const std::vector<double>& from) {
    return std::vector<T>(from.begin(), from.end());
  };
  const std::vector<T> x = converted(in.x);
  const std::vector<T> dy = converted(in.dy);
  const std::vector<T> weight = converted(in.weight);
  const std::vector<T> bias = converted(in.bias);
  Results<T> out;
  out.running_mean = converted(in.running_mean);
  out.running_var = converted(in.running_var);
  out.mean = out.running_mean;
  if (mode == BatchNormMode::batch_statistics) {
    const Statistics<T> batch = run_statistics(problem, x, out.running_mean, out.running_var);
    out.mean = batch.mean;
    out.inv_std = batch.inv_std;
    out.running_mean = batch.running_mean;
    out.running_var = batch.running_var;
  } else {
    out.inv_std = run_kernel<T>(C, [&](T* inv_std) {
      target::batch_norm_inv_std(problem, kEps, on_device(out.running_var), inv_std);
    });
  }
  out.y = run_kernel<T>(rows * C, [&](T* y) {
    const auto forward = [&](const T* weight_or_null, const T* bias_or_null) {
      target::batch_norm_forward(problem, on_device(x), on_device(out.mean), on_device(out.inv_std),
                                 weight_or_null, bias_or_null, {}, y);
    };
    if (affine) {
      forward(on_device(weight), on_device(bias));
    } else {
      forward(nullptr, nullptr);
    }
  });
  out.dx = run_kernel<T>(rows * C, [&](T* dx) {
    const std::size_t bytes = static_cast<std::size_t>(C) * sizeof(T);
    TargetBuffer workspace(target::batch_norm_workspace_bytes(problem));
    TargetBuffer dweight(bytes);
    TargetBuffer dbias(bytes);
    const auto backward = [&](const T* weight_or_null) {
      target::batch_norm_backward(problem, mode, on_device(x), on_device(dy), on_device(out.mean),
                                  on_device(out.inv_std), weight_or_null, {}, dx, dweight.data(),
                                  dbias.data(), workspace.data());
    };
    if (affine) {
      backward(on_device(weight));
    } else {
      backward(nullptr);
    }
    out.dweight = read_from<T>(dweight);
    out.dbias = read_from<T>(dbias);
    CHECK(workspace.intact());
    CHECK(dweight.intact());
    CHECK(dbias.intact());
  });
  return out;
}

template <class T>
void check(std::int64_t rows, std::int64_t C, double shift, double tolerance) {
  const Inputs in = make_inputs(rows, C, shift);
  for (const BatchNormMode mode :
       {BatchNormMode::batch_statistics, BatchNormMode::given_statistics}) {
    for (const bool affine : {true, false}) {
      CAPTURE(rows);
      CAPTURE(C);
      CAPTURE(affine);
      const Results<double> expected = naive(rows, C, in, mode, affine);
      const Results<T> got = run<T>(rows, C, in, mode, affine);
      const auto equal = [&](const std::string& what, const auto& a, const auto& b, double bound) {
        const auto result = compare(a, b, {.absolute = bound});
        CHECK_MESSAGE(result.ok, what, ": ", result.message);
      };
      equal("mean", got.mean, expected.mean, tolerance * (1.0 + shift));
      equal("inv_std", got.inv_std, expected.inv_std, tolerance * 4.0);
      equal("y", got.y, expected.y, tolerance * (4.0 + shift));
      equal("dx", got.dx, expected.dx, tolerance * (8.0 + shift));
      const double sums = tolerance * (1.0 + shift) * static_cast<double>(rows);
      equal("dweight", got.dweight, expected.dweight, sums);
      equal("dbias", got.dbias, expected.dbias, sums);
      if (mode == BatchNormMode::batch_statistics) {
        equal("running_mean", got.running_mean, expected.running_mean, tolerance * (1.0 + shift));
        equal("running_var", got.running_var, expected.running_var, tolerance);
      }
    }
  }
}

/// The gradients through an activation equal those of dY masked beforehand, bit for bit: the slopes
/// are exact in every type. X: of images.
template <class X, class T>
void check_masked(std::int64_t rows, std::int64_t C, bool has_residual, double slope) {
  CAPTURE(rows);
  CAPTURE(C);
  CAPTURE(has_residual);
  CAPTURE(slope);
  const Inputs in = make_inputs(rows, C, 0.5);
  const BatchNormProblem problem{rows, C, cks::dtype_of<X>()};
  const auto narrow = [](const std::vector<double>& from) {
    std::vector<X> to;
    for (const double value : from) {
      to.push_back(from_double<X>(value));
    }
    return to;
  };
  const auto of_channels = [](const std::vector<double>& from) {
    return std::vector<T>(from.begin(), from.end());
  };
  const std::vector<X> x = narrow(in.x);
  const std::vector<X> dy = narrow(in.dy);
  const std::vector<X> residual = narrow(values(rows * C, 7, 1.0, 0.0));
  const std::vector<T> weight = of_channels(in.weight);
  const std::vector<T> bias = of_channels(in.bias);
  const std::vector<T> mean = of_channels(in.running_mean);
  const std::vector<T> inv_std = of_channels(in.running_var);
  const std::vector<X> y = run_kernel<X>(rows * C, [&](X* to) {
    const auto forward = [&](const X* residual_or_null) {
      target::batch_norm_forward(problem, on_device(x), on_device(mean), on_device(inv_std),
                                 on_device(weight), on_device(bias),
                                 {.residual = residual_or_null, .slope = slope}, to);
    };
    if (has_residual) {
      forward(on_device(residual));
    } else {
      forward(nullptr);
    }
  });
  std::vector<X> masked_dy = dy;
  for (std::size_t i = 0; i < dy.size(); ++i) {
    if (!(as_double(y[i]) > 0.0)) {
      masked_dy[i] = from_double<X>(as_double(dy[i]) * slope);
    }
  }
  struct Gradients {
    std::vector<X> dx, dresidual;
    std::vector<T> dweight, dbias;
  };
  // `term`: what is to be added to the gradient, may be empty.
  const auto gradients = [&](const std::vector<X>& of, bool is_masked,
                             const std::vector<X>& term = {}) {
    const bool writes = has_residual || !term.empty();
    Gradients out;
    out.dx = run_kernel<X>(rows * C, [&](X* dx) {
      const std::size_t bytes = static_cast<std::size_t>(C) * sizeof(T);
      TargetBuffer workspace(target::batch_norm_workspace_bytes(problem));
      TargetBuffer dweight(bytes);
      TargetBuffer dbias(bytes);
      TargetBuffer dresidual(y.size() * sizeof(X));
      const auto backward = [&](const X* result, const X* dy_term, const T* weights,
                                const T* biases) {
        target::batch_norm_backward(problem, BatchNormMode::batch_statistics, on_device(x),
                                    on_device(of), on_device(mean), on_device(inv_std), weights,
                                    {.y = result,
                                     .slope = slope,
                                     .dresidual = writes ? dresidual.data() : nullptr,
                                     .dy_term = dy_term,
                                     .by_input = !has_residual,
                                     .weight = weights,
                                     .bias = biases},
                                    dx, dweight.data(), dbias.data(), workspace.data());
      };
      if (is_masked) {
        if (term.empty()) {
          backward(on_device(y), nullptr, on_device(weight), on_device(bias));
        } else {
          backward(on_device(y), on_device(term), on_device(weight), on_device(bias));
        }
        if (writes) {
          out.dresidual = read_from<X>(dresidual);
        }
      } else {
        target::batch_norm_backward(problem, BatchNormMode::batch_statistics, on_device(x),
                                    on_device(of), on_device(mean), on_device(inv_std),
                                    on_device(weight), {}, dx, dweight.data(), dbias.data(),
                                    workspace.data());
      }
      out.dweight = read_from<T>(dweight);
      out.dbias = read_from<T>(dbias);
      CHECK(workspace.intact());
      CHECK(dresidual.intact());
    });
    return out;
  };
  const Gradients expected = gradients(masked_dy, false);
  const Gradients got = gradients(dy, true);
  const auto same = [](const auto& a, const auto& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](auto one, auto other) { return as_double(one) == as_double(other); });
  };
  CHECK(same(got.dx, expected.dx));
  CHECK(same(got.dweight, expected.dweight));
  CHECK(same(got.dbias, expected.dbias));
  if (has_residual) {
    CHECK(same(got.dresidual, masked_dy));
  }
#ifdef CKS_TEST_CUDA
  // The gradient as two terms: halves of numbers are exact in every type, and so is their sum. But
  // sums over rows come in another order.
  std::vector<X> half = dy;
  for (X& value : half) {
    value = from_double<X>(as_double(value) / 2);
  }
  const Gradients of_terms = gradients(half, true, half);
  CHECK(same(of_terms.dresidual, masked_dy));
  const auto close = [](const auto& a, const auto& b) {
    double largest = 0.0;
    for (const auto value : b) {
      largest = std::max(largest, std::abs(as_double(value)));
    }
    const double tolerance = (sizeof(b[0]) == 2 ? 1.0 / 128 : 1e-5) * largest;
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](auto one, auto other) {
      return std::abs(as_double(one) - as_double(other)) <= tolerance;
    });
  };
  CHECK(close(of_terms.dx, expected.dx));
  CHECK(close(of_terms.dweight, expected.dweight));
  CHECK(close(of_terms.dbias, expected.dbias));
#endif
}

/// The whole batch's statistics and gradients from shares of it, of `parts` rows each.
template <class T>
void check_shares(const std::vector<std::int64_t>& parts, std::int64_t C, double tolerance) {
  CAPTURE(C);
  const std::int64_t rows = std::accumulate(parts.begin(), parts.end(), std::int64_t{0});
  const Inputs in = make_inputs(rows, C, 3.0);
  const Results<double> expected = naive(rows, C, in, BatchNormMode::batch_statistics, true);
  const auto numbers = static_cast<std::size_t>(2 * C + 1);
  const auto share = [&](const std::vector<double>& from, std::int64_t first, std::int64_t count) {
    return std::vector<T>(from.begin() + first * C, from.begin() + (first + count) * C);
  };
  std::vector<double> moments;
  std::int64_t first = 0;
  for (const std::int64_t count : parts) {
    const BatchNormProblem problem{count, C, cks::dtype_of<T>()};
    const std::vector<T> x = share(in.x, first, count);
    const std::vector<double> of_part = run_kernel<double>(2 * C + 1, [&](double* to) {
      TargetBuffer workspace(target::batch_norm_workspace_bytes(problem));
      target::batch_norm_moments(problem, on_device(x), to, workspace.data());
      CHECK(workspace.intact());
    });
    moments.insert(moments.end(), of_part.begin(), of_part.end());
    first += count;
  }
  const BatchNormProblem any{0, C, cks::dtype_of<T>()};
  std::vector<T> inv_std;
  std::vector<T> running_mean;
  std::vector<T> running_var;
  const std::vector<T> mean = run_kernel<T>(C, [&](T* to) {
    const std::size_t bytes = static_cast<std::size_t>(C) * sizeof(T);
    TargetBuffer of_inv_std(bytes);
    TargetBuffer of_mean(bytes);
    TargetBuffer of_var(bytes);
    write_to(of_mean.as<T>(), std::vector<T>(in.running_mean.begin(), in.running_mean.end()));
    write_to(of_var.as<T>(), std::vector<T>(in.running_var.begin(), in.running_var.end()));
    target::batch_norm_merge(any, static_cast<std::int64_t>(parts.size()), on_device(moments), kEps,
                             kMomentum, to, of_inv_std.data(), of_mean.data(), of_var.data());
    inv_std = read_from<T>(of_inv_std);
    running_mean = read_from<T>(of_mean);
    running_var = read_from<T>(of_var);
  });
  std::vector<double> sums(numbers, 0.0);
  std::vector<T> dweight(static_cast<std::size_t>(C), T{0});
  first = 0;
  for (const std::int64_t count : parts) {
    const BatchNormProblem problem{count, C, cks::dtype_of<T>()};
    const std::vector<T> x = share(in.x, first, count);
    const std::vector<T> dy = share(in.dy, first, count);
    std::vector<T> of_weights;
    const std::vector<double> of_part = run_kernel<double>(2 * C + 1, [&](double* to) {
      TargetBuffer workspace(target::batch_norm_workspace_bytes(problem));
      TargetBuffer weights(static_cast<std::size_t>(C) * sizeof(T));
      target::batch_norm_gradient_sums(problem, on_device(x), on_device(dy), on_device(mean),
                                       on_device(inv_std), {}, to, weights.data(), nullptr,
                                       workspace.data());
      of_weights = read_from<T>(weights);
      CHECK(workspace.intact());
    });
    for (std::size_t c = 0; c < dweight.size(); ++c) {
      dweight[c] += of_weights[c];
    }
    for (std::size_t i = 0; i < numbers; ++i) {
      sums[i] += of_part[i];
    }
    first += count;
  }
  CHECK(sums.back() == static_cast<double>(rows));
  const std::vector<T> weight(in.weight.begin(), in.weight.end());
  std::vector<T> dx;
  first = 0;
  for (const std::int64_t count : parts) {
    const BatchNormProblem problem{count, C, cks::dtype_of<T>()};
    const std::vector<T> x = share(in.x, first, count);
    const std::vector<T> dy = share(in.dy, first, count);
    const std::vector<T> of_part = run_kernel<T>(count * C, [&](T* to) {
      target::batch_norm_input_gradient(problem, on_device(x), on_device(dy), on_device(mean),
                                        on_device(inv_std), on_device(weight), {}, on_device(sums),
                                        to);
    });
    dx.insert(dx.end(), of_part.begin(), of_part.end());
    first += count;
  }
  const auto equal = [&](const std::string& what, const auto& a, const auto& b, double bound) {
    const auto result = compare(a, b, {.absolute = bound});
    CHECK_MESSAGE(result.ok, what, ": ", result.message);
  };
  equal("mean", mean, expected.mean, 4.0 * tolerance);
  equal("inv_std", inv_std, expected.inv_std, 4.0 * tolerance);
  equal("running_mean", running_mean, expected.running_mean, 4.0 * tolerance);
  equal("running_var", running_var, expected.running_var, tolerance);
  equal("dweight", dweight, expected.dweight, 4.0 * tolerance * static_cast<double>(rows));
  equal("dx", dx, expected.dx, 12.0 * tolerance);
}

}  // namespace

TEST_CASE("batch_norm: the shares of several ranks give the whole batch's statistics") {
  for (const std::int64_t C : {1, 5, 16, 37, 300}) {
    for (const std::vector<std::int64_t>& parts :
         {std::vector<std::int64_t>{40}, {20, 20}, {1, 30, 3}, {1000, 1001}}) {
      check_shares<float>(parts, C, 1e-6);
      check_shares<double>(parts, C, 1e-13);
    }
  }
}

TEST_CASE("batch_norm: both modes and all gradients equal the formulas") {
  // Few rows and many, one channel, every width of a range of channels, many blocks.
  const std::vector<std::pair<std::int64_t, std::int64_t>> sizes{
      {2, 1}, {3, 5}, {7, 16}, {300, 3}, {50, 23}, {1000, 37}, {20000, 4}, {4, 20000}};
  for (const auto& [rows, C] : sizes) {
    check<float>(rows, C, 0.0, 1e-6);
    check<double>(rows, C, 0.0, 2e-15 * std::sqrt(static_cast<double>(rows)));
  }
}

TEST_CASE("batch_norm: gradients through an activation are those of dY masked by its result") {
  for (const auto& [rows, C] : {std::pair<std::int64_t, std::int64_t>{2, 1},
                                {33, 5},
                                {300, 16},
                                {1000, 24},
                                {20000, 64},
                                {40, 1032}}) {
    for (const bool has_residual : {false, true}) {
      for (const double slope : {0.0, 0.25}) {
        check_masked<float, float>(rows, C, has_residual, slope);
        check_masked<double, double>(rows, C, has_residual, slope);
        if (kTestsCuda) {
          check_masked<cks::bfloat16, float>(rows, C, has_residual, slope);
        }
      }
    }
  }
}

TEST_CASE("batch_norm: bfloat16's statistics are those of the same numbers in float32") {
  if (!kTestsCuda) {
    return;  // the kernels of CPUs take none
  }
  for (const auto& [rows, C] :
       {std::pair<std::int64_t, std::int64_t>{2, 3}, {1000, 8}, {65536, 64}, {50, 2056}}) {
    CAPTURE(rows);
    CAPTURE(C);
    std::vector<cks::bfloat16> x;
    std::vector<float> wide;
    for (const double value : values(rows * C, 1, 1.0, 3.0)) {
      x.push_back(from_double<cks::bfloat16>(value));
      wide.push_back(static_cast<float>(as_double(x.back())));
    }
    const std::vector<float> zeros(static_cast<std::size_t>(C), 0.0F);
    const std::vector<float> ones(static_cast<std::size_t>(C), 1.0F);
    const auto got = run_statistics<float>({rows, C, cks::DType::bfloat16}, x, zeros, ones);
    const auto expected = run_statistics<float>({rows, C, cks::DType::float32}, wide, zeros, ones);
    const auto equal = [](const auto& a, const auto& b) {
      const auto result = compare(a, b, {.absolute = 2e-6});
      CHECK_MESSAGE(result.ok, result.message);
    };
    equal(got.mean, expected.mean);
    equal(got.inv_std, expected.inv_std);
    equal(got.running_mean, expected.running_mean);
    equal(got.running_var, expected.running_var);
  }
}

TEST_CASE("batch_norm: a mean far from zero cancels nothing") {
  check<double>(500, 6, 1e6, 1e-14);
  // Exact in float32: 4096 + k/16.
  const std::vector<float> x{4096.0F, 4096.0625F, 4096.125F, 4096.1875F};
  const auto [mean, inv_std, running_mean, running_var] =
      run_statistics<float>({4, 1, cks::DType::float32}, x, {}, {});
  CHECK(mean[0] == 4096.09375F);
  CHECK(inv_std[0] == doctest::Approx(1.0 / std::sqrt(5.0 / 1024.0 + 1e-5)).epsilon(1e-6));
}

TEST_CASE("batch_norm: equal values give zeros, and no negative variance") {
  const std::vector<double> x(30, 0.1);
  const auto [mean, inv_std, running_mean, running_var] =
      run_statistics<double>({10, 3, cks::DType::float64}, x, {}, {});
  for (std::size_t c = 0; c < 3; ++c) {
    CHECK(mean[c] == 0.1);
    CHECK(inv_std[c] == doctest::Approx(1.0 / std::sqrt(1e-5)));
  }
}

TEST_CASE("batch_norm: a NaN stays in its channel") {
  Inputs in = make_inputs(40, 6, 0.0);
  in.x[static_cast<std::size_t>(11 * 6 + 2)] = std::numeric_limits<double>::quiet_NaN();
  const auto out = run<float>(40, 6, in, BatchNormMode::batch_statistics, true);
  for (std::size_t i = 0; i < out.y.size(); ++i) {
    REQUIRE(std::isnan(out.y[i]) == (i % 6 == 2));
    REQUIRE(std::isnan(out.dx[i]) == (i % 6 == 2));
  }
  CHECK(std::isnan(out.running_var[2]));
  CHECK_FALSE(std::isnan(out.running_var[1]));
}

TEST_CASE("batch_norm: only the gradients that are asked for, and no rows") {
  const Inputs in = make_inputs(9, 5, 0.0);
  const std::vector<double> mean(5, 0.5);
  const std::vector<double> inv_std(5, 2.0);
  const BatchNormProblem problem{9, 5, cks::DType::float64};
  const auto dbias = run_kernel<double>(5, [&](double* out) {
    TargetBuffer workspace(target::batch_norm_workspace_bytes(problem));
    target::batch_norm_backward(problem, BatchNormMode::batch_statistics, on_device(in.x),
                                on_device(in.dy), on_device(mean), on_device(inv_std), nullptr, {},
                                nullptr, nullptr, out, workspace.data());
    CHECK(workspace.intact());
  });
  double sum = 0.0;
  for (std::size_t r = 0; r < 9; ++r) {
    sum += in.dy[r * 5];
  }
  CHECK(dbias[0] == doctest::Approx(sum));
  const BatchNormProblem empty{0, 5, cks::DType::float64};
  const auto dweight = run_kernel<double>(5, [&](double* out) {
    TargetBuffer workspace(target::batch_norm_workspace_bytes(empty));
    target::batch_norm_backward(empty, BatchNormMode::given_statistics, nullptr, nullptr,
                                on_device(mean), on_device(inv_std), nullptr, {}, nullptr, out,
                                nullptr, workspace.data());
    CHECK(workspace.intact());
  });
  CHECK(dweight == std::vector<double>(5, 0.0));
}
