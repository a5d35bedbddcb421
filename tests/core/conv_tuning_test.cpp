#include "cks/core/conv/conv_tuning.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "cks/core/capture/capture.h"
#include "cks/core/conv/conv2d.h"
#include "cks/core/conv/conv_plan.h"
#include "cks/core/error.h"
#include "cks/core/io/file.h"
#include "cks/core/tensor/random.h"
#include "tests/support/scratch_folder.h"

namespace cks {
namespace {

using testing::ScratchFolder;

/// Y, dX and dW of a small convolution.
std::vector<Tensor> all_passes() {
  Tensor x = Tensor::empty({2, 9, 9, 8});
  Tensor w = Tensor::empty({16, 3, 3, 8});
  const RandomKey key = make_random_key(1, RandomPurpose::data);
  fill_uniform(x, -1.0, 1.0, key, 0);
  fill_uniform(w, -1.0, 1.0, key, 1);
  x.set_requires_grad(true);
  w.set_requires_grad(true);
  Tensor y = conv2d(x, w, {}, {.stride = 2, .padding = 1});
  y.backward(Tensor::ones(y.shape()));
  return {y.detach(), x.grad(), w.grad()};
}

void check_close(const std::vector<Tensor>& some, const std::vector<Tensor>& others) {
  for (std::size_t i = 0; i < some.size(); ++i) {
    const auto a = some[i].to_vector<float>();
    const auto b = others[i].to_vector<float>();
    REQUIRE(a.size() == b.size());
    for (std::size_t j = 0; j < a.size(); ++j) {
      CHECK(a[j] == doctest::Approx(b[j]).epsilon(1e-4));
    }
  }
}

std::size_t lines_of(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

constexpr int kPasses = 3;  // each of which has two plans at least, on every CPU

TEST_CASE("conv tuning: answers are kept in a file and found again") {
  const ScratchFolder folder;
  const std::string file = folder / "new/plans.txt";
  const std::vector<Tensor> expected = all_passes();
  std::string text;
  {
    const ConvTuning tuning(file);
    check_close(all_passes(), expected);
    CHECK(tuning.timed() == kPasses);
    CHECK(tuning.found() == 0);
    text = read_file(file);
    CHECK(lines_of(text) == static_cast<std::size_t>(1 + kPasses));
    check_close(all_passes(), expected);
    CHECK(tuning.timed() == kPasses);
  }
  const ConvTuning tuning(file);
  CHECK(tuning.timed() == 0);
  std::vector<Tensor> first;
  std::thread([&] { first = all_passes(); }).join();
  CHECK(tuning.found() == kPasses);
  CHECK(tuning.timed() == 0);
  CHECK(read_file(file) == text);
  // The same plans, the same bits.
  const std::vector<Tensor> second = all_passes();
  for (std::size_t i = 0; i < first.size(); ++i) {
    CHECK(first[i].to_vector<float>() == second[i].to_vector<float>());
  }
}

TEST_CASE("conv tuning: works inside a captured step") {
  const std::vector<Tensor> expected = all_passes();
  const ConvTuning tuning;
  Tensor x = Tensor::ones({1, 5, 5, 4});
  const Tensor w = Tensor::ones({4, 3, 3, 4});
  Tensor y;
  CapturedStep step([&] { y = conv2d(x, w, {}, {.padding = 1}); });
  step.run();
  step.run();
  CHECK(y.to_vector<float>()[0] == 16.0F);
  CHECK(tuning.timed() <= 1);
}

TEST_CASE("conv tuning: an answer that no kernel of this build takes is found anew") {
  const ScratchFolder folder;
  const std::string file = folder / "plans.txt";
  {
    const ConvTuning tuning(file);
    all_passes();
  }
  const std::string good = read_file(file);
  const std::size_t begin = good.rfind(" | ") + 3;
  const std::string plan = good.substr(begin, good.size() - begin - 1);
  // Another kernel, and a workspace and a split that a kernel might believe.
  for (const std::string& other : {"kernel_of_yesterday" + plan.substr(plan.find(' ')),
                                   plan + "0000000000", "reference fp32 7 0 1 1 0" + std::string(),
                                   "reference fp32 0 0 0 1 99999" + std::string()}) {
    write_file_atomically(file, good.substr(0, begin) + other + "\n");
    const ConvTuning tuning(file);
    all_passes();
    CHECK(tuning.timed() == 1);
    CHECK(tuning.found() == kPasses - 1);
    CHECK(read_file(file).find(other) == std::string::npos);
  }
}

TEST_CASE("conv tuning: files that are none are refused and left alone") {
  const ScratchFolder folder;
  const std::string file = folder / "plans.txt";
  const auto message_for = [&](const std::string& text) {
    write_file_atomically(file, text);
    try {
      const ConvTuning tuning(file);
      all_passes();
    } catch (const PlanError& error) {
      CHECK(read_file(file) == text);
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  {
    const ConvTuning tuning(file);
    all_passes();
  }
  const std::string good = read_file(file);
  CHECK(message_for("my thesis\n").find(file + ": line 1 is \"my thesis\"") != std::string::npos);
  CHECK(message_for("").find(file + ": line 1") != std::string::npos);
  CHECK(message_for(good + "half a li").find("line " + std::to_string(lines_of(good) + 1)) !=
        std::string::npos);
  CHECK(message_for(good + "a | forward | b | simd fp32 4 4 1 1 0 7\n").find("line") !=
        std::string::npos);
  CHECK(message_for(good + "a | forward | b | simd fp33 4 4 1 1 0\n").find("line") !=
        std::string::npos);
  CHECK(message_for(good + "a | forward | b | simd fp32 4 4 1 1 -\n").find("line") !=
        std::string::npos);
  CHECK(message_for(good) == "accepted");
  CHECK(message_for("cks convolution plans 0.0.1\nanything\n") == "accepted");
  CHECK(read_file(file).find("anything") == std::string::npos);
}

TEST_CASE("conv tuning: one at a time, and forced kernels stay forced") {
  {
    const ConvTuning tuning;
    CHECK_THROWS_WITH_AS(ConvTuning{}, doctest::Contains("another one lives"), Error);
    const ConvPlanScope forced(
        "forward=reference,backward_data=reference,backward_filter=reference");
    all_passes();
    CHECK(tuning.timed() == 0);
  }
  const ConvTuning again;
  CHECK(conv_tuning_number() > 0);
}

}  // namespace
}  // namespace cks
