#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "cks/kernels/halves/halves.h"
#include "cks/kernels/random/philox.h"
#include "tests/support/device_buffer.h"

// Halves against the definition in halves.h, in float64, bit by bit.

using cks::kernels::HalvesJob;
using cks::testing::DeviceBuffer;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// The value of float16 bits.
double value_of(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == 31) {
    return fraction == 0 ? sign * kInf : kNan;
  }
  return sign *
         (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25));
}

/// Rounded to nearest even, to the grid of float16.
double rounded(double value) {
  const int exponent = std::max(-14, value == 0.0 ? -14 : std::ilogb(value));
  return std::ldexp(std::nearbyint(std::ldexp(value, 10 - exponent)), exponent - 10);
}

struct Image {
  std::int64_t pixels, channels, pitch;
  std::vector<float> values;  // [pixels][pitch], the gaps NaN

  Image(std::int64_t p, std::int64_t c, std::int64_t gap, double scale, std::uint64_t seed)
      : pixels(p), channels(c), pitch(c + gap), values(static_cast<std::size_t>(p * pitch), kNan) {
    for (std::int64_t i = 0; i < p; ++i) {
      for (std::int64_t j = 0; j < c; ++j) {
        const cks::kernels::PhiloxBlock draw =
            cks::kernels::random_block(seed, 0, static_cast<std::uint64_t>(i * c + j));
        const double uniform = static_cast<double>(draw.word[0]) * 0x1p-31 - 1.0;
        at(i, j) =
            static_cast<float>(uniform * scale * std::exp2(-static_cast<int>(draw.word[1] % 40)));
      }
    }
  }
  float& at(std::int64_t pixel, std::int64_t channel) {
    return values[static_cast<std::size_t>(pixel * pitch + channel)];
  }
};

struct Sizes {
  std::int64_t pixels, channels, gap;
};

struct OnDevice {
  DeviceBuffer from, halves;
  HalvesJob job;

  explicit OnDevice(const Image& image)
      : from(image.values.size() * sizeof(float)),
        halves(cks::kernels::halves_bytes(image.pixels * image.channels)),
        job{from.as<float>(), image.pixels, image.channels, image.pitch, halves.data()} {
    from.upload(image.values.data());
  }
  std::vector<unsigned char> bytes() const {
    std::vector<unsigned char> host(halves.bytes());
    halves.download(host.data());
    return host;
  }
};

void check_halves(Image& image, const std::vector<unsigned char>& bytes) {
  int exponent = 0;
  std::memcpy(&exponent, bytes.data(), sizeof exponent);
  double largest = 0.0;
  for (const float value : image.values) {
    largest =
        std::isfinite(value) ? std::max(largest, std::abs(static_cast<double>(value))) : largest;
  }
  if (largest == 0.0) {
    CHECK(exponent == 0);
  } else if (largest >= 0x1p-112) {
    CHECK(std::ldexp(largest, -exponent) >= 0x1p8);
    CHECK(std::ldexp(largest, -exponent) < 0x1p15);
  } else {
    CHECK(exponent <= -120);
    CHECK(exponent >= -126);
  }
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < image.pixels * image.channels; ++i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, bytes.data() + cks::kernels::kHalvesHeader + 2 * i, sizeof bits);
    const double from = static_cast<double>(image.at(i / image.channels, i % image.channels));
    const double got = value_of(bits);
    const bool right = std::isnan(from)   ? std::isnan(got)
                       : std::isinf(from) ? got == from
                                          : got == rounded(std::ldexp(from, -exponent));
    wrong += right ? 0 : 1;
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("halves: every element rounded, the largest at the top of the range") {
  for (const double scale : {1.0, 3e-7, 6e4, 1e38, 1e-30, 1e-37, 1e-44}) {
    CAPTURE(scale);
    for (const auto& [pixels, channels, gap] :
         {Sizes{1, 8, 0}, {3, 8, 4}, {77, 24, 0}, {1000, 40, 12}, {20000, 64, 0}}) {
      CAPTURE(pixels);
      Image first(pixels, channels, gap, scale, 1), second(5, 16, 0, 1.0 / scale, 2);
      first.at(pixels / 2, 3) = kNan;
      first.at(pixels - 1, 5) = -kInf;
      second.at(0, 0) = 0.0F;
      const OnDevice a(first), b(second);
      const HalvesJob jobs[] = {a.job, b.job};
      cks::kernels::cuda::make_halves("test", jobs);
      check_halves(first, a.bytes());
      check_halves(second, b.bytes());
      CHECK(a.halves.intact());
      CHECK(b.halves.intact());
    }
  }
}

TEST_CASE("halves: what the sample does not see is seen") {
  for (const float outlier : {1e30F, 1e-30F, 300.0F, 64.0F, 1e3F}) {
    CAPTURE(outlier);
    for (const double scale : {0.0, 1.0}) {
      CAPTURE(scale);
      Image image(20000, 64, 0, scale, 4);
      for (const std::int64_t pixel : {16, 700, 19999}) {  // sampled are pixels 0 to 15, 256 to 271
        image.at(pixel, 7) = -outlier;
      }
      const OnDevice device(image);
      cks::kernels::cuda::make_halves("test", {&device.job, 1});
      check_halves(image, device.bytes());
    }
  }
}

TEST_CASE("halves: of zeros, of nothing, and the same bits again") {
  Image zeros(9, 8, 0, 0.0, 1);
  const OnDevice of_zeros(zeros);
  cks::kernels::cuda::make_halves("test", {&of_zeros.job, 1});
  check_halves(zeros, of_zeros.bytes());
  cks::kernels::cuda::make_halves("test", {});

  Image image(300, 64, 8, 1.0, 3);
  const OnDevice once(image);
  cks::kernels::cuda::make_halves("test", {&once.job, 1});
  const auto bytes = once.bytes();
  const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(cks::kernels::kHalvesHeader);
  for (int repeat = 0; repeat < 20; ++repeat) {
    OnDevice again(image);
    cks::kernels::cuda::make_halves("test", {&again.job, 1});
    const auto other = again.bytes();
    CHECK(std::equal(begin, begin + 2 * 300 * 64,
                     other.begin() + static_cast<std::ptrdiff_t>(cks::kernels::kHalvesHeader)));
  }
}
