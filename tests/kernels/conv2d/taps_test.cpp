#include "cks/kernels/conv2d/taps.h"

#include <doctest/doctest.h>

#include <set>
#include <utility>
#include <vector>

using namespace cks::kernels;  // NOLINT(google-build-using-namespace): this is a test

namespace {

bool inside(const TapAxis& axis, std::int64_t o, std::int64_t f) {
  const std::int64_t i = o * axis.stride - axis.pad + f * axis.dilation;
  return i >= 0 && i < axis.in;
}

/// Calls body with every small axis that a convolution may have.
template <class Body>
void each_axis(Body&& body) {
  for (std::int64_t in = 1; in <= 8; ++in) {
    for (std::int64_t filter = 1; filter <= 5; ++filter) {
      for (std::int64_t stride = 1; stride <= 5; ++stride) {
        for (std::int64_t dilation = 1; dilation <= 4; ++dilation) {
          for (std::int64_t pad = 0; pad <= 6; ++pad) {
            for (std::int64_t pad_after = 0; pad_after <= 3; pad_after += 3) {
              const std::int64_t out =
                  conv_output_extent(in, pad + pad_after, filter, stride, dilation);
              if (out >= 1) {
                body(TapAxis{in, out, filter, stride, pad, dilation});
              }
            }
          }
        }
      }
    }
  }
}

std::string print(const TapAxis& a) {
  return "in " + std::to_string(a.in) + " out " + std::to_string(a.out) + " filter " +
         std::to_string(a.filter) + " stride " + std::to_string(a.stride) + " pad " +
         std::to_string(a.pad) + " dilation " + std::to_string(a.dilation);
}

}  // namespace

TEST_CASE("taps: division rounds towards the infinities, the rest is not negative") {
  for (std::int64_t a = -20; a <= 20; ++a) {
    for (std::int64_t b = 1; b <= 7; ++b) {
      CHECK(floor_div(a, b) * b <= a);
      CHECK(floor_div(a, b) * b > a - b);
      CHECK(ceil_div(a, b) * b >= a);
      CHECK(ceil_div(a, b) * b < a + b);
      CHECK(mod(a, b) == a - floor_div(a, b) * b);
    }
  }
}

TEST_CASE("taps: the ranges of ConvV2 and Sk-dilated hold exactly the pairs inside the image") {
  std::int64_t axes = 0;
  each_axis([&](const TapAxis& axis) {
    std::int64_t pairs = 0;
    bool as_defined = true;
    for (std::int64_t o = 0; o < axis.out; ++o) {
      const IndexRange taps = forward_taps(axis, o);
      for (std::int64_t f = 0; f < axis.filter; ++f) {
        const IndexRange outputs = tap_outputs(axis, f);
        const bool live = inside(axis, o, f);
        as_defined = as_defined && (f >= taps.begin && f < taps.end) == live &&
                     (o >= outputs.begin && o < outputs.end) == live;
        pairs += live ? 1 : 0;
      }
    }
    CHECK_MESSAGE(as_defined, print(axis));
    CHECK_MESSAGE(valid_pairs(axis) == pairs, print(axis));
    ++axes;
  });
  CHECK(axes > 5000);
}

TEST_CASE("taps: classes and slots of huge strides and filters are not searched for one by one") {
  constexpr std::int64_t kHuge = 2147483647;
  const TapAxis strided{.in = 5, .out = 1, .filter = 3, .stride = kHuge, .pad = 1, .dilation = 1};
  CHECK(residue_class(strided, 0).last_tap == 1);  // input 0 meets tap 1
  CHECK(residue_class(strided, 1).last_tap == 2);
  CHECK(residue_class(strided, 2).taps == 0);
  CHECK(residue_class(strided, kHuge - 1).last_tap == 0);
  std::vector<std::int64_t> slots(3);
  deconv_slots(strided, slots.data());
  CHECK(slots == std::vector<std::int64_t>{1, 2, 0});

  for (const std::int64_t dilation : {1, 7, 1000}) {
    const TapAxis wide{.in = 100'003,
                       .out = 1,
                       .filter = 100'003,
                       .stride = 100'000,
                       .pad = 0,
                       .dilation = dilation};
    std::int64_t taps = 0;
    for (std::int64_t a = 0; a < wide.stride; ++a) {
      const ResidueClass c = residue_class(wide, a);
      REQUIRE((c.taps == 0 || c.last_tap * dilation % wide.stride == a));
      taps += c.taps;
    }
    CHECK(taps == wide.filter);
  }
}

TEST_CASE("taps: the residue classes of KS-deconv hold every pair once, and no other") {
  each_axis([&](const TapAxis& axis) {
    bool as_defined = true;
    std::set<std::int64_t> used_taps;
    std::int64_t taps_of_classes = 0;
    for (std::int64_t a = 0; a < axis.stride; ++a) {
      const ResidueClass c = residue_class(axis, a);
      taps_of_classes += c.taps;
      for (std::int64_t m = 0; m < c.taps; ++m) {
        used_taps.insert(c.last_tap - m * c.tap_step);
      }
      for (std::int64_t j = 0; a + j * axis.stride < axis.in; ++j) {
        std::set<std::pair<std::int64_t, std::int64_t>> by_class;  // (tap, output)
        const IndexRange live = class_taps(axis, c, j);
        for (std::int64_t m = live.begin; m < live.end; ++m) {
          by_class.emplace(c.last_tap - m * c.tap_step, j + c.delta + m * c.delta_step);
        }
        std::set<std::pair<std::int64_t, std::int64_t>> by_definition;
        for (std::int64_t f = 0; f < axis.filter; ++f) {
          for (std::int64_t o = 0; o < axis.out; ++o) {
            if (o * axis.stride - axis.pad + f * axis.dilation == a + j * axis.stride) {
              by_definition.emplace(f, o);
            }
          }
        }
        as_defined = as_defined && by_class == by_definition;
      }
    }
    CHECK_MESSAGE(as_defined, print(axis));
    // Each tap belongs to one class.
    CHECK_MESSAGE(taps_of_classes == axis.filter, print(axis));
    CHECK_MESSAGE(static_cast<std::int64_t>(used_taps.size()) == axis.filter, print(axis));
  });
}
