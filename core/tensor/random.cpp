#include "cks/core/tensor/random.h"

#include <cmath>
#include <limits>

#include "cks/core/device/capture_rules.h"
#include "cks/core/memory/reserve_impl.h"
#include "cks/core/tensor/check.h"
#include "cks/core/tensor/grad_mode.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/random/philox.h"
#include "cks/kernels/random/random_order.h"
#include "cks/kernels/random_fill/formulas_impl.h"

namespace cks {
namespace {

using kernels::PhiloxBlock;

constexpr std::int64_t kGrain = 4096;  // elements of a block of work; whole Philox blocks

/// The finaliser of SplitMix64: every bit of the result depends on every bit of x.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

/// FNV-1a.
std::uint64_t hash(std::string_view text) {
  std::uint64_t value = 0xcbf29ce484222325ULL;
  for (const char c : text) {
    value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  }
  return value;
}

/// The upper 64 bits of a * b.
std::uint64_t multiply_high(std::uint64_t a, std::uint64_t b) {
  const std::uint64_t a_low = a & 0xffffffffULL;
  const std::uint64_t a_high = a >> 32;
  const std::uint64_t b_low = b & 0xffffffffULL;
  const std::uint64_t b_high = b >> 32;
  const std::uint64_t middle = a_high * b_low + ((a_low * b_low) >> 32);
  const std::uint64_t middle2 = a_low * b_high + (middle & 0xffffffffULL);
  return a_high * b_high + (middle >> 32) + (middle2 >> 32);
}

void require_fillable(const char* operation, const Tensor& tensor) {
  ops::require_real(operation, {"tensor", tensor});
  ops::require_writable(operation, tensor);
}

/// Whether it is a finite number of the tensor's dtype.
bool fits(double value, const Tensor& tensor) {
  return std::abs(value) <= (tensor.dtype() == DType::float32
                                 ? double{std::numeric_limits<float>::max()}
                                 : std::numeric_limits<double>::max());
}

/// Fills four elements at a time with draw(block).
template <class Draw>
void fill_host(const char* operation, Tensor& tensor, RandomKey key, std::uint64_t step,
               Draw&& draw) {
  capture::forbid(operation);
  if (!tensor.device().is_cpu()) {
    Tensor host = Tensor::empty(tensor.shape(), tensor.dtype());
    fill_host(operation, host, key, step, draw);
    const NoGradGuard no_grad;
    tensor.copy_(host);
    return;
  }
  visit_real(operation, tensor.dtype(), [&](auto tag) {
    using T = decltype(tag);
    T* elements = tensor.data_as<T>();
    kernels::parallel_for_ranges(tensor.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t first = begin; first < end; first += 4) {
        const PhiloxBlock block =
            kernels::random_block(key.value, step, static_cast<std::uint64_t>(first) / 4);
        const kernels::FourNumbers numbers = draw(block);
        for (std::int64_t i = first; i < end && i < first + 4; ++i) {
          elements[i] = static_cast<T>(numbers.value[i - first]);
        }
      }
    });
  });
  tensor.bump_version();
}

}  // namespace

RandomKey make_random_key(std::uint64_t seed, RandomPurpose purpose, std::string_view path) {
  const std::uint64_t with_purpose = mix(mix(seed) ^ static_cast<std::uint64_t>(purpose));
  return {mix(with_purpose ^ hash(path))};
}

void ops::require_uniform(const char* operation, const Tensor& tensor, double low, double high) {
  require_fillable(operation, tensor);
  if (!(low <= high && fits(low, tensor) && fits(high, tensor) && std::isfinite(high - low))) {
    throw Error(
        formatted("{}: low is {}, high {}, expected finite numbers of {}, low the lesser one",
                  operation, low, high, tensor.dtype()));
  }
}

void ops::require_normal(const char* operation, const Tensor& tensor, double mean, double stddev) {
  require_fillable(operation, tensor);
  if (!(stddev >= 0.0 && fits(stddev, tensor) && fits(mean, tensor))) {
    throw Error(
        formatted("{}: mean is {}, stddev {}, expected finite numbers of {}, stddev not below 0",
                  operation, mean, stddev, tensor.dtype()));
  }
}

void fill_uniform(Tensor& tensor, double low, double high, RandomKey key, std::uint64_t step) {
  ops::require_uniform("fill_uniform", tensor, low, high);
  fill_host("fill_uniform", tensor, key, step,
            [&](const PhiloxBlock& block) { return kernels::uniform_numbers(block, low, high); });
}

void fill_normal(Tensor& tensor, double mean, double stddev, RandomKey key, std::uint64_t step) {
  ops::require_normal("fill_normal", tensor, mean, stddev);
  fill_host("fill_normal", tensor, key, step,
            [&](const PhiloxBlock& block) { return kernels::normal_numbers(block, mean, stddev); });
}

std::vector<std::int64_t> random_permutation(std::int64_t count, RandomKey key,
                                             std::uint64_t step) {
  if (count < 0) {
    throw Error(formatted("random_permutation: count must not be negative, got {}", count));
  }
  capture::forbid("random_permutation");
  std::vector<std::int64_t> numbers;
  if (count > 0) {
    const kernels::RandomOrder order = kernels::make_random_order(count, key.value, step);
    reserve("random_permutation", numbers, count);
    for (std::int64_t position = 0; position < count; ++position) {
      numbers.push_back(kernels::order_at(order, position));
    }
  }
  return numbers;
}

std::uint64_t RandomStream::bits() {
  const PhiloxBlock block = kernels::random_block(key_.value, step_, next_ / 2);
  const std::size_t half = (next_ % 2) * 2;
  ++next_;
  return static_cast<std::uint64_t>(block.word[half]) |
         static_cast<std::uint64_t>(block.word[half + 1]) << 32;
}

double RandomStream::normal() {
  const std::uint64_t draw = bits();
  return kernels::box_muller(static_cast<std::uint32_t>(draw),
                             static_cast<std::uint32_t>(draw >> 32))
      .first;
}

std::int64_t RandomStream::below(std::int64_t count) {
  if (count < 1) {
    throw Error(formatted("RandomStream::below: count must be at least 1, got {}", count));
  }
  return static_cast<std::int64_t>(multiply_high(bits(), static_cast<std::uint64_t>(count)));
}

}  // namespace cks
