// Batch norm by hand, and what twenty layers do to a signal and to its gradient: plain, with batch
// norm, with shortcuts beside it.
#include <array>
#include <cmath>

#include "cks/cks.h"
#include "drawing.h"

namespace {

using cks::Tensor;
using Numbers = std::vector<double>;
constexpr int kLayers = 20;
constexpr std::int64_t kChannels = 16;

// 1. One channel: (x - mean) / deviation forward; the gradient loses its mean, and its share along
// the result, because neither a shift nor a scale of x changes the result.
struct ByHand {
  Numbers y, dx;
};
ByHand batch_norm(const Numbers& x, const Numbers& dy) {
  const auto count = static_cast<double>(x.size());
  double mean = 0, variance = 0, mean_dy = 0, mean_dy_y = 0;
  for (const double value : x) {
    mean += value / count;
  }
  for (const double value : x) {
    variance += (value - mean) * (value - mean) / count;
  }
  const double deviation = std::sqrt(variance + 1e-5);
  ByHand result;
  for (std::size_t i = 0; i < x.size(); ++i) {
    result.y.push_back((x[i] - mean) / deviation);
    mean_dy += dy[i] / count;
    mean_dy_y += dy[i] * result.y[i] / count;
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    result.dx.push_back((dy[i] - mean_dy - result.y[i] * mean_dy_y) / deviation);
  }
  return result;
}

Tensor normalise(const Tensor& x) {
  Tensor no_statistics;
  return cks::batch_norm2d(x, {}, {}, no_statistics, no_statistics);
}

bool library_agrees(const Numbers& x, const Numbers& dy, const ByHand& ours) {
  const auto count = static_cast<std::int64_t>(x.size());
  Tensor input = Tensor::from_vector(x, {count, 1}).set_requires_grad();
  const Tensor y = normalise(input);
  y.backward(Tensor::from_vector(dy, {count, 1}));
  const Numbers theirs[] = {y.detach().to_vector<double>(), input.grad().to_vector<double>()};
  bool agree = true;
  for (std::size_t i = 0; i < x.size(); ++i) {
    agree = agree && std::abs(theirs[0][i] - ours.y[i]) < 1e-12 &&
            std::abs(theirs[1][i] - ours.dx[i]) < 1e-12;
  }
  return agree;
}

// 2. Twenty layers of 3x3 filters, drawn as the library draws them.
enum class Kind { plain, normalised, residual };

double deviation_of(const Tensor& tensor) {
  const double mean = cks::mean(tensor).item();
  return std::sqrt(cks::mean(cks::square(tensor)).item() - mean * mean);
}

/// The deviation of each layer's output, then that of the gradient there.
std::array<Numbers, 2> measure(Kind kind, Tensor x) {
  std::vector<Tensor> outputs;
  for (int i = 0; i < kLayers; ++i) {
    Tensor w = Tensor::empty({kChannels, 3, 3, x.size(3)});
    Tensor no_bias;
    cks::init::weight_and_bias(w, no_bias, 1, "layer" + std::to_string(i));
    Tensor y = cks::conv2d(x, w.set_requires_grad(), {}, {.padding = 1});
    if (kind != Kind::plain) {
      y = normalise(y);
    }
    if (kind == Kind::residual && i > 0) {
      y = y + x;
    }
    x = cks::relu(y);
    outputs.push_back(x);
  }
  // The rest of the network is not there: some gradient of deviation 1 comes back.
  Tensor from_above = Tensor::empty(x.shape());
  cks::init::normal(from_above, 0, 1, cks::init::parameter_key(1, "above", "dy"));
  std::array<Numbers, 2> sizes;
  for (const Tensor& output : outputs) {
    sizes[0].push_back(deviation_of(output.detach()));
  }
  for (const Tensor& gradient :
       cks::gradients(outputs.back(), {outputs.data(), outputs.size() - 1}, from_above)) {
    sizes[1].push_back(deviation_of(gradient));
  }
  sizes[1].push_back(1);
  return sizes;
}

}  // namespace

int main(int argc, char** argv) {
  const Numbers x{1, 2, 3, 6};
  const Numbers dy{1, 0, 0, -1};
  const ByHand ours = batch_norm(x, dy);
  std::printf("x  %8.3f %8.3f %8.3f %8.3f\n", x[0], x[1], x[2], x[3]);
  std::printf("y  %8.3f %8.3f %8.3f %8.3f\n", ours.y[0], ours.y[1], ours.y[2], ours.y[3]);
  std::printf("dx %8.3f %8.3f %8.3f %8.3f\n", ours.dx[0], ours.dx[1], ours.dx[2], ours.dx[3]);
  const bool right = library_agrees(x, dy, ours);
  std::printf("the library agrees: %s\n\n", right ? "yes" : "no");

  const cks::TrainTest digits = cks::drawn_digits({.train_count = 32, .test_count = 10});
  const cks::DataLoader loader(digits.train, {.batch_size = 32, .shuffle = false, .prefetch = 0});
  const Tensor images = loader.make_batch(0, 0).images;

  book::Drawing drawing(640, 196);
  const char* lines[] = {"line-a", "line-b", "line-c"};
  const char* names[] = {"plain", "batch norm", "with shortcuts"};
  std::printf("deviation            of the output of layer     of the gradient there\n");
  std::printf("                       1       10       20       1       10       20\n");
  for (int kind = 0; kind < 3; ++kind) {
    const std::array<Numbers, 2> sizes = measure(static_cast<Kind>(kind), images);
    std::printf("%-16s", names[kind]);
    for (int side = 0; side < 2; ++side) {
      const Numbers& of = sizes[static_cast<std::size_t>(side)];
      std::printf(" %8.1e %8.1e %8.1e", of[0], of[9], of[19]);
      const auto place = [&](int layer) {
        return std::pair(30 + 330.0 * side + 13 * layer,
                         70 - 9 * std::log10(of[static_cast<std::size_t>(layer)]));
      };
      for (int layer = 1; layer < kLayers; ++layer) {
        const auto [x1, y1] = place(layer - 1);
        const auto [x2, y2] = place(layer);
        drawing.line(x1, y1, x2, y2, lines[kind]);
      }
    }
    std::printf("\n");
    drawing.text(62 + 150.0 * kind, 188, names[kind]);
    drawing.line(30 + 150.0 * kind, 184, 56 + 150.0 * kind, 184, lines[kind]);
  }
  for (int side = 0; side < 2; ++side) {
    drawing.text(30 + 330.0 * side, 12,
                 side == 0 ? "deviation of the outputs" : "of the gradients");
    drawing.line(30 + 330.0 * side, 20, 30 + 330.0 * side, 158, "stroke");
    for (const auto& [power, label] : {std::pair{3, "10³"}, {0, "1"}, {-3, "10⁻³"}, {-6, "10⁻⁶"}}) {
      drawing.text(27 + 330.0 * side, 74 - 9.0 * power, label, "end");
    }
    drawing.text(30 + 330.0 * side, 170, "layer 1");
    drawing.text(277 + 330.0 * side, 170, "20", "end");
  }
  drawing.save(
      argc, argv,
      "The deviation of outputs and gradients in twenty layers, in three kinds of network");
  return right ? 0 : 1;
}
