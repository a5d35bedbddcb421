#include "cks/core/tensor/tensor.h"

#include <doctest/doctest.h>

#include <clocale>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <sstream>
#include <thread>

#include "cks/core/autograd/grad_check.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/optim/adam.h"
#include "tests/core/test_ops.h"
#include "tests/support/compare.h"
#include "tests/support/devices.h"
#include "tests/support/scratch_folder.h"

namespace cks {
namespace {

using testing::compare;
using testing::contains;
using testing::message_of;
using testing::test_devices;

TEST_CASE("tensor: values go in and come out, for every dtype") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    CHECK(Tensor::from_vector<float>({1, 2, 3}, {3}, device).to_vector<float>() ==
          std::vector<float>{1, 2, 3});
    CHECK(Tensor::from_vector<double>({1, 2}, {1, 2}, device).to_vector<double>() ==
          std::vector<double>{1, 2});
    CHECK(Tensor::from_vector<std::int64_t>({-5}, {}, device).to_vector<std::int64_t>() ==
          std::vector<std::int64_t>{-5});
    CHECK(Tensor::from_vector<std::int32_t>({7}, {1}, device).to_vector<std::int32_t>() ==
          std::vector<std::int32_t>{7});
    CHECK(Tensor::from_vector<std::uint8_t>({}, {0, 3}, device).to_vector<std::uint8_t>().empty());
    const auto halves = Tensor::from_vector<bfloat16>({bfloat16(1.5F)}, {1}, device);
    CHECK(static_cast<float>(halves.to_vector<bfloat16>()[0]) == 1.5F);
    CHECK_THROWS_AS(Tensor::from_vector<float>({1, 2, 3}, {2, 2}, device), ShapeError);
  }
}

TEST_CASE("tensor: zeros, ones, full, scalar, arange") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    CHECK(compare(Tensor::zeros({5}, DType::float32, device).to_vector<float>(),
                  std::vector<float>(5, 0.0F)));
    CHECK(compare(Tensor::ones({5}, DType::float64, device).to_vector<double>(),
                  std::vector<double>(5, 1.0)));
    CHECK(Tensor::full({2}, -3, DType::int32, device).to_vector<std::int32_t>() ==
          std::vector<std::int32_t>{-3, -3});
    CHECK(Tensor::scalar(2.5, DType::float32, device).item() == 2.5);
    CHECK(Tensor::scalar(2.5, DType::float32, device).rank() == 0);
    CHECK(Tensor::arange(4, DType::int64, device).to_vector<std::int64_t>() ==
          std::vector<std::int64_t>{0, 1, 2, 3});
    CHECK(Tensor::arange(3, DType::float32, device).to_vector<float>() ==
          std::vector<float>{0, 1, 2});
    CHECK(Tensor::arange(256, DType::uint8, device).numel() == 256);
    CHECK_THROWS_AS(Tensor::arange(257, DType::uint8, device), DtypeError);
    CHECK_THROWS_AS(Tensor::arange(-1), ShapeError);
    for (const int power : {40, 60, 62}) {
      CHECK_THROWS_AS(Tensor::arange(std::int64_t{1} << power, DType::int64, device),
                      OutOfMemoryError);
    }
  }
}

TEST_CASE("tensor: a value that the integer type lacks is refused") {
  CHECK_THROWS_AS(Tensor::full({1}, 256, DType::uint8), DtypeError);
  CHECK_THROWS_AS(Tensor::full({1}, -1, DType::uint8), DtypeError);
  CHECK_THROWS_AS(Tensor::full({1}, 0.5, DType::int64), DtypeError);
  CHECK_THROWS_AS(Tensor::full({1}, std::nan(""), DType::int32), DtypeError);
  CHECK_THROWS_AS(Tensor::full({1}, 0x1p63, DType::int64), DtypeError);
  CHECK(Tensor::full({1}, -0x1p63, DType::int64).to_vector<std::int64_t>()[0] ==
        std::numeric_limits<std::int64_t>::min());
  CHECK_THROWS_AS(Tensor::zeros({1}, DType::uint8).fill_(-1), DtypeError);
}

TEST_CASE("tensor: from_blob shares the caller's memory and calls the deleter at the end") {
  std::vector<float> memory{1, 2, 3, 4};
  int calls = 0;
  {
    Tensor tensor =
        Tensor::from_blob(memory.data(), {2, 2}, DType::float32, {}, [&](void*) { ++calls; });
    const Tensor view = tensor.reshape({4});
    tensor.data_as<float>()[3] = 9;
    CHECK(memory[3] == 9);
    tensor = {};
    CHECK(calls == 0);
    CHECK(view.to_vector<float>() == memory);
  }
  CHECK(calls == 1);
  CHECK_THROWS_AS(Tensor::from_blob(nullptr, {1}, DType::float32), Error);
  CHECK_NOTHROW(Tensor::from_blob(nullptr, {0}, DType::float32));
  auto* odd = reinterpret_cast<char*>(memory.data()) + 1;
  CHECK(contains(message_of<Error>([&] { Tensor::from_blob(odd, {1}, DType::float32); }),
                 "not aligned"));
  CHECK_THROWS_AS(Tensor::from_blob(memory.data(), {1}, DType::float32, Device::cuda(63)),
                  DeviceError);
}

TEST_CASE("tensor: an undefined tensor answers nothing but defined()") {
  Tensor tensor;
  CHECK_FALSE(tensor.defined());
  CHECK(contains(message_of<Error>([&] { static_cast<void>(tensor.shape()); }), "undefined"));
  CHECK_THROWS_AS(tensor.dtype(), Error);
  CHECK_THROWS_AS(tensor.item(), Error);
  CHECK_THROWS_AS(tensor.reshape({1}), Error);
  CHECK_THROWS_AS(tensor.to(DType::float64), Error);
  CHECK_THROWS_AS(tensor.backward(), Error);
  CHECK_THROWS_AS(tensor.fill_(0), Error);
  CHECK_THROWS_AS(tensor.grad(), Error);
  CHECK_THROWS_AS(Tensor::zeros({1}).copy_(tensor), Error);
  CHECK(tensor.to_string() == "Tensor(undefined)");
}

TEST_CASE("tensor: element access checks the type, item checks the count") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Tensor tensor = Tensor::zeros({2}, DType::float32, device);
    CHECK(contains(message_of<DtypeError>([&] { tensor.data_as<double>(); }), "float64"));
    CHECK_THROWS_AS(tensor.to_vector<std::int32_t>(), DtypeError);
    CHECK_THROWS_AS(tensor.item(), ShapeError);
    CHECK(Tensor::from_vector<std::int64_t>({1LL << 53}, {1, 1}, device).item() == 0x1p53);
  }
}

TEST_CASE("tensor: copies of a handle share, clone and to() do not") {
  Tensor a = Tensor::zeros({2});
  const Tensor b = a;
  const Tensor c = a.clone();
  a.fill_(1);
  CHECK(is_same(a, b));
  CHECK(b.to_vector<float>()[0] == 1);
  CHECK(c.to_vector<float>()[0] == 0);
  CHECK(is_same(a.to(DType::float32), a));
  CHECK(is_same(a.to(Device::cpu()), a));
  CHECK_FALSE(is_same(a.detach(), a));
  CHECK(a.detach().storage() == a.storage());
  CHECK_THROWS_AS(a.to(Device::cuda(63)), DeviceError);
}

TEST_CASE("tensor: reshape and slice are views, with an inferred extent") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Tensor tensor = Tensor::arange(12, DType::float32, device);
    const Tensor matrix = tensor.reshape({3, -1});
    CHECK(matrix.shape() == Shape{3, 4});
    const Tensor rows = matrix.slice(1, 3);
    CHECK(rows.shape() == Shape{2, 4});
    CHECK(rows.storage_offset() == 4);
    CHECK(rows.to_vector<float>() == std::vector<float>{4, 5, 6, 7, 8, 9, 10, 11});
    tensor.fill_(5);
    CHECK(rows.to_vector<float>()[7] == 5);
    CHECK(rows.version() == tensor.version());
    CHECK(matrix.slice(2, 2).shape() == Shape{0, 4});
    CHECK(rows.slice(1, 2).storage_offset() == 8);
    CHECK(tensor.reshape(Shape{2, 6}).shape() == Shape{2, 6});
    CHECK(Tensor::scalar(1).reshape({1, 1}).shape() == Shape{1, 1});

    CHECK_THROWS_AS(tensor.reshape({5, -1}), ShapeError);
    CHECK_THROWS_AS(tensor.reshape({-1, -1}), ShapeError);
    CHECK_THROWS_AS(tensor.reshape({-2, 6}), ShapeError);
    CHECK_THROWS_AS(tensor.reshape({0, -1}), ShapeError);
    CHECK(contains(message_of<ShapeError>([&] { tensor.reshape({5, 2}); }), "[12] has 12"));
    CHECK_THROWS_AS(matrix.slice(-1, 1), ShapeError);
    CHECK_THROWS_AS(matrix.slice(2, 1), ShapeError);
    CHECK_THROWS_AS(matrix.slice(0, 4), ShapeError);
    CHECK_THROWS_AS(Tensor::scalar(1).slice(0, 1), ShapeError);
  }
}

TEST_CASE("tensor: conversion rounds, cuts off, and stays within integer ranges") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor reals =
        Tensor::from_vector<float>({-1.9F, 300.0F, std::nanf(""), 1e30F, 2.5F}, {5}, device);
    CHECK(reals.to(DType::uint8).to_vector<std::uint8_t>() ==
          std::vector<std::uint8_t>{0, 255, 0, 255, 2});
    CHECK(reals.to(DType::int32).to_vector<std::int32_t>() ==
          std::vector<std::int32_t>{-1, 300, 0, std::numeric_limits<std::int32_t>::max(), 2});
    CHECK(Tensor::from_vector<double>({1.0 + 0x1p-40}, {1}, device).to(DType::float32).item() ==
          1.0);
    CHECK(Tensor::from_vector<float>({1.00390625F}, {1}, device).to(DType::bfloat16).item() == 1.0);
  }
}

TEST_CASE("tensor: fill_ and copy_ raise the version, convert, and check shapes") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Tensor tensor = Tensor::zeros({2, 2}, DType::float32, device);
    const std::uint64_t version = tensor.version();
    tensor.fill_(1).copy_(Tensor::arange(4).reshape({2, 2}));
    CHECK(tensor.version() == version + 2);
    CHECK(tensor.to_vector<float>() == std::vector<float>{0, 1, 2, 3});
    CHECK_THROWS_AS(tensor.copy_(Tensor::zeros({4})), ShapeError);
    // Overlapping rows of one tensor.
    tensor = Tensor::arange(6, DType::float32, device);
    tensor.slice(1, 6).copy_(tensor.slice(0, 5));
    CHECK(tensor.to_vector<float>() == std::vector<float>{0, 0, 1, 2, 3, 4});
  }
}

TEST_CASE("tensor: copy_ loses no gradient silently") {
  const Tensor w = Tensor::full({2}, 3.0).set_requires_grad();
  const Tensor recorded = testing::multiply(w, w);
  Tensor y = Tensor::zeros({2});
  CHECK(contains(message_of<AutogradError>([&] { y.copy_(recorded); }),
                 "copy_: source requires a gradient"));
  CHECK_THROWS_AS(y.slice(0, 2).copy_(recorded), AutogradError);
  CHECK_THROWS_AS(Tensor::zeros({2}, DType::int64).copy_(w), AutogradError);
  CHECK(y.to_vector<float>() == std::vector<float>{0, 0});
  CHECK(y.copy_(recorded.detach()).to_vector<float>() == std::vector<float>{9, 9});
  const NoGradGuard no_grad;
  CHECK(y.copy_(w).to_vector<float>() == std::vector<float>{3, 3});
}

static_assert(std::is_copy_assignable_v<Tensor> && std::is_move_assignable_v<Tensor>);
static_assert(!std::is_assignable_v<Tensor, const Tensor&>, "x[0] = y would write nothing");
static_assert(!std::is_assignable_v<Tensor, Tensor>);

TEST_CASE("tensor: set_data changes every handle and forgets the gradient") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Tensor parameter = Tensor::zeros({2}, DType::float32, device).set_requires_grad();
    const Tensor handle = parameter;
    parameter.set_grad(Tensor::ones({2}, DType::float32, device));
    parameter.set_data(Tensor::ones({3}, DType::float64, device));
    CHECK(handle.shape() == Shape{3});
    CHECK(handle.dtype() == DType::float64);
    CHECK_FALSE(handle.grad().defined());
    CHECK(handle.requires_grad());
    CHECK_THROWS_AS(parameter.set_data(Tensor::zeros({1}, DType::int64)), DtypeError);
    Tensor result = testing::total(parameter);
    CHECK_THROWS_AS(result.set_data(Tensor::zeros({1})), AutogradError);
  }
}

TEST_CASE("tensor: printing shows shape, dtype, device, and stops at the limit") {
  std::ostringstream text;
  text << Tensor::from_vector<float>({1, 2.5, -3, 4}, {2, 2});
  CHECK(text.str() == "Tensor([2,2] float32 cpu) [[1, 2.5], [-3, 4]]");
  CHECK(Tensor::scalar(7, DType::int64).to_string() == "Tensor([] int64 cpu) 7");
  CHECK(Tensor::full({2}, 200, DType::uint8).to_string() == "Tensor([2] uint8 cpu) [200, 200]");
  CHECK(Tensor::zeros({3, 0}).to_string() == "Tensor([3,0] float32 cpu)");
  CHECK(Tensor::arange(10).to_string(3) == "Tensor([10] int64 cpu) [0, 1, 2, ...]");
  CHECK(Tensor::arange(6).reshape({3, 2}).to_string(3) ==
        "Tensor([3,2] int64 cpu) [[0, 1], [2, ...], ...]");
  for (const Device device : test_devices()) {
    CHECK(Tensor::arange(4, DType::float32, device).slice(1, 3).to_string() ==
          "Tensor([2] float32 " + device.to_string() + ") [1, 2]");
  }
  CHECK(Tensor::ones({1}).to_string(0) == "Tensor([1] float32 cpu)");
}

/// The locale of a country where numbers have commas, made from the system's sources, while it
/// lives.
class GermanLocale {
 public:
  GermanLocale() {
    const std::string make = "localedef -i de_DE -f UTF-8 " + (folder_ / "de_DE.UTF-8");
    const int status = std::system((make + " >/dev/null 2>&1").c_str());
    setenv("LOCPATH", folder_.path().c_str(), 1);
    is_set = status == 0 && std::setlocale(LC_ALL, "de_DE.UTF-8") != nullptr;
  }
  ~GermanLocale() {
    std::setlocale(LC_ALL, "C");
    unsetenv("LOCPATH");
  }
  GermanLocale(const GermanLocale&) = delete;
  GermanLocale& operator=(const GermanLocale&) = delete;
  bool is_set = false;

 private:
  testing::ScratchFolder folder_;
};

TEST_CASE("texts with numbers are the same in every locale") {
  const GermanLocale german;
  if (!german.is_set) {
    MESSAGE("skipped: the system makes no German locale");
    return;
  }
  char comma[8];
  std::snprintf(comma, sizeof comma, "%.1f", 1.5);
  REQUIRE(std::string(comma) == "1,5");
  const Tensor x = Tensor::from_vector<double>({0.5, -1234567.0, 1e-10}, {3});
  CHECK(x.to_string() == "Tensor([3] float64 cpu) [0.5, -1.23457e+06, 1e-10]");
  const auto report = grad_check([](const std::vector<Tensor>& in) { return square(in[0]); },
                                 {Tensor::full({1}, 1.5, DType::float64)});
  CHECK(report.message.find(',') == report.message.find(", differences give"));
  CHECK(contains(message_of<Error>([] {
                   Adam({{"w", Tensor::ones({1}).set_requires_grad()}}, {.beta1 = 2.0});
                 }),
                 "below 1, got 2"));
}

TEST_CASE("tensor: an absurd size is refused and says what for") {
  CHECK_THROWS_AS(Tensor::empty({std::int64_t{1} << 62}, DType::float64), OutOfMemoryError);
  const std::string message = message_of<OutOfMemoryError>(
      [] { ops::make_output("conv2d", {std::int64_t{1} << 50}, DType::float32, Device::cpu()); });
  CHECK(contains(message, "conv2d"));
  CHECK(contains(message, "4503599627370496 bytes"));
  CHECK(contains(message, "[1125899906842624]"));
}

TEST_CASE("checks of operations name operation, argument, what came and what was expected") {
  const Tensor a = Tensor::zeros({2, 3});
  const Tensor b = Tensor::zeros({3}, DType::float64);
  std::string message = message_of<DtypeError>([&] {
    ops::require_same("add", {{"a", a}, {"b", b}});
  });
  CHECK(message == "add: b has dtype float64, a has float32 (a [2,3] float32, b [3] float64)");
  message = message_of<Error>([&] { ops::require_same("add", {{"a", a}, {"b", Tensor()}}); });
  CHECK(message == "add: b is undefined (a [2,3] float32, b undefined)");
  message = message_of<ShapeError>([&] {
    ops::require_rank("conv2d", {"input", a}, 4, "[N,H,W,C]");
  });
  CHECK(message == "conv2d: input has shape [2,3], expected rank 4 ([N,H,W,C])");
  message = message_of<ShapeError>([&] { ops::require_shape("add", {"a", a}, {3, 2}); });
  CHECK(message == "add: a has shape [2,3], expected [3,2]");
  CHECK_THROWS_AS(ops::require_real("exp", {"x", Tensor::arange(2)}), DtypeError);
  CHECK_THROWS_AS(ops::require_dtype("nll", {"target", a}, DType::int64), DtypeError);
  CHECK_NOTHROW(ops::require_precision("matmul", Device::cpu()));
  const PrecisionScope precision(Precision::tf32);
  CHECK(contains(message_of<DeviceError>([] { ops::require_precision("matmul", Device::cpu()); }),
                 "tf32"));
}

TEST_CASE("tensor: different threads may use different tensors") {
  const Tensor shared = Tensor::arange(1000, DType::float32);  // read by all
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (int repeat = 0; repeat < 20; ++repeat) {
        Tensor mine = shared.to(DType::float64).reshape({10, 100});
        mine.slice(0, 5).fill_(thread);
        CHECK(mine.to_vector<double>()[0] == thread);
        CHECK(mine.to_vector<double>()[999] == 999);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

TEST_CASE("tensor: x[i] is a row that shares memory") {
  Tensor x = Tensor::arange(6, DType::float32).reshape({3, 2});
  CHECK(x[1].shape() == Shape{2});
  CHECK(x[1].to_vector<float>() == std::vector<float>{2, 3});
  CHECK(x[-1][0].item() == 4.0);
  CHECK(x[-3][1].item() == 1.0);
  x[2].fill_(7.0);
  CHECK(x.to_vector<float>() == std::vector<float>{0, 1, 2, 3, 7, 7});
  CHECK(message_of<ShapeError>([&] { static_cast<void>(x[3]); }) ==
        "index: 3 is not within [-3,3) of [3,2]");
  CHECK(message_of<ShapeError>([&] { static_cast<void>(x[-4]); }) ==
        "index: -4 is not within [-3,3) of [3,2]");
  CHECK(message_of<ShapeError>([&] { static_cast<void>(x[0][0][0]); }) ==
        "index: the tensor has rank 0, expected at least one axis");
  CHECK_THROWS_AS(static_cast<void>(Tensor()[0]), Error);
}

}  // namespace
}  // namespace cks
