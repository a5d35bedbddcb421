// A tape in a page: numbers that remember how they were made, and a walk back.
#include <cmath>
#include <string>

#include "cks/cks.h"
#include "drawing.h"

namespace {

class Tape {
 public:
  using Index = std::size_t;  // of a value on the tape

  Index leaf(const char* name, double value) { return push({name, value}); }
  Index add(Index a, Index b) { return push({"+", at(a) + at(b), a, 1, b, 1}); }
  Index subtract(Index a, Index b) { return push({"−", at(a) - at(b), a, 1, b, -1}); }
  Index multiply(Index a, Index b) { return push({"·", at(a) * at(b), a, at(b), b, at(a)}); }
  Index relu(Index a) { return push({"relu", std::max(at(a), 0.0), a, at(a) > 0 ? 1.0 : 0.0}); }
  Index square(Index a) { return push({"²", at(a) * at(a), a, 2 * at(a)}); }

  /// How much `output` grows with each value of the tape.
  std::vector<double> backward(Index output) const {
    std::vector<double> gradient(entries_.size());
    gradient[output] = 1;
    for (Index i = output + 1; i-- > 0;) {  // from the end: all users of a value come before it
      const Entry& e = entries_[i];
      gradient[e.a] += gradient[i] * e.by_a;  // += : a value that is used twice has two shares
      gradient[e.b] += gradient[i] * e.by_b;
    }
    return gradient;
  }

  struct Entry {
    std::string name;
    double value;
    Index a = 0;      // the first operand,
    double by_a = 0;  // and the derivative by it, a number; 0: there is none
    Index b = 0;
    double by_b = 0;
  };
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  double at(Index i) const { return entries_[i].value; }
  Index push(Entry entry) {
    entries_.push_back(std::move(entry));
    return entries_.size() - 1;
  }
  std::vector<Entry> entries_;
};

void draw(const Tape& tape, const std::vector<double>& gradient, int argc, char** argv) {
  const double width = 640.0 / static_cast<double>(tape.entries().size());
  book::Drawing drawing(640, 150);
  for (std::size_t i = 0; i < tape.entries().size(); ++i) {
    const Tape::Entry& e = tape.entries()[i];
    const double x = width * static_cast<double>(i);
    const bool leaf = e.by_a == 0 && e.by_b == 0 && e.name != "relu";
    drawing.cell(x + 4, 20, width - 8, 30, e.name, leaf ? "fill-b" : "fill-a");
    drawing.text(x + width / 2, 72, book::Drawing::number(e.value), "middle");
    drawing.text(x + width / 2, 132, book::Drawing::number(gradient[i]), "middle strong");
  }
  drawing.text(0, 12, "forward: values, from left to right");
  drawing.line(4, 84, 632, 84, "stroke");
  drawing.line(632, 84, 624, 80, "stroke");
  drawing.line(632, 84, 624, 88, "stroke");
  drawing.text(0, 112, "backward: gradients, from right to left");
  drawing.line(4, 142, 632, 142, "stroke");
  drawing.line(4, 142, 12, 138, "stroke");
  drawing.line(4, 142, 12, 146, "stroke");
  drawing.save(argc, argv, "Nine entries of a tape with their values and gradients");
}

}  // namespace

int main(int argc, char** argv) {
  double w_now = 2;
  double b_now = -1;
  bool right = true;
  for (int step = 0; step <= 3; ++step) {
    Tape tape;  // loss = (relu(w*x + b) - t)^2
    const Tape::Index w = tape.leaf("w", w_now);
    const Tape::Index x = tape.leaf("x", 3);
    const Tape::Index b = tape.leaf("b", b_now);
    const Tape::Index t = tape.leaf("t", 3);
    const Tape::Index product = tape.multiply(w, x);
    const Tape::Index sum = tape.add(product, b);
    const Tape::Index positive = tape.relu(sum);
    const Tape::Index loss = tape.square(tape.subtract(positive, t));
    const std::vector<double> gradient = tape.backward(loss);
    if (step == 0) {
      draw(tape, gradient, argc, argv);
    }

    // The same with the library's tape, whose values are tensors.
    cks::Tensor w_tensor = cks::Tensor::scalar(w_now, cks::DType::float64).set_requires_grad();
    cks::Tensor b_tensor = cks::Tensor::scalar(b_now, cks::DType::float64).set_requires_grad();
    const cks::Tensor theirs = cks::square(cks::relu(w_tensor * 3.0 + b_tensor) - 3.0);
    theirs.backward();
    right = right && theirs.item() == tape.entries()[loss].value &&
            w_tensor.grad().item() == gradient[w] && b_tensor.grad().item() == gradient[b];

    std::printf("step %d: w = %.3f, b = %.3f, loss = %.3f, dw = %.3f, db = %.3f\n", step, w_now,
                b_now, tape.entries()[loss].value, gradient[w], gradient[b]);
    w_now -= 0.02 * gradient[w];  // gradient descent
    b_now -= 0.02 * gradient[b];
  }
  std::printf("the library agrees: %s\n", right ? "yes" : "no");
  return right ? 0 : 1;
}
