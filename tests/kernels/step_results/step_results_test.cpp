#include "cks/kernels/step_results/step_results.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/support/run_kernel.h"

using cks::kernels::BatchOutputs;
using cks::kernels::StepResults;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Results in memory of the device.
class Results {
 public:
  Results() : memory_(sizeof(StepResults)), skip_(1) {
    write_to(memory_.as<double>(), std::vector<double>(sizeof(StepResults) / sizeof(double), 0.0));
  }
  template <class T>
  void add(T loss, std::int64_t images) {
    TargetBuffer value(sizeof(T));
    write_to(value.as<T>(), std::vector<T>{loss});
    target::add_batch({.images = images, .loss = value.data(), .loss_dtype = cks::dtype_of<T>()},
                      memory_.as<StepResults>());
    read();
  }
  template <class T>
  void add_logits(const std::vector<T>& logits, std::int64_t classes,
                  const std::vector<std::int64_t>& labels) {
    TargetBuffer values(logits.size() * sizeof(T));
    TargetBuffer truth(labels.size() * sizeof(std::int64_t));
    TargetBuffer loss(sizeof(double));
    write_to(values.as<T>(), logits);
    write_to(truth.as<std::int64_t>(), labels);
    write_to(loss.as<double>(), std::vector<double>{1.0});
    target::add_batch({.images = static_cast<std::int64_t>(labels.size()),
                       .loss = loss.data(),
                       .loss_dtype = cks::DType::float64,
                       .logits = values.data(),
                       .logits_dtype = cks::dtype_of<T>(),
                       .classes = classes,
                       .labels = truth.as<std::int64_t>()},
                      memory_.as<StepResults>());
    read();
  }
  bool judge(double norm) {
    TargetBuffer value(sizeof(double));
    write_to(value.as<double>(), std::vector<double>{norm});
    target::judge_step(value.as<double>(), memory_.as<StepResults>(), skip_.as<std::uint8_t>());
    return read_from<std::uint8_t>(skip_)[0] != 0;
  }
  StepResults read() {
    REQUIRE(memory_.intact());
    return read_from<StepResults>(memory_)[0];
  }

 private:
  TargetBuffer memory_;
  TargetBuffer skip_;
};

template <class T>
void check_correct(std::int64_t images, std::int64_t classes) {
  const std::vector<T> logits = random_values<T>(images * classes, 3);
  std::vector<std::int64_t> labels;
  std::int64_t expected = 0;
  for (std::int64_t i = 0; i < images; ++i) {
    const auto row = logits.begin() + i * classes;
    const std::int64_t greatest = std::max_element(row, row + classes) - row;
    labels.push_back(i % 3 == 0 ? greatest : (greatest + 1) % classes);
    expected += labels.back() == greatest ? 1 : 0;
  }
  Results results;
  results.add_logits(logits, classes, labels);
  CHECK(results.read().pending_correct == static_cast<double>(expected));
  CHECK(results.read().pending_images == static_cast<double>(images));
}

}  // namespace

TEST_CASE("step results: correct classifications are counted, whatever the sizes and dtype") {
  for (const std::int64_t images : {1, 31, 512, 513, 2000}) {
    for (const std::int64_t classes : {1, 2, 10, 77}) {
      check_correct<float>(images, classes);
      check_correct<double>(images, classes);
    }
  }
  Results results;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  results.add_logits<float>({1, 1, 0, nan, 2, 1, nan, 1, 5}, 3, {0, 0, 0});  // the first of equals
  CHECK(results.read().pending_correct == 3.0);
}

TEST_CASE("step results: pieces of a batch count by their images") {
  Results results;
  results.add<float>(2.0F, 3);
  results.add<double>(4.0, 1);
  CHECK(results.read().pending_loss_sum == 10.0);
  CHECK_FALSE(results.judge(7.0));
  const StepResults now = results.read();
  CHECK(now.loss == 2.5);
  CHECK(now.loss_sum == 10.0);
  CHECK(now.images == 4.0);
  CHECK(now.steps == 1.0);
  CHECK(now.gradient_norm == 7.0);
  CHECK(now.pending_images == 0.0);
}

TEST_CASE("step results: from the first bad loss or norm on nothing is added") {
  for (const bool bad_loss : {false, true}) {
    for (const double bad : {kInfinity, -kInfinity, std::nan("")}) {
      Results results;
      results.add<float>(1.0F, 8);
      CHECK_FALSE(results.judge(3.0));
      results.add<float>(bad_loss ? static_cast<float>(bad) : 2.0F, 8);
      CHECK(results.judge(bad_loss ? 4.0 : bad));
      results.add<float>(5.0F, 8);
      CHECK(results.judge(6.0));
      const StepResults now = results.read();
      CHECK(now.is_bad == 1.0);
      CHECK(now.steps == 1.0);
      CHECK(now.images == 8.0);
      CHECK(now.loss_sum == 8.0);
      CHECK(std::isfinite(now.loss) == !bad_loss);
      CHECK((now.gradient_norm == 3.0) == bad_loss);
    }
  }
}
