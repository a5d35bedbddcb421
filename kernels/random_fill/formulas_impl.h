#pragma once
#include <cmath>
#include <cstddef>

#include "cks/kernels/common/host_device.h"
#include "cks/kernels/random/philox.h"
#include "cks/kernels/random_fill/random_fill.h"

/// Random words as numbers of a distribution: the one copy for the host, the CPU and the GPU.
namespace cks::kernels {

struct TwoNumbers {
  double first, second;
};

/// Two independent standard normal numbers from two words.
CKS_HOST_DEVICE inline TwoNumbers box_muller(std::uint32_t first, std::uint32_t second) {
  constexpr double kPi = 3.141592653589793;
  const double u = (static_cast<double>(first) + 0.5) * 0x1p-32;  // never 0
  const double radius = std::sqrt(-2.0 * std::log(u));
  const double angle = 2.0 * kPi * static_cast<double>(second) * 0x1p-32;
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

struct FourNumbers {
  double value[4];
};

/// Four numbers in [low, high), from the words of a block.
CKS_HOST_DEVICE inline FourNumbers uniform_numbers(const PhiloxBlock& block, double low,
                                                   double high) {
  FourNumbers numbers{};
  for (std::size_t i = 0; i < 4; ++i) {
    numbers.value[i] = low + (high - low) * static_cast<double>(to_unit_interval(block.word[i]));
  }
  return numbers;
}

CKS_HOST_DEVICE inline FourNumbers normal_numbers(const PhiloxBlock& block, double mean,
                                                  double stddev) {
  const TwoNumbers front = box_muller(block.word[0], block.word[1]);
  const TwoNumbers back = box_muller(block.word[2], block.word[3]);
  return {{mean + stddev * front.first, mean + stddev * front.second, mean + stddev * back.first,
           mean + stddev * back.second}};
}

/// Elements 4 * block ... 4 * block + 3.
CKS_HOST_DEVICE inline FourNumbers random_numbers(const RandomFillProblem& problem,
                                                  std::uint64_t step, std::int64_t block) {
  const PhiloxBlock words = random_block(problem.key, step, static_cast<std::uint64_t>(block));
  return problem.kind == RandomKind::uniform ? uniform_numbers(words, problem.a, problem.b)
                                             : normal_numbers(words, problem.a, problem.b);
}

}  // namespace cks::kernels
