#include "cks/core/optim/muon.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <string>

#include "cks/core/autograd/autograd.h"
#include "cks/core/capture/branches_impl.h"
#include "cks/core/capture/capture.h"
#include "cks/core/conv/matmul.h"
#include "cks/core/device/capture_rules.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/reduce.h"
#include "tests/support/devices.h"
#include "tests/support/tensors.h"
#include "tests/support/threads.h"

namespace cks {
namespace {

using namespace testing;

/// A matrix of plain numbers, as the formulas are written on paper.
struct Matrix {
  std::int64_t rows, columns;
  std::vector<double> values;
  double& at(std::int64_t r, std::int64_t c) {
    return values[static_cast<std::size_t>(r * columns + c)];
  }
  double at(std::int64_t r, std::int64_t c) const {
    return values[static_cast<std::size_t>(r * columns + c)];
  }
};

Matrix times(const Matrix& a, const Matrix& b) {
  Matrix product{a.rows, b.columns,
                 std::vector<double>(static_cast<std::size_t>(a.rows * b.columns))};
  for (std::int64_t r = 0; r < a.rows; ++r) {
    for (std::int64_t c = 0; c < b.columns; ++c) {
      for (std::int64_t k = 0; k < a.columns; ++k) {
        product.at(r, c) += a.at(r, k) * b.at(k, c);
      }
    }
  }
  return product;
}

Matrix transposed(const Matrix& a) {
  Matrix result{a.columns, a.rows, a.values};
  for (std::int64_t r = 0; r < a.rows; ++r) {
    for (std::int64_t c = 0; c < a.columns; ++c) {
      result.at(c, r) = a.at(r, c);
    }
  }
  return result;
}

double norm_of(const std::vector<double>& values) {
  double squares = 0.0;
  for (const double value : values) {
    squares += value * value;
  }
  return std::sqrt(squares);
}

Matrix orthogonal(Matrix x, int iterations = 5) {
  const double norm = std::max(norm_of(x.values), 1e-7);
  for (double& value : x.values) {
    value /= norm;
  }
  for (int i = 0; i < iterations; ++i) {
    const Matrix once = times(times(x, transposed(x)), x);
    const Matrix twice = times(times(x, transposed(x)), once);
    for (std::size_t e = 0; e < x.values.size(); ++e) {
      x.values[e] = 3.4445 * x.values[e] - 4.7750 * once.values[e] + 2.0315 * twice.values[e];
    }
  }
  return x;
}

TEST_CASE("newton_schulz: wide, tall, square, tiny and zero matrices, as on paper") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    for (const Shape& shape : {Shape{3, 7}, Shape{7, 3}, Shape{4, 4}, Shape{1, 5}, Shape{5, 1}}) {
      CAPTURE(shape.to_string());
      for (const double scale : {1.0, 1e-9, 0.0}) {
        CAPTURE(scale);
        const Tensor matrix = random_tensor(shape, 3, DType::float64) * scale;
        const Matrix wanted = orthogonal({shape[0], shape[1], doubles(matrix)}, 4);
        const auto same = compare(newton_schulz(matrix.to(device), 4),
                                  Tensor::from_vector(wanted.values, shape), {1e-11});
        CHECK_MESSAGE(same.ok, same.message);
      }
    }
  }
}

TEST_CASE("newton_schulz: in a run of bf16 the iterations are, the result is not") {
  const Tensor matrix = random_tensor({3, 5}, 4, DType::float32);
  const Tensor exact = newton_schulz(matrix.to(DType::float64));
  const Tensor wide = newton_schulz(matrix);
  const PrecisionScope precision(Precision::bf16);
  for (const Device device : test_devices()) {
    const Tensor narrow = newton_schulz(matrix.to(device));
    CHECK(narrow.dtype() == DType::float32);
    // Errors of 2^-9 a product, of which each iteration keeps a part.
    const auto same = compare(narrow, exact, {0x1p-5});
    CHECK_MESSAGE(same.ok, same.message);
    CHECK(doubles(narrow) != doubles(wide));
    const Tensor unrounded = newton_schulz(matrix.to(device).to(DType::float64));
    CHECK(compare(unrounded, exact, {1e-11}).ok);  // float64 stays what it is
  }
}

TEST_CASE("newton_schulz: singular values end near 1, singular vectors stay") {
  // Of diag(s) these are s and the axes.
  const std::vector<double> s{5.0, -2.0, 0.5, 0.05};
  Tensor matrix = Tensor::zeros({4, 6});
  for (std::int64_t i = 0; i < 4; ++i) {
    matrix.data_as<float>()[i * 6 + i] = static_cast<float>(s[static_cast<std::size_t>(i)]);
  }
  const std::vector<double> result = doubles(newton_schulz(matrix));
  for (std::size_t r = 0; r < 4; ++r) {
    for (std::size_t c = 0; c < 6; ++c) {
      const double value = result[r * 6 + c];
      if (r != c) {
        CHECK(std::abs(value) < 1e-6);
      } else {
        CHECK(std::abs(value) > 0.68);
        CHECK(std::abs(value) < 1.21);
        CHECK((value > 0.0) == (s[r] > 0.0));
      }
    }
  }
  CHECK(message_of<ShapeError>([] {
          newton_schulz(Tensor::ones({2, 2, 2}));
        }).starts_with("newton_schulz: matrix"));
  CHECK_THROWS_AS(newton_schulz(Tensor::ones({2, 2}, DType::int64)), DtypeError);
  CHECK(message_of<Error>([] {
          newton_schulz(Tensor::ones({2, 2}), 0);
        }) == "newton_schulz: iterations must be at least 1, got 0");
}

/// A filter, a tall matrix and a bias.
struct Problem {
  std::vector<Shape> shapes{{3, 2, 2, 2}, {6, 2}, {4}};
  NamedTensors parameters;

  explicit Problem(DType dtype = DType::float64, Device device = {}) {
    const std::vector<std::string> names{"filter", "tall", "bias"};
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      parameters.emplace_back(names[i], random_tensor(shapes[i], i, dtype).to(device));
      parameters.back().second.set_requires_grad();
    }
  }
  /// Random ones of step t; none for the filter in step 2.
  void set_gradients(int t) {
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      Tensor& p = parameters[i].second;
      p.zero_grad();
      if (t != 2 || i != 0) {
        p.set_grad(random_tensor(shapes[i], static_cast<std::uint64_t>(10 * t) + i, p.dtype())
                       .to(p.device()));
      }
    }
  }
  std::vector<double> values(std::size_t i) const { return doubles(parameters[i].second); }
};

constexpr int kSteps = 4;

/// A matrix after kSteps by the formula, `grad_scale` being the step's argument.
std::vector<double> by_hand(const Problem& start, std::size_t index, const MuonOptions& options,
                            double grad_scale) {
  const Shape& shape = start.shapes[index];
  const std::int64_t rows = shape[0];
  const std::int64_t columns = shape.numel() / rows;
  std::vector<double> p = start.values(index);
  std::vector<double> b(p.size());
  for (int t = 1; t <= kSteps; ++t) {
    if (t == 2 && index == 0) {
      continue;
    }
    Matrix g{
        rows, columns,
        doubles(random_tensor(shape, static_cast<std::uint64_t>(10 * t) + index, DType::float64))};
    for (std::size_t e = 0; e < p.size(); ++e) {
      const double grad = g.values[e] * grad_scale;
      b[e] = options.momentum * b[e] + grad;
      g.values[e] = options.nesterov ? grad + options.momentum * b[e] : b[e];
    }
    const Matrix o = orthogonal(g, static_cast<int>(options.iterations));
    const double norm = norm_of(p);
    const double stretch =
        std::sqrt(std::max(1.0, static_cast<double>(rows) / static_cast<double>(columns)));
    for (std::size_t e = 0; e < p.size(); ++e) {
      if (options.normalize_weights) {
        p[e] *= std::sqrt(static_cast<double>(rows)) / norm;
      }
      p[e] -= options.learning_rate * (stretch * o.values[e] + options.weight_decay * p[e]);
    }
  }
  return p;
}

TEST_CASE("Muon: matrices follow the formula") {
  std::vector<MuonOptions> all(4);
  all[1].nesterov = false;
  all[1].weight_decay = 0.1;
  all[2].normalize_weights = true;
  all[2].iterations = 3;
  all[3].nesterov = false;
  all[3].momentum = 0.0;
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    for (const MuonOptions& options : all) {
      for (const DType dtype : {DType::float64, DType::float32}) {
        Problem problem(dtype, device);
        Muon optimizer(problem.parameters, options);
        for (int t = 1; t <= kSteps; ++t) {
          problem.set_gradients(t);
          optimizer.step(Tensor::scalar(0.5, DType::float64, device));
        }
        for (std::size_t i = 0; i < 2; ++i) {
          const auto same =
              compare(problem.parameters[i].second,
                      Tensor::from_vector(by_hand(Problem(), i, options, 0.5), problem.shapes[i]),
                      {dtype == DType::float64 ? 1e-11 : 2e-5});
          CHECK_MESSAGE(same.ok, same.message);
        }
      }
    }
  }
}

TEST_CASE("newton_schulz: rounded products leave no directions that the matrix lacks") {
  // Of rank 1: u v^T.
  const Tensor matrix =
      matmul(random_tensor({64, 1}, 6, DType::float32), random_tensor({1, 576}, 7, DType::float32));
  const Tensor exact = newton_schulz(matrix.to(DType::float64)).to(DType::float32);
  for (const Device device : test_devices()) {
    const PrecisionScope precision(device.is_cuda() ? Precision::tf32 : Precision::fp32);
    const Tensor gap = newton_schulz(matrix.to(device)).to(Device::cpu()) - exact;
    CHECK(std::sqrt(sum(square(gap)).item() / sum(square(exact)).item()) < 1e-2);
  }
}

TEST_CASE("Muon: more matrices than lines side by side, captured and not") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    NamedTensors a, b;
    for (std::int64_t i = 0; i < 9; ++i) {
      const Tensor values =
          random_tensor({3 + i % 4, 2, 2 + i % 3}, 60 + static_cast<std::uint64_t>(i));
      for (NamedTensors* const half : {&a, &b}) {
        half->emplace_back("w" + std::to_string(i),
                           values.clone().to(device).set_requires_grad(true));
      }
    }
    Muon plain(a, {.learning_rate = 0.1});
    Muon recorded(b, {.learning_rate = 0.1});
    const auto body = [](const NamedTensors& parameters, Muon& optimizer) {
      optimizer.zero_grad();
      Tensor loss = sum(square(parameters[0].second - 1.0));
      for (std::size_t i = 1; i < parameters.size(); ++i) {
        loss = loss + sum(square(parameters[i].second - 1.0 / static_cast<double>(i)));
      }
      loss.backward();
      optimizer.step();
    };
    CapturedStep step([&] { body(b, recorded); }, device);
    for (int t = 0; t < 4; ++t) {
      body(a, plain);
      step.run();
      for (std::size_t i = 0; i < a.size(); ++i) {
        CHECK(doubles(a[i].second) == doubles(b[i].second));
      }
    }
  }
}

TEST_CASE("Muon: a captured step repeats with new gradients") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Problem a(DType::float32, device);
    Problem b(DType::float32, device);
    Muon plain(a.parameters, {.learning_rate = 0.1});
    Muon recorded(b.parameters, {.learning_rate = 0.1});
    Tensor target = Tensor::zeros({3, 2, 2, 2}, DType::float32, device);
    const auto body = [&target](Problem& problem, Muon& optimizer) {
      optimizer.zero_grad();
      sum(square(problem.parameters[0].second - target)).backward();
      optimizer.step();
    };
    CapturedStep step([&] { body(b, recorded); }, device);
    for (std::uint64_t t = 0; t < 5; ++t) {
      target.copy_(random_tensor({3, 2, 2, 2}, 50 + t).to(device));
      body(a, plain);
      step.run();
      CHECK(a.values(0) == b.values(0));
    }
  }
}

TEST_CASE("Muon: vectors, and groups that say so, are stepped by SGD or AdamW") {
  for (const Device device : test_devices()) {
    for (const bool with_sgd : {true, false}) {
      CAPTURE(with_sgd);
      Problem problem(DType::float64, device);
      Problem other(DType::float64, device);
      const auto groups = [](const Problem& from) {
        return std::vector<ParameterGroup>{
            {.parameters = {from.parameters[0]}},
            {.parameters = {from.parameters[1]}, .learning_rate_scale = 0.5, .as_vectors = true},
            {.parameters = {from.parameters[2]}, .weight_decay_scale = 3.0}};
      };
      const SgdOptions sgd{.learning_rate = 0.1, .momentum = 0.8, .weight_decay = 0.1};
      const AdamWOptions adamw{.learning_rate = 0.1};
      Muon muon(groups(problem), {.learning_rate = 0.02,
                                  .vectors = with_sgd ? MuonOptions{.vectors = sgd}.vectors
                                                      : MuonOptions{.vectors = adamw}.vectors});
      const auto plain = with_sgd
                             ? std::unique_ptr<Optimizer>(std::make_unique<Sgd>(groups(other), sgd))
                             : std::make_unique<AdamW>(groups(other), adamw);
      for (int t = 1; t <= kSteps; ++t) {
        if (t == 3) {  // a schedule moves both rates alike
          muon.set_learning_rate(0.01);
          plain->set_learning_rate(0.05);
        }
        problem.set_gradients(t);
        other.set_gradients(t);
        muon.step();
        plain->step();
      }
      for (const std::size_t i : {1, 2}) {
        const auto same =
            compare(problem.parameters[i].second, other.parameters[i].second, {1e-13});
        CHECK_MESSAGE(same.ok, same.message);
      }
      std::string keys;
      for (const auto& [key, tensor] : muon.state()) {
        keys += key + " ";
      }
      CHECK(keys == (with_sgd ? "learning_rate step momentum_buffer.filter momentum_buffer.tall "
                                "momentum_buffer.bias "
                              : "learning_rate step momentum_buffer.filter exp_avg.tall "
                                "exp_avg.bias exp_avg_sq.tall exp_avg_sq.bias step.tall "
                                "step.bias "));
    }
  }
}

TEST_CASE("Muon: resumes bit for bit, with any number of threads; a skipped step changes nothing") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Problem whole(DType::float32, device);
    Muon uninterrupted(whole.parameters, {.normalize_weights = true});
    whole.set_gradients(1);
    uninterrupted.step();
    const NamedTensors saved = uninterrupted.state();

    Problem resumed(DType::float32, device);
    for (std::size_t i = 0; i < 3; ++i) {
      resumed.parameters[i].second.set_data(whole.parameters[i].second.clone());
    }
    Muon other(resumed.parameters, {.normalize_weights = true});
    other.load_state(saved);
    for (int t = 3; t <= kSteps; ++t) {
      whole.set_gradients(t);
      uninterrupted.step();
      resumed.set_gradients(t);
      const testing::ThreadCount threads(t);
      other.step();
    }
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(whole.values(i) == resumed.values(i));
    }
    const NamedTensors before = other.state();
    resumed.set_gradients(5);
    other.step({}, Tensor::ones({}, DType::uint8, device));
    const NamedTensors after = other.state();
    for (std::size_t i = 0; i < before.size(); ++i) {
      CHECK(doubles(before[i].second) == doubles(after[i].second));
    }
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(whole.values(i) == resumed.values(i));
    }
  }
}

/// Counts the products of Newton and Schulz's iterations on the main line and on each branch.
struct CountedBranches : SideStreams, capture::Notes {
  std::array<int, Branches::kCount + 1> products{};
  std::size_t branch = 0;

  void enter(int entered) override { branch = static_cast<std::size_t>(entered); }
  void leave() override { branch = 0; }
  void join() override {}
  void add_result(const char* operation, const Shape& /*shape*/, Device /*device*/) override {
    products[branch] += std::string(operation) == "newton_schulz" ? 1 : 0;
  }
  void add_write(const std::shared_ptr<Storage>& /*storage*/) override {}
};

TEST_CASE("Muon: a captured step shares its matrices out evenly, so that no branch is waited for") {
  constexpr int kEach = 3;
  CountedBranches counted;
  NamedTensors parameters;
  for (std::size_t i = 0; i < kEach * counted.products.size(); ++i) {
    Tensor p = random_tensor({3, 4}, i).set_requires_grad();
    p.set_grad(random_tensor({3, 4}, 100 + i));
    parameters.emplace_back("p" + std::to_string(i), p);
  }
  Muon optimizer(parameters, {.iterations = 2});
  {
    const SideStreamsScope branches(&counted);
    const capture::NotesScope notes(&counted);
    optimizer.step();
  }
  for (const int products : counted.products) {
    CHECK(products == kEach * 2 * 3);
  }
}

TEST_CASE("Muon: the momentum moves, options out of range are named") {
  Problem problem;
  Muon optimizer(problem.parameters);
  optimizer.set_momentum(0.5);
  CHECK(optimizer.momentum() == 0.5);
  const auto error = [&](const MuonOptions& options) {
    return message_of<Error>([&] { Muon(problem.parameters, options); });
  };
  CHECK(error({.learning_rate = 0.0}) == "muon: learning_rate must be above 0");
  CHECK(error({.momentum = -1.0}) == "muon: momentum must be finite, at least 0, got -1");
  CHECK(error({.momentum = 0.0}) == "muon: nesterov needs a momentum above 0");
  CHECK(error({.weight_decay = -1.0}) == "muon: weight_decay must be finite, at least 0, got -1");
  CHECK(error({.iterations = 0}) == "muon: iterations must be at least 1, got 0");
  CHECK(error({.vectors = SgdOptions{.momentum = -2.0}}) ==
        "sgd: momentum must be finite, at least 0, got -2");
  CHECK(error({.vectors = AdamWOptions{.beta1 = 1.0}}) ==
        "adamw: beta1 must be finite, at least 0 and below 1, got 1");
}

}  // namespace
}  // namespace cks
