#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "cks/core/tensor/tensor.h"

namespace cks {

/// What random numbers are for. Each purpose has streams of its own.
enum class RandomPurpose : std::uint8_t { initialize, dropout, shuffle, augment, data };

/// Names a family of random streams: one for each step. There is no global generator: who draws
/// says from what, so that a new layer, thread or draw changes nobody else's numbers.
struct RandomKey {
  std::uint64_t value = 0;
};

/// A key from a run's seed, a purpose, and the path of what draws: a parameter's, a module's.
RandomKey make_random_key(std::uint64_t seed, RandomPurpose purpose, std::string_view path = {});

/// Fills a float32 or float64 tensor on the host with low + (high - low) * u, where u is a multiple
/// of 2^-24 in [0, 1). Element i is a function of (key, step, i) alone; both dtypes get the same
/// values up to rounding, which may make a float32 equal to high. A tensor on a GPU gets a copy of
/// the host's numbers. Raises the version. Throws DtypeError for other dtypes, CaptureError inside
/// a captured step, AutogradError as fill_ does, Error if low > high or stddev < 0, and for numbers
/// that the dtype cannot hold.
void fill_uniform(Tensor& tensor, double low, double high, RandomKey key, std::uint64_t step = 0);
/// Box-Muller's method, in float64.
void fill_normal(Tensor& tensor, double mean, double stddev, RandomKey key, std::uint64_t step = 0);

/// The numbers 0 ... count-1 in random order, each place of which is computed on its own
/// (kernels/random/random_order.h). Throws as fill_uniform.
std::vector<std::int64_t> random_permutation(std::int64_t count, RandomKey key,
                                             std::uint64_t step = 0);

/// Draws one number after the other from the stream of (key, step), for code on the host that needs
/// an unforeseeable count of them: augmentation, drawn data. A plain value: a copy continues alike.
class RandomStream {
 public:
  explicit RandomStream(RandomKey key, std::uint64_t step = 0) : key_(key), step_(step) {}

  std::uint64_t bits();  // 64, each 0 or 1 alike
  /// In [0, 1), a multiple of 2^-53.
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  double normal();
  /// In [0, count), from one draw without rejection: no value is likelier than another by more than
  /// count / 2^64. Throws Error if count < 1.
  std::int64_t below(std::int64_t count);

 private:
  RandomKey key_;
  std::uint64_t step_;
  std::uint64_t next_ = 0;  // counts 64-bit draws
};

}  // namespace cks
