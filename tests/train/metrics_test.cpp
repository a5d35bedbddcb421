#include "cks/train/metrics.h"

#include <doctest/doctest.h>

#include <limits>

namespace {

using cks::ConfusionMatrix;
using cks::Tensor;

Tensor logits() {
  return Tensor::from_vector<float>({0.1F, 0.7F, 0.2F, 5.0F, -1.0F, 4.0F, 0.0F, 0.0F, 1.0F},
                                    {3, 3});
}

TEST_CASE("predicted classes are the largest logits") {
  CHECK(cks::predicted_classes(logits()) == std::vector<std::int64_t>{1, 0, 2});
  CHECK(cks::count_correct(logits(), Tensor::from_vector<std::int64_t>({1, 2, 2}, {3})) == 2);
  CHECK(cks::count_correct(logits(), Tensor::from_vector<std::int32_t>({0, 2, 1}, {3})) == 0);
}

TEST_CASE("count_in_top: labels among the k largest logits, of equal ones the lower index first") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor values = Tensor::from_vector<float>(
      {0.1F, 0.7F, 0.2F, 0.4F, 1.0F, 2.0F, 2.0F, 2.0F, nan, 1.0F, 2.0F, 3.0F}, {3, 4});
  const auto in_top = [&](std::int64_t a, std::int64_t b, std::int64_t c, std::int64_t k) {
    return cks::count_in_top(values, Tensor::from_vector<std::int64_t>({a, b, c}, {3}), k);
  };
  CHECK(in_top(1, 1, 3, 1) == 3);
  CHECK(in_top(3, 2, 2, 1) == 0);
  CHECK(in_top(3, 2, 2, 2) == 3);
  CHECK(in_top(2, 3, 1, 2) == 0);
  CHECK(in_top(2, 3, 1, 3) == 3);
  CHECK(in_top(0, 0, 0, 4) == 2);  // a NaN is in no top
  for (std::int64_t label = 0; label < 3; ++label) {
    const Tensor labels =
        Tensor::from_vector<std::int32_t>({static_cast<std::int32_t>(label), 0, 2}, {3});
    CHECK(cks::count_in_top(logits(), labels, 1) == cks::count_correct(logits(), labels));
  }
  CHECK_THROWS_WITH_AS(in_top(0, 4, 0, 1), "count_in_top: label 4 is outside [0, 4)", cks::Error);
  CHECK_THROWS_AS(in_top(0, -1, 0, 1), cks::Error);
  CHECK_THROWS_AS(in_top(0, 0, 0, 0), cks::Error);
}

TEST_CASE("metrics refuse what does not fit") {
  CHECK_THROWS_AS(cks::predicted_classes(Tensor::zeros({3})), cks::ShapeError);
  CHECK_THROWS_AS(cks::count_correct(logits(), Tensor::from_vector<std::int64_t>({1, 2}, {2})),
                  cks::ShapeError);
  CHECK_THROWS_AS(cks::count_correct(logits(), Tensor::zeros({3})), cks::DtypeError);
  for (const std::int64_t classes : {std::int64_t{0}, std::int64_t{1} << 40, INT64_MAX}) {
    CHECK_THROWS_AS(ConfusionMatrix{classes}, cks::ShapeError);
  }
}

TEST_CASE("a confusion matrix counts truth by prediction") {
  ConfusionMatrix matrix(3);
  CHECK(matrix.accuracy() == 0.0);
  matrix.add(logits(), Tensor::from_vector<std::int64_t>({1, 2, 2}, {3}));
  CHECK(matrix.at(1, 1) == 1);
  CHECK(matrix.at(2, 0) == 1);
  CHECK(matrix.at(2, 2) == 1);
  CHECK(matrix.at(0, 0) == 0);
  CHECK(matrix.total() == 3);
  CHECK(matrix.accuracy() == doctest::Approx(2.0 / 3.0));
  CHECK(matrix.to_csv() == "truth,0,1,2\n0,0,0,0\n1,0,1,0\n2,1,0,1\n");
  CHECK_THROWS_AS(matrix.add(logits(), Tensor::from_vector<std::int64_t>({1, 3, 2}, {3})),
                  cks::Error);
  CHECK(matrix.total() == 3);  // a refused batch adds nothing
  CHECK_THROWS_AS(matrix.at(0, 3), cks::ShapeError);
}

TEST_CASE("running metrics weight batches by their images") {
  cks::RunningMetrics metrics;
  CHECK(metrics.mean_loss() == 0.0);
  metrics.add(2.0, 60, 100);
  metrics.add(8.0, 0, 20);
  CHECK(metrics.mean_loss() == doctest::Approx(3.0));
  CHECK(metrics.accuracy() == doctest::Approx(0.5));
}

TEST_CASE("the peak of resident memory is that of a process") {
  CHECK(cks::peak_resident_bytes() > 1000000);
}

TEST_CASE("a confusion matrix says what accuracy hides where classes are of unequal size") {
  cks::ConfusionMatrix confusion(3);
  // 8 images of a, 2 of b, none of c; all are taken for a.
  confusion.add(
      cks::Tensor::from_vector(std::vector<float>(30, 0.0F), {10, 3}),
      cks::Tensor::from_vector(std::vector<std::int64_t>{0, 0, 0, 0, 0, 0, 0, 0, 1, 1}, {10}));
  CHECK(confusion.accuracy() == doctest::Approx(0.8));
  CHECK(confusion.balanced_accuracy() == doctest::Approx(0.5));
  CHECK(confusion.mean_iou() == doctest::Approx(0.4));  // of a 8 in 10, of b none; c occurs nowhere
  CHECK(confusion.never_predicted() == std::vector<std::int64_t>{1, 2});
  CHECK(confusion.to_csv({"a", "b, \"B\"", "c"}) ==
        "truth,a,\"b, \"\"B\"\"\",c\na,8,0,0\n\"b, \"\"B\"\"\",2,0,0\nc,0,0,0\n");
  CHECK_THROWS_AS(confusion.to_csv({"a"}), cks::ShapeError);
  CHECK(cks::ConfusionMatrix(2).balanced_accuracy() == 0.0);
  CHECK(cks::ConfusionMatrix(2).mean_iou() == 0.0);
}

}  // namespace
