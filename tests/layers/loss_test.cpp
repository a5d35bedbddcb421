#include "cks/layers/loss.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/support/tensors.h"

namespace cks {
namespace {

TEST_CASE("CrossEntropyLoss: uniform logits cost log(C), with and without smoothing") {
  const Tensor logits = Tensor::zeros({3, 4}, DType::float64);
  const Tensor labels = Tensor::from_vector<std::int64_t>({0, 3, 1}, {3});
  CHECK(CrossEntropyLoss()(logits, labels).item() == doctest::Approx(std::log(4.0)));
  CHECK(CrossEntropyLoss({.label_smoothing = 0.3})(logits, labels).item() ==
        doctest::Approx(std::log(4.0)));
  CHECK(CrossEntropyLoss().description().empty());
  CHECK(CrossEntropyLoss({.label_smoothing = 0.1}).description() == "label smoothing 0.1");
}

TEST_CASE("CrossEntropyLoss: bad options and arguments") {
  CHECK_THROWS_AS(CrossEntropyLoss({.label_smoothing = -0.1}), Error);
  CHECK_THROWS_AS(CrossEntropyLoss({.label_smoothing = 1.1}), Error);
  CrossEntropyLoss loss;
  CHECK_THROWS_AS(loss(Tensor::zeros({3, 4}), Tensor::zeros({2}, DType::int64)), ShapeError);
  CHECK_THROWS_AS(loss(Tensor::zeros({3, 4}), Tensor::full({3}, 4, DType::int64)), Error);
}

TEST_CASE("CrossEntropyLoss: of pixels, some of them ignored") {
  CrossEntropyLoss loss({.label_smoothing = 0.1, .ignore_index = 255});
  CHECK(loss.description() == "label smoothing 0.1, ignores 255");
  Tensor labels = Tensor::full({1, 2, 2}, 255, DType::int64);
  labels.data_as<std::int64_t>()[3] = 1;
  CHECK(loss(Tensor::zeros({1, 2, 2, 4}, DType::float64), labels).item() ==
        doctest::Approx(std::log(4.0)));
}

TEST_CASE("BCEWithLogitsLoss: a logit of 0 costs log(2), whatever the target") {
  const Tensor logits = Tensor::zeros({2, 2}, DType::float64);
  const Tensor target = Tensor::from_vector<double>({0, 1, 0.5, 0.25}, {2, 2});
  CHECK(BCEWithLogitsLoss()(logits, target).item() == doctest::Approx(std::log(2.0)));
  CHECK_THROWS_AS(BCEWithLogitsLoss()(logits, Tensor::zeros({4}, DType::float64)), ShapeError);
}

TEST_CASE("MSELoss: the mean of squares") {
  const Tensor a = Tensor::from_vector<double>({1, 2, 3, 4}, {2, 2});
  CHECK(MSELoss()(a, Tensor::zeros({2, 2}, DType::float64)).item() == 30.0 / 4.0);
  CHECK_THROWS_AS(MSELoss()(a, Tensor::zeros({4}, DType::float64)), ShapeError);
}

TEST_CASE("L1Loss, HuberLoss: means of distances") {
  const Tensor a = Tensor::from_vector<double>({1, 2, -3, 4}, {2, 2});
  const Tensor zeros = Tensor::zeros({2, 2}, DType::float64);
  CHECK(L1Loss()(a, zeros).item() == 10.0 / 4.0);
  CHECK(HuberLoss()(a, zeros).item() == (0.5 + 1.5 + 2.5 + 3.5) / 4.0);
  CHECK(HuberLoss({.delta = 2.0})(a, zeros).item() == (0.5 + 2.0 + 4.0 + 6.0) / 4.0);
  CHECK_THROWS_AS(HuberLoss({.delta = -1.0})(a, zeros), Error);
}

TEST_CASE("losses may be members of a module") {
  struct Net : Module {
    CrossEntropyLoss loss{this, "loss", {.label_smoothing = 0.1}};
    MSELoss distance{this, "distance"};
  };
  Net net;
  CHECK(net.children().size() == 2);
  CHECK(net.num_parameters() == 0);
  std::vector<std::string> seen;
  net.set_forward_hook([&](Module& module, const std::vector<Tensor>& inputs, const Tensor& loss) {
    seen.push_back(module.path() + " " + std::to_string(inputs.size()) + " " +
                   loss.shape().to_string());
  });
  net.distance(Tensor::ones({2}), Tensor::zeros({2}));
  CHECK(seen == std::vector<std::string>{"distance 2 []"});
}

}  // namespace
}  // namespace cks
