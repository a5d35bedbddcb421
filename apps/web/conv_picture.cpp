#include "apps/web/conv_picture.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "cks/core/conv/conv2d.h"
#include "cks/core/conv/conv_report.h"
#include "cks/core/error.h"
#include "cks/core/tensor/random.h"
#include "cks/kernels/conv2d/taps.h"

namespace cks::web {
namespace {

using Json = nlohmann::json;
using kernels::IndexRange;
using kernels::TapAxis;

// Zeros of the widened dY, where an output's index would stand.
constexpr std::int64_t kBetween = -1;  // inserted by the stride
constexpr std::int64_t kBeside = -2;   // padding

Json to_json(const IndexRange& range) { return {range.begin, range.end}; }

/// value(0), value(1), ..., `count` of them.
Json list_of(std::int64_t count, auto&& value) {
  Json list = Json::array();
  for (std::int64_t i = 0; i < count; ++i) {
    list.push_back(value(i));
  }
  return list;
}

/// The (output, tap) pairs through which input i = a + stride*j is reached, outputs rising.
Json pairs_of(const TapAxis& axis, std::int64_t a, std::int64_t j) {
  const kernels::ResidueClass c = kernels::residue_class(axis, a);
  const IndexRange taps = kernels::class_taps(axis, c, j);
  return list_of(taps.size(), [&](std::int64_t i) {
    const std::int64_t m = taps.begin + i;
    return Json{j + c.delta + m * c.delta_step, c.last_tap - m * c.tap_step};
  });
}

Json describe(const TapAxis& axis) {
  Json json{{"in", axis.in},         {"out", axis.out}, {"filter", axis.filter},
            {"stride", axis.stride}, {"pad", axis.pad}, {"dilation", axis.dilation}};
  json["reads"] = list_of(axis.out, [&](std::int64_t o) {
    return list_of(axis.filter,
                   [&](std::int64_t f) { return o * axis.stride - axis.pad + f * axis.dilation; });
  });
  json["forward"] =
      list_of(axis.out, [&](std::int64_t o) { return to_json(kernels::forward_taps(axis, o)); });
  json["classes"] = list_of(axis.stride, [&](std::int64_t a) {
    const kernels::ResidueClass c = kernels::residue_class(axis, a);
    return list_of(c.taps, [&](std::int64_t m) { return c.last_tap - m * c.tap_step; });
  });
  // The usual way: tap f of input i reads place i + (filter-1-f)*dilation of the widened dY.
  const std::int64_t reach = (axis.filter - 1) * axis.dilation;
  json["spread"] = list_of(axis.in + reach, [&](std::int64_t place) {
    const std::int64_t position = place + axis.pad - reach;
    const bool beside = position < 0 || position > (axis.out - 1) * axis.stride;
    const bool between = kernels::mod(position, axis.stride) != 0;
    return beside ? kBeside : between ? kBetween : position / axis.stride;
  });
  json["inputs"] = list_of(axis.in, [&](std::int64_t i) {
    const std::int64_t a = i % axis.stride;
    const std::int64_t j = i / axis.stride;
    const auto place = [&](std::int64_t f) { return i + reach - f * axis.dilation; };
    return Json{{"class", a},
                {"j", j},
                {"pairs", pairs_of(axis, a, j)},
                {"places", list_of(axis.filter, place)}};
  });
  json["taps"] =
      list_of(axis.filter, [&](std::int64_t f) { return to_json(kernels::tap_outputs(axis, f)); });
  return json;
}

/// Whole numbers from -3 to 3, so that every sum is exact and can be redone by hand.
Tensor draw(const Shape& shape, std::uint64_t seed, const char* name) {
  RandomStream stream(make_random_key(seed, RandomPurpose::data, name));
  std::vector<float> values(static_cast<std::size_t>(shape.numel()));
  for (float& value : values) {
    value = static_cast<float>(stream.below(7) - 3);
  }
  return Tensor::from_vector(values, shape);
}

}  // namespace

std::string conv_picture(const kernels::Conv2dSizes& sizes, std::uint64_t seed) {
  const kernels::Conv2dProblem p = kernels::make_conv2d_problem(sizes, "picture");
  if (p.N != 1 || p.IC != 1 || p.OC != 1) {
    throw ShapeError("picture: expected one image and one channel (" + kernels::to_string(p) + ")");
  }
  Tensor x = draw({1, p.IH, p.IW, 1}, seed, "X").set_requires_grad();
  Tensor w = draw({1, p.FH, p.FW, 1}, seed, "W").set_requires_grad();
  const Tensor dy = draw({1, p.OH, p.OW, 1}, seed, "dY");
  const ConvRecorder recorder;
  const Tensor y = conv2d(
      x, w, {}, {.stride = sizes.stride, .padding = sizes.padding, .dilation = sizes.dilation});
  y.backward(dy);

  Json json{{"problem", kernels::to_string(p)}};
  for (const auto& [name, tensor] :
       NamedTensors{{"X", x}, {"W", w}, {"Y", y}, {"dY", dy}, {"dX", x.grad()}, {"dW", w.grad()}}) {
    json[name] = std::vector<std::int64_t>();
    for (const float value : tensor.to_vector<float>()) {
      json[name].push_back(static_cast<std::int64_t>(value));
    }
  }
  json["rows"] = describe(kernels::row_axis(p));
  json["columns"] = describe(kernels::column_axis(p));
  for (const ConvRecord& record : recorder.records()) {
    json["passes"][kernels::name_of(record.pass)] = {{"method", record.plan.method()},
                                                     {"kernel", record.plan.kernel},
                                                     {"executed", record.executed},
                                                     {"exact", record.exact},
                                                     {"plain", record.plain}};
  }
  return json.dump();
}

}  // namespace cks::web
