#include "cks/core/ops/activation.h"
#include "cks/core/ops/compare.h"
#include "cks/core/ops/elementwise.h"
#include "tests/core/ops/op_table.h"

namespace cks::testing {
namespace {

using Inputs = std::vector<Tensor>;

OpInput x(std::function<double(std::int64_t)> value) { return {{3, 4}, std::move(value)}; }

OpInput fixed(const Shape& shape, std::function<double(std::int64_t)> value) {
  return {shape, std::move(value), false};
}

OpInput condition(const Shape& shape, bool batched) {
  return {shape, cycle(2), batched, false, DType::uint8};
}

}  // namespace

std::vector<OpRow> elementwise_rows() {
  const auto any = between(-2, 2, 1);
  const auto kinked = away_from_zero(1);
  const auto positive = between(0.3, 3, 1);
  return {
      {"neg", {x(any)}, [](const Inputs& in) { return -in[0]; }},
      {"add scalar", {x(any)}, [](const Inputs& in) { return in[0] + 1.5; }},
      {"add scalar from the left", {x(any)}, [](const Inputs& in) { return 1.5 + in[0]; }},
      {"add of a negative scalar", {x(any)}, [](const Inputs& in) { return in[0] - 1.5; }},
      {"sub from a scalar", {x(any)}, [](const Inputs& in) { return 1.5 - in[0]; }},
      {"mul scalar", {x(any)}, [](const Inputs& in) { return in[0] * -1.5; }},
      {"mul scalar from the left", {x(any)}, [](const Inputs& in) { return -1.5 * in[0]; }},
      {"div by a scalar", {x(any)}, [](const Inputs& in) { return in[0] / -1.5; }},
      {"div of a scalar", {x(positive)}, [](const Inputs& in) { return 1.5 / in[0]; }},
      {"abs", {x(kinked)}, [](const Inputs& in) { return abs(in[0]); }},
      {"square", {x(any)}, [](const Inputs& in) { return square(in[0]); }},
      {"exp", {x(any)}, [](const Inputs& in) { return exp(in[0]); }},
      {"log", {x(positive)}, [](const Inputs& in) { return log(in[0]); }},
      {"sqrt", {x(positive)}, [](const Inputs& in) { return sqrt(in[0]); }},
      {"pow 2.5", {x(positive)}, [](const Inputs& in) { return pow(in[0], 2.5); }},
      {"pow 3", {x(any)}, [](const Inputs& in) { return pow(in[0], 3.0); }},
      {"pow -1", {x(positive)}, [](const Inputs& in) { return pow(in[0], -1.0); }},
      {"pow 0", {x(any)}, [](const Inputs& in) { return pow(in[0], 0.0); }},
      {"clamp", {x(distinct(1))}, [](const Inputs& in) { return clamp(in[0], -1.00001, 0.90001); }},
      {"relu", {x(kinked)}, [](const Inputs& in) { return relu(in[0]); }},
      {"leaky_relu", {x(kinked)}, [](const Inputs& in) { return leaky_relu(in[0], 0.1); }},
      {"leaky_relu, negative slope",
       {x(kinked)},
       [](const Inputs& in) { return leaky_relu(in[0], -0.5); }},
      {"sigmoid", {x(any)}, [](const Inputs& in) { return sigmoid(in[0]); }},
      {"tanh", {x(any)}, [](const Inputs& in) { return tanh(in[0]); }},
      {"gelu", {x(any)}, [](const Inputs& in) { return gelu(in[0]); }},

      {"add", {x(any), x(between(-1, 1, 2))}, [](const Inputs& in) { return in[0] + in[1]; }},
      {"add in place",
       {x(any), x(between(-1, 1, 2))},
       [](const Inputs& in) {
         Tensor sum = in[0] + 1.0;
         sum += in[1];
         sum += 0.5;
         return sum;
       }},
      {"sub in place",
       {x(any), x(between(-1, 1, 2))},
       [](const Inputs& in) {
         Tensor difference = in[0] - in[1];
         difference -= in[1];
         difference -= 0.5;
         return difference;
       }},
      {"mul in place",
       {x(any), x(between(-1, 1, 2))},
       [](const Inputs& in) {
         Tensor product = in[0] * in[1];
         product *= product;
         product *= 0.5;
         return product;
       }},
      {"div in place",
       {x(any), x(positive)},
       [](const Inputs& in) {
         Tensor quotient = in[0] / in[1];
         quotient /= in[1];
         quotient /= 0.5;
         return quotient;
       }},
      {"add row", {x(any), fixed({4}, any)}, [](const Inputs& in) { return in[0] + in[1]; }},
      {"add to a scalar tensor",
       {fixed({}, any), x(any)},
       [](const Inputs& in) { return in[0] + in[1]; }},
      {"add, both stretched",
       {{{3, 1, 4}, any}, fixed({5, 1}, any)},
       [](const Inputs& in) { return in[0] + in[1]; }},
      {"sub", {x(any), x(between(-1, 1, 2))}, [](const Inputs& in) { return in[0] - in[1]; }},
      {"sub of a row",
       {x(any), fixed({1, 4}, any)},
       [](const Inputs& in) { return in[0] - in[1]; }},
      {"mul", {x(any), x(between(-1, 1, 2))}, [](const Inputs& in) { return in[0] * in[1]; }},
      {"mul column",
       {x(any), {{3, 1}, between(-1, 1, 2)}},
       [](const Inputs& in) { return in[0] * in[1]; }},
      {"div", {x(any), x(positive)}, [](const Inputs& in) { return in[0] / in[1]; }},
      {"div by a row",
       {x(any), fixed({4}, positive)},
       [](const Inputs& in) { return in[0] / in[1]; }},
      {"div of a row",
       {fixed({4}, any), x(positive)},
       [](const Inputs& in) { return in[0] / in[1]; }},
      {"maximum",
       {x(distinct(1)), x(distinct(2))},
       [](const Inputs& in) { return maximum(in[0], in[1]); }},
      {"maximum of a row",
       {x(distinct(1)), fixed({4}, distinct(2))},
       [](const Inputs& in) { return maximum(in[0], in[1]); }},
      {"minimum",
       {x(distinct(1)), x(distinct(2))},
       [](const Inputs& in) { return minimum(in[0], in[1]); }},
      {"where",
       {condition({3, 4}, true), x(any), x(between(-1, 1, 2))},
       [](const Inputs& in) { return where(in[0], in[1], in[2]); }},
      {"where of a comparison",
       {x(distinct(1)), x(distinct(2))},
       [](const Inputs& in) { return where(in[0] > in[1], in[0], -in[1]); }},
      {"where of a comparison with a number",
       {x(distinct(1))},
       [](const Inputs& in) { return where(0.30001 <= in[0], in[0], -in[0]); }},
      {"where, all stretched",
       {condition({4}, false), {{3, 1}, any}, fixed({5, 1, 1}, any)},
       [](const Inputs& in) { return where(in[0], in[1], in[2]); }},
  };
}

}  // namespace cks::testing
