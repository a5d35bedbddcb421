#pragma once
#include <doctest/doctest.h>

#include <numeric>
#include <string>
#include <vector>

#include "cks/core/distributed/communicator.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/tensor/random.h"

namespace cks::testing {

/// Numbers of a rank, of which sums in another order have other bits.
inline Tensor numbers_of(int rank, std::int64_t count, DType dtype, Device device = {}) {
  Tensor numbers = Tensor::empty({count});
  fill_normal(numbers, 0.0, 1.0, make_random_key(7, RandomPurpose::data),
              static_cast<std::uint64_t>(rank));
  return (numbers * 100.0).to(dtype).to(device);
}

/// Every operation on tensors of the communicator's device, against what the ranks' numbers say.
/// `is_exact`: sums are those in float64, in the order of ranks.
inline void check_collectives(Communicator& ranks, bool is_exact) {
  const int size = ranks.size();
  const Device device = ranks.device();
  for (const std::int64_t count : {1, 2, 5, 1000, 70001}) {
    CAPTURE(count);
    for (const DType dtype : {DType::float32, DType::float64, DType::int64}) {
      Tensor sum = numbers_of(ranks.rank(), count, dtype, device);
      Tensor mean = sum.clone();
      Tensor wanted = Tensor::zeros({count}, DType::float64);
      for (int rank = 0; rank < size; ++rank) {
        wanted = wanted + numbers_of(rank, count, dtype).to(DType::float64);
      }
      const std::uint64_t version = sum.version();
      ranks.all_reduce(sum);
      CHECK((size == 1 || sum.version() > version));
      const auto check_equal = [&](const Tensor& got, const Tensor& expected) {
        const auto a = got.to(Device::cpu()).to(DType::float64).to_vector<double>();
        const auto b = expected.to(dtype).to(DType::float64).to_vector<double>();
        for (std::size_t i = 0; i < a.size(); ++i) {
          if (is_exact || dtype == DType::int64) {
            REQUIRE(a[i] == b[i]);
          } else {
            REQUIRE(a[i] == doctest::Approx(b[i]).epsilon(1e-5).scale(100.0));
          }
        }
      };
      check_equal(sum, wanted);
      if (dtype != DType::int64) {
        ranks.all_reduce({}, {&mean, 1});
        check_equal(mean, wanted / static_cast<double>(size));
      }
    }
  }
  // Several at once, of different dtypes and sizes, an empty one among them.
  std::vector<Tensor> list{Tensor::full({3}, ranks.rank() + 1.0, DType::float32, device),
                           Tensor::empty({0}, DType::float32, device),
                           Tensor::full({2, 2}, 2.0, DType::float64, device),
                           Tensor::full({}, 5.0, DType::float32, device)};
  ranks.all_reduce(list);
  CHECK(list[0].to(Device::cpu()).to_vector<float>() ==
        std::vector<float>(3, static_cast<float>(size * (size + 1) / 2)));
  CHECK(list[2].to(Device::cpu()).to_vector<double>() == std::vector<double>(4, 2.0 * size));
  CHECK(list[3].to(Device::cpu()).item() == 5.0 * size);

  const Tensor all =
      ranks.all_gather(Tensor::full({2}, 10.0 * ranks.rank(), DType::float32, device));
  CHECK(all.shape() == Shape{size, 2});
  for (int rank = 0; rank < size; ++rank) {
    CHECK(all[rank].to(Device::cpu()).to_vector<float>() ==
          std::vector<float>(2, 10.0F * static_cast<float>(rank)));
  }
  for (int from = 0; from < size; ++from) {
    Tensor tensor = Tensor::full({300}, ranks.rank(), DType::float32, device);
    ranks.broadcast(tensor, from);
    CHECK(tensor.to(Device::cpu()).to_vector<float>() ==
          std::vector<float>(300, static_cast<float>(from)));
    const std::string text(static_cast<std::size_t>(10 * ranks.rank()), 'x');
    CHECK(ranks.broadcast(text, from).size() == static_cast<std::size_t>(10 * from));
  }
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(size));
  std::iota(numbers.begin(), numbers.end(), 0);
  CHECK(ranks.all_gather(std::int64_t{ranks.rank()}) == numbers);
  ranks.barrier();
  ranks.synchronize();
}

}  // namespace cks::testing
