#include "cks/kernels/conv2d/plan.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "cks/config.h"
#include "cks/kernels/common/error.h"
#include "cks/kernels/conv2d/conv2d.h"
#include "cks/kernels/conv2d/halves.h"
#include "cks/kernels/conv2d/kernel.h"
#include "tests/kernels/conv2d/conv2d_harness.h"

using cks::DType;
using cks::kernels::Conv2dPass;
using cks::kernels::Conv2dPlan;
using cks::kernels::Conv2dProblem;
using cks::kernels::Conv2dSizes;
using cks::kernels::describe_cpu;
using cks::kernels::DeviceDescription;
using cks::kernels::make_conv2d_problem;
using namespace cks::testing;  // NOLINT(google-build-using-namespace): this is a test

namespace {

const char* const kMethods[] = {"reference", "convv2", "ks_deconv", "sk_dilated"};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

bool same_decision(const Conv2dPlan& a, const Conv2dPlan& b) {
  return same_plan(a, b) && a.reason == b.reason;
}

/// Whether a plan's CUDA kernel takes it for a problem.
bool gpu_accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  for (const cks::kernels::Conv2dKernel* kernel : cks::kernels::conv2d_kernels(true)) {
    if (kernel->name == plan.kernel) {
      return kernel->accepts(plan, p);
    }
  }
  return false;
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
            plans.back().kernel != "reference") {
          failures.add(where, "order of the possible plans");
          continue;
        }
        if (std::string(selected.method()) != cks::kernels::method_of(pass)) {
          failures.add(where, "selected " + selected.to_string());
        }
        for (const Conv2dPlan& plan : plans) {
          const std::string text = plan.to_string();
          if (plan.pass != pass || plan.reason.empty() || plan.granule < 1 || plan.split_k < 1 ||
              !contains(text, name_of(pass)) || !contains(text, plan.method()) ||
              !contains(text, plan.kernel) || !contains(text, plan.reason)) {
            failures.add(where, "malformed plan: " + text);
          }
          const Conv2dPlan by_method = force_plan(plan.method(), pass, p, describe_cpu());
          const Conv2dPlan by_kernel = force_plan(plan.kernel, pass, p, describe_cpu());
          if (std::string(by_method.method()) != plan.method() || by_method.pass != pass ||
              by_kernel.kernel != plan.kernel || by_kernel.pass != pass) {
            failures.add(where, "forced " + by_method.to_string() + " and " +
                                    by_kernel.to_string() + " for " + text);
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

TEST_CASE("plan: an unknown or impossible name is refused with the possible ones") {
  const Conv2dProblem p =
      ListedProblem{"small", {.N = 2, .IH = 5, .IW = 6, .IC = 3, .OC = 4, .FH = 3, .FW = 3}}.at(
          DType::float32);
  for (const Conv2dPass pass : kPasses) {
    const auto plans = possible_plans(pass, p, describe_cpu());
    std::vector<std::string> refused = {"", "fast", "CONVV2", "convv2 "};
    for (const char* method : kMethods) {
      const bool possible = std::any_of(plans.begin(), plans.end(), [&](const Conv2dPlan& plan) {
        return std::string(plan.method()) == method;
      });
      if (!possible) {
        refused.emplace_back(method);
      }
    }
    CHECK(refused.size() == 6);     // two methods of other passes among them
    refused.emplace_back("tiled");  // a kernel of another device
    for (const std::string& name : refused) {
      CAPTURE(name);
      const std::string message =
          plan_error([&] { return force_plan(name, pass, p, describe_cpu()); });
      CHECK(contains(message, name_of(pass)));
      for (const Conv2dPlan& plan : plans) {
        CHECK(contains(message, plan.method()));
        CHECK(contains(message, plan.kernel));
      }
    }
  }
}

TEST_CASE("plan: a plan of another device, problem or instruction set is refused") {
  const Conv2dProblem p =
      ListedProblem{"small", {.N = 1, .IH = 5, .IW = 6, .IC = 3, .OC = 4, .FH = 3, .FW = 3}}.at(
          DType::float32);
  const auto refusal = [&](const Conv2dPlan& plan) {
    return plan_error([&] { prepare_conv2d(p, plan, describe_cpu()); });
  };
  for (const Conv2dPass pass : kPasses) {
    const Conv2dPlan plan = select(pass, p, describe_cpu());
    Conv2dPlan changed = plan;
    changed.kernel = pass == Conv2dPass::backward_filter ? "tiled_taps" : "tiled";
    CHECK(contains(refusal(changed), "\"" + changed.kernel + "\""));
    CHECK(contains(refusal(changed), "it has simd, "));
    changed = plan;
    changed.tile.columns *= 2;
    CHECK(contains(refusal(changed), changed.to_string()));
    changed = plan;
    ++changed.split_k;
    CHECK(contains(refusal(changed), changed.to_string()));
    changed = plan;
    changed.arithmetic = cks::kernels::Arithmetic::fp64;  // of a float32 problem
    CHECK(contains(refusal(changed), changed.to_string()));
    changed = plan;
    changed.workspace_bytes += 64;
    CHECK(contains(refusal(changed), changed.to_string()));
  }
}

TEST_CASE("plan: the reference is a plan only for types that it reads") {
  const DeviceDescription gpu{.is_cuda = true, .compute_capability = 90, .multiprocessors = 132};
  Conv2dProblem p = make_conv2d_problem({.N = 1, .IH = 5, .IW = 6, .IC = 3, .OC = 4});
  const auto set_types = [&](DType type) { p.x_type = p.w_type = p.y_type = type; };
  Conv2dPlan reference;
  for (const Conv2dPass pass : kPasses) {
    reference.pass = pass;
    set_types(DType::bfloat16);
    p.w_type = DType::float64;
    CHECK(possible_plans(pass, p, describe_cpu()).size() == 1);
    CHECK(possible_plans(pass, p, gpu).empty());
    CHECK_FALSE(gpu_accepts(reference, p));
    CHECK_THROWS_AS(select(pass, p, describe_cpu()), cks::DtypeError);
    CHECK_THROWS_AS(select(pass, p, gpu), cks::DtypeError);
    set_types(DType::int64);
    CHECK(possible_plans(pass, p, describe_cpu()).empty());
    CHECK_THROWS_AS(select(pass, p, describe_cpu()), cks::DtypeError);
    set_types(DType::float64);
    CHECK(gpu_accepts(reference, p));
  }
}

TEST_CASE("plan: types and precision say the arithmetic, the device its kernels") {
  Conv2dProblem p = make_conv2d_problem(
      {.N = 64, .IH = 8, .IW = 8, .IC = 128, .OC = 128, .FH = 3, .FW = 3, .padding = 1});
  DeviceDescription gpu{.is_cuda = true, .compute_capability = 90, .multiprocessors = 132};
  const auto arithmetics = [&] {
    std::set<std::string> names;
    for (const Conv2dPlan& plan : possible_plans(Conv2dPass::forward, p, gpu)) {
      names.insert(name_of(plan.arithmetic));
    }
    return names;
  };
  CHECK(arithmetics() == std::set<std::string>{"fp32"});
  p.precision = cks::Precision::tf32;
  CHECK(arithmetics() == std::set<std::string>{"fp16", "fp32", "tf32"});
  p.x_type = p.w_type = p.y_type = DType::bfloat16;
  CHECK(arithmetics() == std::set<std::string>{"bf16"});
  CHECK(select(Conv2dPass::forward, p, gpu).kernel == "box");
  const Conv2dPlan box = select(Conv2dPass::forward, p, gpu);
  for (const int other : {75, 80, 100}) {  // code of 90a runs on 9.0 alone
    gpu.compute_capability = other;
    CHECK(select(Conv2dPass::forward, p, gpu).kernel == (other < 80 ? "direct" : "box80"));
    CHECK(contains(
        plan_error([&] { prepare_conv2d(p, box, gpu); }),
        "\"box\" needs compute capability 90 alone, the device has " + std::to_string(other)));
  }
}

TEST_CASE("plan: kernels for 8.0 are chosen by what they cost, on 9.0 as well") {
  using cks::Precision;
  DeviceDescription hopper{.is_cuda = true, .compute_capability = 90, .multiprocessors = 132};
  DeviceDescription ampere{.is_cuda = true, .compute_capability = 80, .multiprocessors = 108};
  const auto is_for_80 = [](const std::vector<Conv2dPlan>& plans) {
    return !plans.empty() && plans.front().kernel.ends_with("80");
  };
  int listed_on_ampere = 0;
  const auto each_mode = [&](auto&& problem, auto&& check) {
    for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::bf16}) {
      for (const Conv2dPass pass : kPasses) {
        Conv2dProblem p = problem(precision == Precision::bf16 ? DType::bfloat16 : DType::float32);
        p.precision = precision;
        p.w_type = pass == Conv2dPass::backward_filter ? DType::float32 : p.w_type;
        check(p, precision, pass);
      }
    }
  };
  for (const ListedProblem& listed : conv2d_problems()) {
    each_mode(
        [&](DType dtype) {
          Conv2dProblem p = listed.at(dtype);
          p.is_aligned = !listed.odd_bases;
          return p;
        },
        [&](const Conv2dProblem& p, Precision, Conv2dPass pass) {
          listed_on_ampere += is_for_80(possible_plans(pass, p, ampere)) ? 1 : 0;
        });
  }
  CHECK(listed_on_ampere > 1000);

  // Layers that were timed on 9.0: its own kernels are faster, but of filters of one pixel in tf32.
  const cks::kernels::Conv2dSizes layers[] = {
      {.N = 512, .IH = 32, .IW = 32, .IC = 64, .OC = 64, .FH = 3, .FW = 3, .padding = 1},
      {.N = 512,
       .IH = 16,
       .IW = 16,
       .IC = 128,
       .OC = 256,
       .FH = 3,
       .FW = 3,
       .stride = 2,
       .padding = 1},
      {.N = 512, .IH = 4, .IW = 4, .IC = 512, .OC = 512, .FH = 3, .FW = 3, .padding = 1},
      {.N = 512, .IH = 8, .IW = 8, .IC = 96, .OC = 256, .FH = 5, .FW = 5, .padding = 2},
      {.N = 512, .IH = 16, .IW = 16, .IC = 256, .OC = 256},
      {.N = 512, .IH = 16, .IW = 16, .IC = 128, .OC = 256, .stride = 2}};
  for (const cks::kernels::Conv2dSizes& layer : layers) {
    each_mode(
        [&](DType dtype) {
          cks::kernels::Conv2dSizes sizes = layer;
          sizes.dtype = dtype;
          return make_conv2d_problem(sizes);
        },
        [&](const Conv2dProblem& p, Precision precision, Conv2dPass pass) {
          const bool splits = precision == Precision::tf32 && p.FH * p.FW == 1 &&
                              pass == Conv2dPass::backward_filter;
          CAPTURE(to_string(p));
          CHECK(is_for_80(possible_plans(pass, p, hopper)) == splits);
        });
  }
}

TEST_CASE("plan: 8.0 multiplies on tensor cores what fills them, GeForce float32 on its others") {
  using cks::Precision;
  const std::string of_pass[] = {"box80", "box80", "taps80"};
  const std::string of_fp32[] = {"planes80", "planes80", "taps80"};
  for (const std::int64_t channels : {64, 128, 256, 512}) {
    for (const std::int64_t side : {2, 4, 8, 16, 32}) {
      if (channels * side < 512) {
        continue;  // over before tensor cores are filled
      }
      CAPTURE(channels);
      CAPTURE(side);
      Conv2dProblem p = make_conv2d_problem({.N = 512,
                                             .IH = side,
                                             .IW = side,
                                             .IC = channels,
                                             .OC = channels,
                                             .FH = 3,
                                             .FW = 3,
                                             .padding = 1});
      for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::bf16}) {
        CAPTURE(name_of(precision));
        p.precision = precision;
        const bool bf16 = precision == Precision::bf16;
        p.x_type = p.y_type = bf16 ? DType::bfloat16 : DType::float32;
        for (const Conv2dPass pass : kPasses) {
          CAPTURE(name_of(pass));
          p.w_type = pass == Conv2dPass::backward_filter ? DType::float32 : p.x_type;
          const auto chosen = [&](int capability, int multiprocessors) {
            return select(pass, p,
                          {.is_cuda = true,
                           .compute_capability = capability,
                           .multiprocessors = multiprocessors});
          };
          const auto& expected = precision == Precision::fp32 ? of_fp32 : of_pass;
          CHECK(chosen(80, 108).kernel == expected[static_cast<std::size_t>(pass)]);
          if (precision == Precision::fp32) {
            CHECK(chosen(86, 82).kernel != expected[static_cast<std::size_t>(pass)]);
          }
          for (const Conv2dPlan& plan : possible_plans(
                   pass, p, {.is_cuda = true, .compute_capability = 86, .multiprocessors = 82})) {
            if (plan.kernel == "box80") {
              CHECK(plan.tile.columns < 256);  // 144 KiB of shared memory
            }
          }
        }
      }
    }
  }
}

TEST_CASE("plan: a reference of another arithmetic than the problem's is refused") {
  for (const DType type : {DType::float32, DType::float64}) {
    Conv2dProblem p = make_conv2d_problem({.N = 1, .IH = 5, .IW = 6, .IC = 3, .OC = 4});
    p.x_type = p.w_type = p.y_type = type;
    for (const Conv2dPass pass : kPasses) {
      Conv2dPlan plan = force_plan("reference", pass, p, describe_cpu());
      CHECK_NOTHROW(prepare_conv2d(p, plan, describe_cpu()));
      using cks::kernels::Arithmetic;
      plan.arithmetic = type == DType::float64 ? Arithmetic::fp32 : Arithmetic::fp64;
      CHECK(
          contains(plan_error([&] { prepare_conv2d(p, plan, describe_cpu()); }), plan.to_string()));
    }
  }
}

TEST_CASE("plan: every kernel has a name of its own, and is known by it") {
  for (const Conv2dPass pass : kPasses) {
    std::vector<std::string> names = cks::kernels::plan_names(pass);
    CHECK(names.front() == cks::kernels::method_of(pass));
    std::sort(names.begin(), names.end());
    CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
  }
}

TEST_CASE("plan: reasons say the share that is skipped, slices of one sum take no room") {
  // Of 3 taps on an axis of 4 with padding 1, 10 of 12 meet pixels.
  const Conv2dProblem p = make_conv2d_problem({.IH = 4, .IW = 4, .FH = 3, .FW = 3, .padding = 1});
  const Conv2dPlan plan = select(Conv2dPass::forward, p, describe_cpu());
  CAPTURE(plan.reason);
  CHECK(contains(plan.reason, "30.6 % of the plain multiply-adds are with zeros and skipped"));
  CHECK(cks::kernels::bytes_of_slices({.split_k = 1}, p) == 0);
  CHECK(cks::kernels::bytes_of_slices({.split_k = 8}, p) == 512);  // 9 * 8 of float32
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

TEST_CASE("plan: the CPU's reason says which share of the plain multiply-adds is skipped") {
  const auto share = [](const Conv2dSizes& sizes, Conv2dPass pass) {
    const std::string reason = select(pass, make_conv2d_problem(sizes), describe_cpu()).reason;
    return reason.substr(0,
                         reason.find(" % of the plain multiply-adds are with zeros and skipped"));
  };
  const Conv2dSizes padded{.IH = 4, .IW = 4, .IC = 3, .OC = 5, .FH = 3, .FW = 3, .padding = 1};
  const Conv2dSizes dense{.IH = 4, .IW = 4, .IC = 3, .OC = 5, .FH = 3, .FW = 3};
  const Conv2dSizes strided{.IH = 4, .IW = 4, .IC = 3, .OC = 5, .stride = 2};
  for (const Conv2dPass pass : kPasses) {
    CHECK(share(padded, pass) == "30.6");  // of 144 products of two channels 100 are inside
  }
  CHECK(share(dense, Conv2dPass::forward) == "0.0");
  CHECK(share(strided, Conv2dPass::forward) == "0.0");
  CHECK(share(strided, Conv2dPass::backward_data) == "75.0");  // of dY with zeros inserted
}

TEST_CASE("plan: each slice of the CPU's filter gradients has rows of outputs to sum over") {
  // A single row whose sums would keep several threads busy.
  const Conv2dProblem row = make_conv2d_problem({.IH = 1, .IW = 256, .IC = 64, .OC = 64});
  Failures failures;
  int sliced = 0;
  for (const int simd_bytes : {16, 32, 64}) {
    DeviceDescription device;
    device.simd_bytes = simd_bytes;
    const auto check = [&](const std::string& name, const Conv2dProblem& p) {
      const Conv2dPlan plan = select(Conv2dPass::backward_filter, p, device);
      sliced += plan.split_k > 1 ? 1 : 0;
      if (plan.split_k > std::max<std::int64_t>(1, p.N * p.OH)) {
        failures.add(name, plan.to_string());
      }
    };
    check("a row", row);
    for (const ListedProblem& listed : conv2d_problems()) {
      check(listed.name, listed.at(DType::float32));
    }
  }
  CHECK(sliced > 0);
}

TEST_CASE("plan: halves in a workspace lie where the copy engine can read them") {
  const DeviceDescription gpu{.is_cuda = true, .compute_capability = 90, .multiprocessors = 132};
  int with_slices = 0, without = 0;
  for (const std::int64_t channels : {64, 512}) {
    Conv2dProblem p = make_conv2d_problem({.N = 64,
                                           .IH = 8,
                                           .IW = 8,
                                           .IC = channels,
                                           .OC = channels,
                                           .FH = 3,
                                           .FW = 3,
                                           .padding = 1});
    p.precision = cks::Precision::tf32;
    for (const Conv2dPlan& plan : possible_plans(Conv2dPass::backward_filter, p, gpu)) {
      if (plan.arithmetic != cks::kernels::Arithmetic::fp16) {
        continue;
      }
      CAPTURE(plan.to_string());
      const std::size_t slices = bytes_of_slices(plan, p);
      CHECK(slices % 16 == 0);
      CHECK(plan.workspace_bytes >= slices + halves_of_pass(plan.pass, p));
      ++(plan.split_k > 1 ? with_slices : without);
    }
  }
  CHECK(with_slices > 0);
  CHECK(without > 0);
}

TEST_CASE("conv2d: a kernel that masks is given the mask where it takes it") {
  static const void* mask_of_kernel;
  cks::kernels::Conv2dKernel kernel{
      .name = "masking",
      .passes = {Conv2dPass::backward_data},
      .arithmetic = {cks::kernels::Arithmetic::tf32},
      .compute_capability = 80,
      .masks = {cks::kernels::Arithmetic::tf32},
      .candidates = nullptr,
      .accepts = nullptr,
      .run = [](const cks::kernels::PreparedConv2d&,
                const cks::kernels::Conv2dOperands& operands) -> std::int64_t {
        mask_of_kernel = operands.epilogue.mask;
        return 7;
      }};
  const cks::kernels::PreparedConv2d conv{
      .problem = make_conv2d_problem({.N = 1, .IH = 2, .IW = 2, .IC = 8, .OC = 8}),
      .plan = {.pass = Conv2dPass::backward_data,
               .kernel = kernel.name,
               .arithmetic = cks::kernels::Arithmetic::tf32},
      .kernel = &kernel};
  alignas(16) const float mask[40] = {};
  float result[32] = {};
  const auto run = [&](const cks::kernels::Epilogue& epilogue) {
    mask_of_kernel = nullptr;
    CHECK(run_conv2d(conv, mask, mask, epilogue, result, nullptr) == 7);
    return mask_of_kernel;
  };
  CHECK(run({.mask = mask, .mask_slope = 0.1}) == mask);
  CHECK(run({.bias = mask, .mask = mask, .mask_slope = 0.1}) == mask);
  CHECK(run({}) == nullptr);
#if !CKS_HAS_CUDA  // there a pass over the result on a GPU masks instead
  CHECK(run({.mask = mask + 1, .mask_slope = 0.1}) == nullptr);
  CHECK(run({.scale = mask, .mask = mask, .mask_slope = 0.1}) == nullptr);
  kernel.masks = {};
  CHECK(run({.mask = mask, .mask_slope = 0.1}) == nullptr);
#endif
}

TEST_CASE("plan: the CUDA kernels refuse slices that their workspace does not hold") {
  const DeviceDescription gpu{.is_cuda = true, .compute_capability = 90, .multiprocessors = 132};
  const Conv2dProblem p =
      make_conv2d_problem({.N = 64, .IH = 28, .IW = 28, .IC = 1, .OC = 6, .FH = 5, .FW = 5});
  int sliced = 0, with_planes = 0;
  for (const Conv2dPlan& plan : possible_plans(Conv2dPass::backward_filter, p, gpu)) {
    CAPTURE(plan.to_string());
    CHECK(gpu_accepts(plan, p));
    Conv2dPlan changed = plan;
    for (const std::int64_t split_k : {std::int64_t{-1}, std::int64_t{0}, std::int64_t{1} << 31}) {
      changed.split_k = split_k;
      CHECK_FALSE(gpu_accepts(changed, p));
    }
    const auto slice = static_cast<std::int64_t>(6 * 5 * 5 * sizeof(float));
    if (static_cast<std::int64_t>(plan.workspace_bytes) > plan.split_k * slice) {
      changed.split_k = plan.split_k;  // planes of the operands stand behind the slices
      changed.workspace_bytes = plan.workspace_bytes - 1;
      CHECK_FALSE(gpu_accepts(changed, p));
      ++with_planes;
      continue;
    }
    changed.split_k = plan.split_k + 1;
    CHECK_FALSE(gpu_accepts(changed, p));
    changed.workspace_bytes = static_cast<std::size_t>(changed.split_k) * 6 * 5 * 5 * sizeof(float);
    CHECK(gpu_accepts(changed, p));
    --changed.workspace_bytes;
    CHECK_FALSE(gpu_accepts(changed, p));
    sliced += plan.split_k > 1 ? 1 : 0;
  }
  CHECK(sliced > 0);
  CHECK(with_planes > 0);
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
      const bool has_tiles = std::any_of(plans.begin(), plans.end(), [](const Conv2dPlan& plan) {
        return plan.tile.rows > 1 && plan.kernel != "gemm";  // which counts in 64 bits
      });
      CHECK(has_tiles == (width == 1 << 14));
    }
  }
  Conv2dPlan tiled;
  tiled.pass = Conv2dPass::backward_filter;
  tiled.kernel = "tiled_taps";
  tiled.tile = {64, 64};
  for (const std::int64_t images : {16, 64}) {
    const Conv2dProblem p = make_conv2d_problem(
        {.N = images, .IH = 1 << 13, .IW = 1 << 13, .IC = 1, .OC = 4, .FH = 1, .FW = 1});
    CAPTURE(images);
    CHECK(gpu_accepts(tiled, p) == (images == 16));  // of 2^30 and 2^32 positions
  }
}
