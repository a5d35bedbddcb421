// Where the kernels for first layers find the operands of their products (stem/stem.h).
#include "cks/kernels/conv2d/stem/stem.h"

#include <doctest/doctest.h>

#include <string>

#include "cks/kernels/conv2d/plan.h"
#include "tests/kernels/conv2d/conv2d_harness.h"

namespace {

using cks::DType;
using cks::kernels::Arithmetic;
using cks::kernels::Conv2dPass;
using cks::kernels::Conv2dProblem;
using cks::kernels::Conv2dSizes;
using namespace cks::kernels::stem;
using namespace cks::testing;  // NOLINT(google-build-using-namespace): this is a test

constexpr cks::kernels::DeviceDescription kGpu{
    .is_cuda = true, .compute_capability = 90, .multiprocessors = 132};

/// What is wrong with tiles: empty if they hold every position and a strip what they meet.
std::string fault_of(const StemTiles& t, const Conv2dProblem& p) {
  const bool covers = t.across * t.columns >= p.OW && t.down * t.rows >= p.OH &&
                      std::int64_t{t.count} / t.across / t.down * t.images >= p.N;
  if (!covers || t.columns * t.rows * t.images > kPositions) {
    return "tiles";
  }
  const std::int64_t last_row = (t.rows - 1) * p.sh + (p.FH - 1) * p.dh;
  const std::int64_t last_column = (t.columns - 1) * p.sw + (p.FW - 1) * p.dw;
  if (last_row >= t.source_rows || last_column >= t.source_columns ||
      t.row_elements < t.source_columns * t.held_channels || t.row_pitch % 2 != 0) {
    return "strip";
  }
  const std::int64_t elements = std::int64_t{t.images} * t.source_rows * t.row_pitch;
  return std::int64_t{2} * t.copy_words < elements ? "room" : "";
}

/// The number of pixel (n, ih, iw) and channel, from 1 on; 0 outside the image.
std::int64_t pixel_of(const Conv2dProblem& p, std::int64_t n, std::int64_t ih, std::int64_t iw,
                      std::int64_t channel) {
  const bool exists = n < p.N && ih >= 0 && ih < p.IH && iw >= 0 && iw < p.IW && channel < p.IC;
  return exists ? ((n * p.IH + ih) * p.IW + iw) * p.IC + channel + 1 : 0;
}

/// What a strip holds of the tile that begins at image 0, position (0, 0): both copies, each
/// element's pixel; element(row, column, channel) is where one lies.
template <class Element>
std::vector<std::int64_t> strip_of(const StemTiles& t, const Conv2dProblem& p, Element&& element) {
  std::vector<std::int64_t> strip(static_cast<std::size_t>(t.copies) * t.copy_words * 2, -1);
  for (int row = 0; row < t.images * t.source_rows; ++row) {
    for (int column = 0; column < t.source_columns; ++column) {
      for (int channel = 0; channel < t.held_channels; ++channel) {
        const auto at = static_cast<std::size_t>(element(row, column, channel));
        strip[at] =
            pixel_of(p, row / t.source_rows, row % t.source_rows - p.pt, column - p.pl, channel);
        if (t.copies == 2 && at > 0) {
          strip[static_cast<std::size_t>(t.copy_words) * 2 + at - 1] = strip[at];
        }
      }
    }
  }
  return strip;
}

/// The pixel that the definition wants for a term of a position.
std::int64_t wanted_of(const Conv2dProblem& p, const Place& at, std::int64_t term) {
  const std::int64_t tap = term / p.IC;
  return pixel_of(p, at.n, at.oh * p.sh - p.pt + tap / p.FW * p.dh,
                  at.ow * p.sw - p.pl + tap % p.FW * p.dw, term % p.IC);
}

/// Whether every pair of terms of every position is read from where the strip has it.
bool finds_patches(const StemShape& s, const Conv2dProblem& p) {
  const StemTiles& t = s.tiles;
  const auto strip = strip_of(t, p, [&](int row, int column, int channel) {
    return row * t.row_pitch + column * t.held_channels + channel;
  });
  for (int position = 0; position < t.columns * t.rows * t.images; ++position) {
    const Place at = unpacked(place_of(t, position));
    std::int64_t term = 0;
    for (int pair = 0; pair < s.steps * kTermsOfStep / 2; ++pair) {
      const TermPair found = term_pair(s, p, pair);
      const int word = pair_at(t, patch_element(t, p, at)) + found.words;
      for (const int half : {0, 1}) {
        if ((found.mask >> (16 * half) & 1U) != 0 &&
            strip.at(static_cast<std::size_t>(2 * word + half)) != wanted_of(p, at, term++)) {
          return false;
        }
      }
    }
    if (term != p.FH * p.FW * p.IC) {
      return false;
    }
  }
  return true;
}

/// The same of every pair of positions of every term.
bool finds_positions(const StemTapsShape& s, const Conv2dProblem& p) {
  const StemTiles& t = s.tiles;
  const auto strip = strip_of(t, p, [&](int row, int column, int channel) {
    return phase_element(s, static_cast<int>(p.sw), row, column, channel);
  });
  for (int position = 0; position < t.columns * t.rows * t.images; position += 2) {
    const Place at = unpacked(place_of(t, position));
    for (int term = 0; term < s.terms; ++term) {
      const int word = position_element(t, p, at) / 2 + term_words(s, p, term);
      for (const int half : {0, 1}) {
        if (strip.at(static_cast<std::size_t>(2 * word + half)) !=
            wanted_of(p, {at.n, at.oh, at.ow + half}, term)) {
          return false;
        }
      }
    }
  }
  return true;
}

}  // namespace

TEST_CASE("stem: tiles hold every position, products find what it meets") {
  Failures failures;
  int taken = 0;
  for (const ListedProblem& listed : conv2d_problems()) {
    for (const Arithmetic arithmetic : {Arithmetic::bf16, Arithmetic::fp32}) {
      const bool bf16 = arithmetic == Arithmetic::bf16;
      const Conv2dProblem p = listed.at(bf16 ? DType::bfloat16 : DType::float32);
      if (const auto s = stem_shape(p, arithmetic, 64)) {
        ++taken;
        if (const std::string fault = fault_of(s->tiles, p); !fault.empty()) {
          failures.add(listed.name, fault);
        }
        const bool holds_terms = s->steps * kTermsOfStep >= p.FH * p.FW * p.IC &&
                                 std::int64_t{s->runs} * s->run_length == p.FH * p.FW * p.IC;
        if (!holds_terms || s->shared_bytes > kMostShared || !finds_patches(*s, p)) {
          failures.add(listed.name, "terms");
        }
      }
      Conv2dProblem gradient = p;
      gradient.w_type = DType::float32;
      if (const auto s = stem_taps_shape(gradient, arithmetic)) {
        const std::string fault = fault_of(s->tiles, p);
        const std::int64_t planes_end = p.IC * p.sw * s->phase_pitch;
        if (!fault.empty() || s->tiles.columns % 2 != 0 || s->tiles.row_pitch < planes_end ||
            s->phase_pitch * p.sw < s->tiles.source_columns || s->shared_bytes > kMostShared ||
            !finds_positions(*s, p)) {
          failures.add(listed.name, "gradient " + fault);
        }
      }
    }
  }
  CHECK(taken > 400);
}

TEST_CASE("stem: takes first layers in every arithmetic") {
  const Conv2dSizes layers[] = {
      {.N = 128,
       .IH = 224,
       .IW = 224,
       .IC = 3,
       .OC = 64,
       .FH = 7,
       .FW = 7,
       .stride = 2,
       .padding = 3},
      {.N = 512, .IH = 32, .IW = 32, .IC = 3, .OC = 64, .FH = 3, .FW = 3, .padding = 1},
      {.N = 128, .IH = 28, .IW = 28, .IC = 1, .OC = 6, .FH = 5, .FW = 5, .padding = 2}};
  for (const Conv2dSizes& layer : layers) {
    Conv2dProblem p = make_conv2d_problem(layer);
    CAPTURE(to_string(p));
    const auto selected = [&](Conv2dPass pass) { return select(pass, p, kGpu).kernel; };
    CHECK(force_plan("stem", Conv2dPass::forward, p, kGpu).arithmetic == Arithmetic::fp32);
    CHECK(force_plan("stem_taps", Conv2dPass::backward_filter, p, kGpu).arithmetic ==
          Arithmetic::fp32);
    for (const auto precision : {cks::Precision::fp32, cks::Precision::tf32}) {
      p.precision = precision;
      if (p.OC == 64) {  // 6 channels would be padded to 32
        CHECK(selected(Conv2dPass::forward) == "stem");
        CHECK(selected(Conv2dPass::backward_filter) == "stem_taps");
        CHECK(std::string(name_of(select(Conv2dPass::forward, p, kGpu).arithmetic)) ==
              name_of(precision));
      }
    }
    p.precision = cks::Precision::bf16;
    p.x_type = p.w_type = p.y_type = DType::bfloat16;
    CHECK(selected(Conv2dPass::forward) == "stem");
    p.w_type = DType::float32;
    CHECK(selected(Conv2dPass::backward_filter) == "stem_taps");
  }
}
