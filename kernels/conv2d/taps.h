#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>

#include "cks/kernels/common/math.h"
#include "cks/kernels/common/taps.h"
#include "cks/kernels/conv2d/problem.h"

/// The index formulas of the three convolution methods: common/taps.h says which filter taps meet
/// which pixels, this file cuts an axis into runs of positions that meet the same ones. ConvV2
/// walks forward_taps(), Sk-dilated tap_outputs(), KS-deconv residue classes.
namespace cks::kernels {

CKS_HOST_DEVICE inline TapAxis row_axis(const Conv2dProblem& p) {
  return {p.IH, p.OH, p.FH, p.sh, p.pt, p.dh};
}
CKS_HOST_DEVICE inline TapAxis column_axis(const Conv2dProblem& p) {
  return {p.IW, p.OW, p.FW, p.sw, p.pl, p.dw};
}

/// The number of (output, tap) pairs inside the input: the axis' factor of V.
inline std::int64_t valid_pairs(const TapAxis& axis) {
  std::int64_t pairs = 0;
  for (std::int64_t f = 0; f < axis.filter; ++f) {
    pairs += tap_outputs(axis, f).size();
  }
  return pairs;
}

/// KS-deconv: the taps that reach the inputs a, a+stride, a+2*stride, ...: those with
/// (a + pad - f*dilation) mod stride == 0. Input a + stride*j meets tap m of the class,
/// f = last_tap - m*tap_step, at output j + delta + m*delta_step; outputs rise with m.
struct ResidueClass {
  std::int64_t last_tap, tap_step, taps;
  std::int64_t delta, delta_step;
};

/// The x in [0, m) with a * x mod m == 1 mod m, for a and m without a common divisor: Euclid.
inline std::int64_t inverse_modulo(std::int64_t a, std::int64_t m) {
  std::int64_t remainder = m;
  std::int64_t next = mod(a, m);
  std::int64_t x = 0;
  std::int64_t next_x = 1;
  while (next > 1) {
    const std::int64_t quotient = remainder / next;
    remainder = std::exchange(next, remainder - quotient * next);
    x = std::exchange(next_x, x - quotient * next_x);
  }
  return mod(next_x, m);
}

inline ResidueClass residue_class(const TapAxis& axis, std::int64_t a) {
  const std::int64_t common = std::gcd(axis.stride, axis.dilation);
  const std::int64_t tap_step = axis.stride / common;
  const std::int64_t delta_step = axis.dilation / common;
  // The least f with f*dilation == a + pad modulo stride; a search would be linear in both.
  const std::int64_t first =
      mod((a + axis.pad) / common, tap_step) * inverse_modulo(delta_step, tap_step) % tap_step;
  if ((a + axis.pad) % common != 0 || first >= axis.filter) {
    return {0, tap_step, 0, 0, 1};
  }
  const std::int64_t taps = (axis.filter - 1 - first) / tap_step + 1;
  const std::int64_t last = first + (taps - 1) * tap_step;
  const std::int64_t delta = floor_div(a + axis.pad - last * axis.dilation, axis.stride);
  return {last, tap_step, taps, delta, delta_step};
}

/// The taps m of a class that reach input a + stride*j from an existing output.
inline IndexRange class_taps(const TapAxis& axis, const ResidueClass& c, std::int64_t j) {
  if (c.taps == 0) {
    return {0, 0};
  }
  const std::int64_t first = j + c.delta;
  return range_of(ceil_div(std::max<std::int64_t>(0, -first), c.delta_step),
                  std::min(c.taps, floor_div(axis.out - 1 - first, c.delta_step) + 1));
}

/// `count` target positions that meet the same taps. Position i is target + i*target_step; its tap
/// m < taps stands in filter slot `slot + m` and reads source + i*source_step + m*tap_step.
/// Targets are outputs in ConvV2 and Sk-dilated, inputs in KS-deconv; sources are the other ones.
/// taps == 0: nothing is read.
struct TapRun {
  std::int64_t target, target_step, count;
  std::int64_t slot, taps;
  std::int64_t source, source_step, tap_step;
};

/// Cuts the outputs of an axis into runs of at most max_count positions; a slot is a tap.
/// Writes at most axis.out runs, returns them.
inline std::span<const TapRun> forward_runs(const TapAxis& axis, std::int64_t max_count,
                                            TapRun* runs) {
  std::size_t written = 0;
  for (std::int64_t o = 0; o < axis.out;) {
    const IndexRange taps = forward_taps(axis, o);
    const auto same = [&](std::int64_t next) {
      const IndexRange other = forward_taps(axis, next);
      return other.size() == taps.size() && (taps.size() == 0 || other.begin == taps.begin);
    };
    std::int64_t end = o + 1;
    while (end < axis.out && end - o < max_count && same(end)) {
      ++end;
    }
    runs[written++] = {o,           1,
                       end - o,     taps.begin,
                       taps.size(), o * axis.stride - axis.pad + taps.begin * axis.dilation,
                       axis.stride, axis.dilation};
    o = end;
  }
  return {runs, written};
}

/// Cuts the inputs of an axis into runs of at most max_count positions of one residue class.
/// The slots hold the taps class by class, each class in the order of rising outputs
/// (deconv_slots). Writes at most axis.in runs, returns them.
inline std::span<const TapRun> deconv_runs(const TapAxis& axis, std::int64_t max_count,
                                           TapRun* runs) {
  std::size_t written = 0;
  std::int64_t slot = 0;
  for (std::int64_t a = 0; a < std::min(axis.stride, axis.in); ++a) {
    const ResidueClass c = residue_class(axis, a);
    const std::int64_t pixels = ceil_div(axis.in - a, axis.stride);
    for (std::int64_t j = 0; j < pixels;) {
      const IndexRange taps = class_taps(axis, c, j);
      const auto same = [&](std::int64_t next) {
        const IndexRange other = class_taps(axis, c, next);
        return other.size() == taps.size() && (taps.size() == 0 || other.begin == taps.begin);
      };
      std::int64_t end = j + 1;
      while (end < pixels && end - j < max_count && same(end)) {
        ++end;
      }
      runs[written++] = {a + j * axis.stride,
                         axis.stride,
                         end - j,
                         slot + taps.begin,
                         taps.size(),
                         j + c.delta + taps.begin * c.delta_step,
                         1,
                         c.delta_step};
      j = end;
    }
    slot += c.taps;
  }
  return {runs, written};
}

/// Writes the tap that stands in each slot of deconv_runs: axis.filter entries.
inline void deconv_slots(const TapAxis& axis, std::int64_t* tap_of_slot) {
  const auto class_of = [&](std::int64_t f) {
    return mod(f * axis.dilation - axis.pad, axis.stride);
  };
  std::iota(tap_of_slot, tap_of_slot + axis.filter, std::int64_t{0});
  std::sort(tap_of_slot, tap_of_slot + axis.filter, [&](std::int64_t f, std::int64_t g) {
    const std::int64_t class_f = class_of(f);
    const std::int64_t class_g = class_of(g);
    return class_f != class_g ? class_f < class_g : f > g;
  });
}

}  // namespace cks::kernels
