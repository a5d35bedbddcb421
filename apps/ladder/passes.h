#pragma once
#include "cks/kernels/common/host_device.h"
#include "cks/kernels/common/taps.h"

/// The three passes of a convolution as the ladder's kernels see them: products of matrices whose
/// elements are looked up in X, W and dY.
///
///   result[m, n] = sum over k of left(m, k) * right(k, n)
///
///   pass              m                  n           k               left          right
///   Forward           output position    oc          fh, fw, ic      X or 0        W
///   BackwardData      input position     ic          fh, fw, oc      dY or 0       W
///   BackwardFilter    oc                 fh, fw, ic  output position dY            X or 0
///
/// Where a tap has no pixel, or a pixel no output, stands a 0, which is multiplied. That is the
/// usual way. To skip them, each pass is cut into *places*, outputs, inputs or taps at one position
/// in all images: a place has a list of steps, small products of matrices without a zero. Which
/// taps have a pixel is kernels/common/taps.h's to say.
namespace cks::ladder {

// NOLINTBEGIN(bugprone-implicit-widening-of-multiplication-result): all offsets are below 2^31

/// One group, no dilation. All tensors are dense float32, with fewer than 2^31 elements.
struct Sizes {
  int N, IH, IW, IC, OC, FH, FW, OH, OW, sh, sw, pt, pl;
};

/// What a place adds up: left[m * left_row + k * left_term] * right[k * right_term + n *
/// right_column] for all k < terms.
struct Step {
  const float* left;
  const float* right;
  int left_row, left_term, right_term, right_column, terms;
};

/// KS-deconv: pair t of input i joins tap first_tap + t*stride with output first_output - t.
struct Pairs {
  int first_tap, first_output;
  kernels::IndexRangeOf<int> t;
};
CKS_HOST_DEVICE inline Pairs pairs_of(const kernels::TapAxisOf<int>& axis, int i) {
  const int tap = (i + axis.pad) % axis.stride;
  const int output = (i + axis.pad) / axis.stride;
  const int begin = output < axis.out ? 0 : output - axis.out + 1;
  const int taps = (axis.filter - tap + axis.stride - 1) / axis.stride;
  return {tap, output, kernels::range_of(begin, output + 1 < taps ? output + 1 : taps)};
}

using Range = kernels::IndexRangeOf<int>;
CKS_HOST_DEVICE inline kernels::TapAxisOf<int> row_axis(const Sizes& s) {
  return {s.IH, s.OH, s.FH, s.sh, s.pt, 1};
}
CKS_HOST_DEVICE inline kernels::TapAxisOf<int> column_axis(const Sizes& s) {
  return {s.IW, s.OW, s.FW, s.sw, s.pl, 1};
}

struct Forward {
  Sizes s;
  const float* x;
  const float* w;

  CKS_HOST_DEVICE int rows() const { return s.N * s.OH * s.OW; }
  CKS_HOST_DEVICE int columns() const { return s.OC; }
  CKS_HOST_DEVICE int terms() const { return s.FH * s.FW * s.IC; }

  /// The channels of the pixel that row m reads through a tap, or null.
  CKS_HOST_DEVICE const float* pixel(int m, int fh, int fw) const {
    const int ih = m / s.OW % s.OH * s.sh - s.pt + fh;
    const int iw = m % s.OW * s.sw - s.pl + fw;
    const bool inside = ih >= 0 && ih < s.IH && iw >= 0 && iw < s.IW;
    return inside ? x + ((m / (s.OW * s.OH) * s.IH + ih) * s.IW + iw) * s.IC : nullptr;
  }
  /// The definition: calls add(left, right) for all terms of an element.
  template <class Add>
  CKS_HOST_DEVICE void each_product(int m, int n, Add add) const {
    for (int tap = 0; tap < s.FH * s.FW; ++tap) {
      const float* const channels = pixel(m, tap / s.FW, tap % s.FW);
      const float* const filter = w + (n * s.FH * s.FW + tap) * s.IC;
      for (int ic = 0; ic < s.IC; ++ic) {
        add(channels != nullptr ? channels[ic] : 0.0F, filter[ic]);
      }
    }
  }
  CKS_HOST_DEVICE float left(int m, int k) const {
    const int tap = k / s.IC;
    const float* const channels = pixel(m, tap / s.FW, tap % s.FW);
    return channels != nullptr ? channels[k % s.IC] : 0.0F;
  }
  CKS_HOST_DEVICE float right(int k, int n) const { return w[n * terms() + k]; }

  // Places are outputs.
  CKS_HOST_DEVICE int places() const { return s.OH * s.OW; }
  CKS_HOST_DEVICE int place_rows() const { return s.N; }
  CKS_HOST_DEVICE int place_columns() const { return s.OC; }
  CKS_HOST_DEVICE Range rows_of(int place) const {
    return kernels::forward_taps(row_axis(s), place / s.OW);
  }
  CKS_HOST_DEVICE Range columns_of(int place) const {
    return kernels::forward_taps(column_axis(s), place % s.OW);
  }
  CKS_HOST_DEVICE int steps(int place) const {
    return rows_of(place).size() * columns_of(place).size();
  }
  CKS_HOST_DEVICE Step step(int place, int i) const {
    const int fh = rows_of(place).begin + i / columns_of(place).size();
    const int fw = columns_of(place).begin + i % columns_of(place).size();
    return {
        pixel(place, fh, fw), w + (fh * s.FW + fw) * s.IC, s.IH * s.IW * s.IC, 1, 1, terms(), s.IC};
  }
};

struct BackwardData {
  Sizes s;
  const float* dy;
  const float* w;

  CKS_HOST_DEVICE int rows() const { return s.N * s.IH * s.IW; }
  CKS_HOST_DEVICE int columns() const { return s.IC; }
  CKS_HOST_DEVICE int terms() const { return s.FH * s.FW * s.OC; }

  /// The channels of the output that reads pixel m through a tap, or null.
  CKS_HOST_DEVICE const float* output(int m, int fh, int fw) const {
    const int h = m / s.IW % s.IH + s.pt - fh;
    const int v = m % s.IW + s.pl - fw;
    const bool there =
        h >= 0 && h % s.sh == 0 && h / s.sh < s.OH && v >= 0 && v % s.sw == 0 && v / s.sw < s.OW;
    return there ? dy + ((m / (s.IW * s.IH) * s.OH + h / s.sh) * s.OW + v / s.sw) * s.OC : nullptr;
  }
  template <class Add>
  CKS_HOST_DEVICE void each_product(int m, int n, Add add) const {
    for (int tap = 0; tap < s.FH * s.FW; ++tap) {
      const float* const channels = output(m, tap / s.FW, tap % s.FW);
      const float* const filter = w + tap * s.IC + n;
      for (int oc = 0; oc < s.OC; ++oc) {
        add(channels != nullptr ? channels[oc] : 0.0F, filter[oc * s.FH * s.FW * s.IC]);
      }
    }
  }
  CKS_HOST_DEVICE float left(int m, int k) const {
    const int tap = k / s.OC;
    const float* const channels = output(m, tap / s.FW, tap % s.FW);
    return channels != nullptr ? channels[k % s.OC] : 0.0F;
  }
  CKS_HOST_DEVICE float right(int k, int n) const {
    return w[(k % s.OC * s.FH * s.FW + k / s.OC) * s.IC + n];
  }

  // Places are inputs. Those of one residue class have the same taps inside the map.
  CKS_HOST_DEVICE int places() const { return s.IH * s.IW; }
  CKS_HOST_DEVICE int place_rows() const { return s.N; }
  CKS_HOST_DEVICE int place_columns() const { return s.IC; }
  CKS_HOST_DEVICE Pairs rows_of(int place) const { return pairs_of(row_axis(s), place / s.IW); }
  CKS_HOST_DEVICE Pairs columns_of(int place) const {
    return pairs_of(column_axis(s), place % s.IW);
  }
  CKS_HOST_DEVICE int steps(int place) const {
    return rows_of(place).t.size() * columns_of(place).t.size();
  }
  CKS_HOST_DEVICE Step step(int place, int i) const {
    const Pairs h = rows_of(place);
    const Pairs v = columns_of(place);
    const int t = h.t.begin + i / v.t.size();
    const int u = v.t.begin + i % v.t.size();
    const int fh = h.first_tap + t * s.sh;
    const int fw = v.first_tap + u * s.sw;
    return {output(place, fh, fw),
            w + (fh * s.FW + fw) * s.IC,
            s.OH * s.OW * s.OC,
            1,
            s.FH * s.FW * s.IC,
            1,
            s.OC};
  }
};

struct BackwardFilter {
  Sizes s;
  const float* dy;
  const float* x;

  CKS_HOST_DEVICE int rows() const { return s.OC; }
  CKS_HOST_DEVICE int columns() const { return s.FH * s.FW * s.IC; }
  CKS_HOST_DEVICE int terms() const { return s.N * s.OH * s.OW; }

  CKS_HOST_DEVICE Forward forward() const { return {s, x, nullptr}; }
  template <class Add>
  CKS_HOST_DEVICE void each_product(int m, int n, Add add) const {
    const int tap = n / s.IC;
    for (int k = 0; k < terms(); ++k) {
      const float* const channels = forward().pixel(k, tap / s.FW, tap % s.FW);
      add(dy[k * s.OC + m], channels != nullptr ? channels[n % s.IC] : 0.0F);
    }
  }
  CKS_HOST_DEVICE float left(int m, int k) const { return dy[k * s.OC + m]; }
  CKS_HOST_DEVICE float right(int k, int n) const {
    const int tap = n / s.IC;
    const float* const channels = forward().pixel(k, tap / s.FW, tap % s.FW);
    return channels != nullptr ? channels[n % s.IC] : 0.0F;
  }

  // Places are taps; a step is an output, at which all images are added up.
  CKS_HOST_DEVICE int places() const { return s.FH * s.FW; }
  CKS_HOST_DEVICE int place_rows() const { return s.OC; }
  CKS_HOST_DEVICE int place_columns() const { return s.IC; }
  CKS_HOST_DEVICE Range rows_of(int place) const {
    return kernels::tap_outputs(row_axis(s), place / s.FW);
  }
  CKS_HOST_DEVICE Range columns_of(int place) const {
    return kernels::tap_outputs(column_axis(s), place % s.FW);
  }
  CKS_HOST_DEVICE int steps(int place) const {
    return rows_of(place).size() * columns_of(place).size();
  }
  CKS_HOST_DEVICE Step step(int place, int i) const {
    const int oh = rows_of(place).begin + i / columns_of(place).size();
    const int ow = columns_of(place).begin + i % columns_of(place).size();
    const int position = oh * s.OW + ow;
    return {dy + position * s.OC,
            forward().pixel(position, place / s.FW, place % s.FW),
            1,
            s.OH * s.OW * s.OC,
            s.IH * s.IW * s.IC,
            1,
            s.N};
  }
};

/// Where element (m, n) of a place lies in the result.
template <class Pass>
CKS_HOST_DEVICE int target_of(const Pass& pass, int place, int m, int n) {
  return (m * pass.places() + place) * pass.place_columns() + n;
}

// NOLINTEND(bugprone-implicit-widening-of-multiplication-result)

}  // namespace cks::ladder
