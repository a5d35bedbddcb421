// What bf16 and tf32 keep of a number, and what that does to sums of products.
#include <algorithm>
#include <bit>
#include <cmath>

#include "cks/cks.h"
#include "drawing.h"

namespace {

/// x with `bits` bits behind the leading one, rounded to the nearest, to even at a tie: 7 are bf16,
/// 10 are tf32, 23 are float itself.
float rounded(float x, int bits) {
  const int drop = 23 - bits;
  auto raw = std::bit_cast<std::uint32_t>(x);
  if (drop > 0) {
    const std::uint32_t odd = (raw >> drop) & 1U;
    raw = (raw + (1U << (drop - 1)) - 1U + odd) >> drop << drop;
  }
  return std::bit_cast<float>(raw);
}

/// x cut after `bits` bits.
float cut(double x, int bits) {
  int exponent = 0;
  const double mantissa = std::frexp(x, &exponent);
  return static_cast<float>(
      std::ldexp(std::trunc(std::ldexp(mantissa, bits + 1)), exponent - bits - 1));
}

struct Terms {
  std::vector<float> a, b;
  double exact = 0;      // the sum of products
  double magnitude = 0;  // of their absolute values: what errors are compared with
};

Terms draw(std::int64_t count, bool positive) {
  cks::RandomStream stream(
      cks::make_random_key(1, cks::RandomPurpose::data, positive ? "positive" : "both"));
  Terms t;
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::vector<float>* list : {&t.a, &t.b}) {
      list->push_back((static_cast<float>(stream.below(1U << 24)) - (positive ? 0.0F : 0x1p23F)) *
                      0x1p-23F);
    }
    const double product = static_cast<double>(t.a.back()) * static_cast<double>(t.b.back());
    t.exact += product;
    t.magnitude += std::abs(product);
  }
  return t;
}

/// The sum of products of operands that were split into `planes` numbers of `bits` bits each;
/// products of planes i and j with i + j < planes are made, the small ones first, and added in
/// float.
double sum_of_planes(const Terms& t, int bits, int planes) {
  double total = 0;
  for (int order = planes - 1; order >= 0; --order) {
    float sum = 0;
    for (std::size_t k = 0; k < t.a.size(); ++k) {
      float parts[2][3] = {};
      for (int side = 0; side < 2; ++side) {
        float rest = side == 0 ? t.a[k] : t.b[k];
        for (int p = 0; p < planes; ++p) {
          parts[side][p] = rounded(rest, bits);
          rest -= parts[side][p];
        }
      }
      for (int i = 0; i <= order; ++i) {
        sum += parts[0][i] * parts[1][order - i];
      }
    }
    total += static_cast<double>(sum);
  }
  return total;
}

/// Sums whose every addition is cut, not rounded; after `chunk` terms the sum is added to another,
/// which rounds.
double cut_sum(const Terms& t, std::size_t chunk) {
  float outer = 0;
  for (std::size_t k = 0; k < t.a.size();) {
    float inner = 0;
    for (const std::size_t end = std::min(t.a.size(), k + chunk); k < end; ++k) {
      inner = cut(
          static_cast<double>(inner) + static_cast<double>(t.a[k]) * static_cast<double>(t.b[k]),
          23);
    }
    outer += inner;
  }
  return static_cast<double>(outer);
}

/// The error in powers of two, rounded.
int power_of(double sum, const Terms& t) {
  return static_cast<int>(std::lround(std::log2(std::abs(sum - t.exact) / t.magnitude)));
}

void draw_formats(int argc, char** argv) {
  struct Format {
    const char* name;
    int exponent, fraction;
  };
  book::Drawing drawing(640, 160);
  double y = 8;
  for (const Format& f : {Format{"fp32", 8, 23}, Format{"tf32", 8, 10}, Format{"bf16", 8, 7},
                          Format{"fp16", 5, 10}}) {
    drawing.text(0, y + 17, f.name);
    for (int bit = 0; bit < 1 + f.exponent + f.fraction; ++bit) {
      drawing.box(50 + 18.0 * bit, y, 17, 24,
                  bit == 0            ? "fill-c"
                  : bit <= f.exponent ? "fill-b"
                                      : "fill-a");
    }
    y += 32;
  }
  drawing.cell(50, 138, 60, 18, "sign", "fill-c");
  drawing.cell(116, 138, 80, 18, "exponent", "fill-b");
  drawing.cell(202, 138, 80, 18, "fraction", "fill-a");
  drawing.save(argc, argv, "The bits of four formats: sign, exponent and fraction");
}

}  // namespace

int main(int argc, char** argv) {
  std::printf("           1/3        1 + 1/256  next after 1\n");
  for (const auto& [name, bits] : {std::pair{"fp32", 23}, {"tf32", 10}, {"bf16", 7}}) {
    std::printf("%-6s %.8f  %.8f  %.8f\n", name, static_cast<double>(rounded(1.0F / 3.0F, bits)),
                static_cast<double>(rounded(1.0F + 1.0F / 256, bits)), 1 + std::ldexp(1.0, -bits));
  }

  const Terms t = draw(4096, false);
  std::printf("\na sum of 4096 products, error / sum of magnitudes\n");
  std::printf("bf16, 1 product              2^%d\n", power_of(sum_of_planes(t, 7, 1), t));
  std::printf("tf32, 1 product              2^%d\n", power_of(sum_of_planes(t, 10, 1), t));
  std::printf("two bf16 planes, 3 products  2^%d\n", power_of(sum_of_planes(t, 7, 2), t));
  std::printf("three planes, 6 products     2^%d\n", power_of(sum_of_planes(t, 7, 3), t));
  std::printf("fp32                         2^%d\n", power_of(sum_of_planes(t, 23, 1), t));

  const Terms positive = draw(65536, true);
  std::printf("\na sum of 65536 positive products\n");
  std::printf("rounded in fp32              2^%d\n",
              power_of(sum_of_planes(positive, 23, 1), positive));
  std::printf("cut in each addition         2^%d\n",
              power_of(cut_sum(positive, positive.a.size()), positive));
  std::printf("cut, and moved after 64      2^%d\n", power_of(cut_sum(positive, 64), positive));

  // The library rounds to bf16 in the same way.
  bool right = true;
  for (const float x : t.a) {
    right = right && static_cast<float>(cks::bfloat16(x)) == rounded(x, 7);
  }
  std::printf("\nthe library's bfloat16 agrees: %s\n", right ? "yes" : "no");
  draw_formats(argc, argv);
  return right ? 0 : 1;
}
