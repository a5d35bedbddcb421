#include "cks/kernels/conv2d/plan.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "cks/kernels/common/error.h"
#include "cks/kernels/conv2d/conv2d.h"
#include "cks/kernels/conv2d/cuda/select.h"
#include "tests/kernels/conv2d/conv2d_harness.h"

using cks::DType;
using cks::kernels::Conv2dAlgorithm;
using cks::kernels::Conv2dPass;
using cks::kernels::Conv2dPlan;
using cks::kernels::Conv2dProblem;
using cks::kernels::describe_cpu;
using cks::kernels::DeviceDescription;
using cks::kernels::make_conv2d_problem;
using namespace cks::testing;  // NOLINT(google-build-using-namespace): this is a test

namespace {

const Conv2dAlgorithm kAlgorithms[] = {Conv2dAlgorithm::reference, Conv2dAlgorithm::convv2,
                                       Conv2dAlgorithm::ks_deconv, Conv2dAlgorithm::sk_dilated};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// The method that the charter gives to a pass.
Conv2dAlgorithm method_of(Conv2dPass pass) {
  switch (pass) {
    case Conv2dPass::forward:
      return Conv2dAlgorithm::convv2;
    case Conv2dPass::backward_data:
      return Conv2dAlgorithm::ks_deconv;
    case Conv2dPass::backward_filter:
      break;
  }
  return Conv2dAlgorithm::sk_dilated;
}

bool same_decision(const Conv2dPlan& a, const Conv2dPlan& b) {
  return a.to_string() == b.to_string() && a.workspace_bytes == b.workspace_bytes;
}

/// The message of the PlanError that `body` throws; fails the test if it throws none.
template <class Body>
std::string plan_error(Body&& body) {
  try {
    body();
  } catch (const cks::PlanError& error) {
    return error.what();
  }
  FAIL_CHECK("no PlanError");
  return "";
}

}  // namespace

TEST_CASE("plan: the selected plan comes first, the reference last, every one by name") {
  Failures failures;
  for (const ListedProblem& listed : conv2d_problems()) {
    for (const DType dtype : {DType::float32, DType::float64}) {
      const Conv2dProblem p = listed.at(dtype);
      for (const Conv2dPass pass : kPasses) {
        const auto plans = possible_plans(pass, p, describe_cpu());
        const Conv2dPlan selected = select(pass, p, describe_cpu());
        const std::string where = listed.name + ", " + name_of(pass);
        if (plans.empty() || !same_decision(plans.front(), selected) ||
            plans.back().algorithm != Conv2dAlgorithm::reference) {
          failures.add(where, "order of the possible plans");
          continue;
        }
        if (selected.algorithm != method_of(pass)) {
          failures.add(where, "selected " + selected.to_string());
        }
        for (const Conv2dPlan& plan : plans) {
          const std::string text = plan.to_string();
          if (plan.pass != pass || plan.reason.empty() || plan.granule < 1 || plan.slices < 1 ||
              !contains(text, name_of(pass)) || !contains(text, name_of(plan.algorithm)) ||
              !contains(text, plan.reason)) {
            failures.add(where, "malformed plan: " + text);
          }
          const Conv2dPlan forced = force_plan(name_of(plan.algorithm), pass, p, describe_cpu());
          if (forced.algorithm != plan.algorithm || forced.pass != pass) {
            failures.add(where, "forced " + forced.to_string() + " for " + text);
          }
        }
      }
    }
  }
}

TEST_CASE("plan: selecting is pure, for any device") {
  for (const int simd_bytes : {16, 32, 64}) {
    DeviceDescription device;
    device.simd_bytes = simd_bytes;
    for (const ListedProblem& listed : named_conv2d_problems()) {
      const Conv2dProblem p = listed.at(DType::float32);
      for (const Conv2dPass pass : kPasses) {
        CAPTURE(listed.name);
        const Conv2dPlan plan = select(pass, p, device);
        CHECK(plan.pass == pass);
        CHECK(same_decision(plan, select(pass, p, device)));
      }
    }
  }
}

TEST_CASE("plan: the pass-named selectors agree with select") {
  const Conv2dProblem p = named_conv2d_problems().front().at(DType::float32);
  CHECK(same_decision(select_forward(p, describe_cpu()),
                      select(Conv2dPass::forward, p, describe_cpu())));
  CHECK(same_decision(select_backward_data(p, describe_cpu()),
                      select(Conv2dPass::backward_data, p, describe_cpu())));
  CHECK(same_decision(select_backward_filter(p, describe_cpu()),
                      select(Conv2dPass::backward_filter, p, describe_cpu())));
}

TEST_CASE("plan: an unknown or impossible name is refused with the possible ones") {
  const Conv2dProblem p =
      ListedProblem{"small", {.N = 2, .IH = 5, .IW = 6, .IC = 3, .OC = 4, .FH = 3, .FW = 3}}.at(
          DType::float32);
  for (const Conv2dPass pass : kPasses) {
    const auto plans = possible_plans(pass, p, describe_cpu());
    std::vector<std::string> refused = {"", "fast", "CONVV2", "convv2 "};
    for (const Conv2dAlgorithm algorithm : kAlgorithms) {
      const bool possible = std::any_of(plans.begin(), plans.end(), [&](const Conv2dPlan& plan) {
        return plan.algorithm == algorithm;
      });
      if (!possible) {
        refused.emplace_back(name_of(algorithm));
      }
    }
    CHECK(refused.size() == 6);  // two methods of other passes among them
    for (const std::string& name : refused) {
      CAPTURE(name);
      const std::string message =
          plan_error([&] { return force_plan(name, pass, p, describe_cpu()); });
      CHECK(contains(message, name_of(pass)));
      for (const Conv2dPlan& plan : plans) {
        CHECK(contains(message, name_of(plan.algorithm)));
      }
    }
  }
}

TEST_CASE("plan: an entry point refuses a plan of another pass and writes nothing") {
  const Conv2dProblem p =
      ListedProblem{"small", {.N = 2, .IH = 5, .IW = 6, .IC = 3, .OC = 4, .FH = 3, .FW = 3}}.at(
          DType::float32);
  const Conv2dValues values = make_values(p, Fill::reals, 1);
  for (const Conv2dPass pass : kPasses) {
    for (const Conv2dPass other : kPasses) {
      if (other == pass) {
        continue;
      }
      for (const Conv2dPlan& plan : possible_plans(other, p, describe_cpu())) {
        CAPTURE(plan.to_string());
        Conv2dMemory memory(pass, p, values, false);
        const std::string message = plan_error([&] { memory.run(plan); });
        CHECK(contains(message, name_of(pass)));
        CHECK(contains(message, name_of(other)));
        const auto bytes = memory.bytes();
        CHECK(std::all_of(bytes.begin(), bytes.end(), [](unsigned char b) { return b == 0xff; }));
      }
    }
  }
}

TEST_CASE("plan: an entry point refuses a plan whose method is of another pass") {
  const Conv2dProblem p =
      ListedProblem{"small", {.N = 1, .IH = 5, .IW = 6, .IC = 3, .OC = 4, .FH = 3, .FW = 3}}.at(
          DType::float32);
  const Conv2dValues values = make_values(p, Fill::reals, 1);
  for (const Conv2dPass pass : kPasses) {
    Conv2dPlan plan = select(pass, p, describe_cpu());
    for (const Conv2dAlgorithm algorithm : kAlgorithms) {
      if (algorithm == Conv2dAlgorithm::reference || algorithm == method_of(pass)) {
        continue;
      }
      plan.algorithm = algorithm;
      Conv2dMemory memory(pass, p, values, false);
      CHECK(contains(plan_error([&] { memory.run(plan); }), name_of(algorithm)));
    }
  }
}

TEST_CASE("plan: exact and plain multiply-adds are what counting gives") {
  Failures failures;
  for (const ListedProblem& listed : conv2d_problems()) {
    const Conv2dProblem p = listed.at(DType::float32);
    if (exact_multiply_adds(p) != counted_multiply_adds(p)) {
      failures.add(listed.name, "exact " + std::to_string(exact_multiply_adds(p)) + ", counted " +
                                    std::to_string(counted_multiply_adds(p)));
    }
    const std::int64_t per_pixel = p.OC * p.FH * p.FW * (p.IC / p.G);
    const std::int64_t outputs = p.N * p.OH * p.OW * per_pixel;
    if (plain_multiply_adds(Conv2dPass::forward, p) != outputs ||
        plain_multiply_adds(Conv2dPass::backward_filter, p) != outputs ||
        plain_multiply_adds(Conv2dPass::backward_data, p) != p.N * p.IH * p.IW * per_pixel) {
      failures.add(listed.name, "plain multiply-adds");
    }
  }
}

TEST_CASE("plan: the CUDA kernels refuse slices that their workspace does not hold") {
  const DeviceDescription gpu{.is_cuda = true, .compute_capability = 90, .multiprocessors = 132};
  const Conv2dProblem p =
      make_conv2d_problem({.N = 64, .IH = 28, .IW = 28, .IC = 1, .OC = 6, .FH = 5, .FW = 5});
  int sliced = 0;
  for (const Conv2dPlan& plan : possible_plans(Conv2dPass::backward_filter, p, gpu)) {
    CAPTURE(plan.to_string());
    CHECK(cks::kernels::cuda::accepts(plan, p));
    Conv2dPlan changed = plan;
    for (const std::int64_t slices : {std::int64_t{-1}, std::int64_t{0}, std::int64_t{1} << 31}) {
      changed.slices = slices;
      CHECK_FALSE(cks::kernels::cuda::accepts(changed, p));
    }
    changed.slices = plan.slices + 1;
    CHECK_FALSE(cks::kernels::cuda::accepts(changed, p));
    changed.workspace_bytes = static_cast<std::size_t>(changed.slices) * 6 * 5 * 5 * sizeof(float);
    CHECK(cks::kernels::cuda::accepts(changed, p));
    --changed.workspace_bytes;
    CHECK_FALSE(cks::kernels::cuda::accepts(changed, p));
    sliced += plan.slices > 1 ? 1 : 0;
  }
  CHECK(sliced > 0);
}

TEST_CASE("plan: images of 2^31 pixels are left to the CUDA kernels that count in 64 bits") {
  const DeviceDescription gpu{.is_cuda = true, .compute_capability = 90, .multiprocessors = 132};
  for (const std::int64_t width : {1 << 14, 1 << 15}) {
    CAPTURE(width);
    const Conv2dProblem p = make_conv2d_problem(
        {.N = 1, .IH = 1 << 16, .IW = width, .IC = 1, .OC = 4, .FH = 1, .FW = 1});
    for (const Conv2dPass pass : kPasses) {
      CAPTURE(name_of(pass));
      const auto plans = possible_plans(pass, p, gpu);
      const bool has_tiles = std::any_of(plans.begin(), plans.end(),
                                         [](const Conv2dPlan& plan) { return plan.tile_rows > 1; });
      CHECK(has_tiles == (width == 1 << 14));
    }
  }
  Conv2dPlan tiled;
  tiled.pass = Conv2dPass::backward_filter;
  tiled.algorithm = Conv2dAlgorithm::sk_dilated;
  tiled.tile_rows = 64;
  tiled.tile_lanes = 64;
  for (const std::int64_t images : {16, 64}) {
    const Conv2dProblem p = make_conv2d_problem(
        {.N = images, .IH = 1 << 13, .IW = 1 << 13, .IC = 1, .OC = 4, .FH = 1, .FW = 1});
    CAPTURE(images);
    CHECK(cks::kernels::cuda::accepts(tiled, p) == (images == 16));  // of 2^30 and 2^32 positions
  }
}
