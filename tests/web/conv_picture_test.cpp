#include "apps/web/conv_picture.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "cks/core/error.h"
#include "cks/core/tensor/random.h"

namespace {

using cks::kernels::Conv2dSizes;
using Json = nlohmann::json;
using Numbers = std::vector<std::int64_t>;

/// The extents and options of one axis, and what the definition says of it.
struct Axis {
  std::int64_t in, filter, stride, before, after, dilation;
  std::int64_t out() const {
    const std::int64_t room = in + before + after - dilation * (filter - 1) - 1;
    return room < 0 ? 0 : room / stride + 1;
  }
  std::int64_t read(std::int64_t o, std::int64_t f) const {
    return o * stride - before + f * dilation;
  }
  bool inside(std::int64_t o, std::int64_t f) const { return read(o, f) >= 0 && read(o, f) < in; }
};

/// What a picture says of an axis, against every (output, tap) pair, one by one.
void check_axis(const Json& json, const Axis& axis) {
  const std::int64_t out = axis.out();
  REQUIRE(json["reads"].size() == static_cast<std::size_t>(out));
  std::vector<Json> reached(static_cast<std::size_t>(axis.in), Json::array());
  Numbers outputs_of(static_cast<std::size_t>(axis.filter));
  for (std::int64_t o = 0; o < out; ++o) {
    std::int64_t live = 0;
    for (std::int64_t f = 0; f < axis.filter; ++f) {
      CHECK(json["reads"][o][f] == axis.read(o, f));
      const bool inside = axis.inside(o, f);
      CHECK(inside == (f >= json["forward"][o][0] && f < json["forward"][o][1]));
      CHECK(inside == (o >= json["taps"][f][0] && o < json["taps"][f][1]));
      live += inside ? 1 : 0;
      if (inside) {
        reached[axis.read(o, f)].push_back({o, f});
      }
    }
    CHECK(live == json["forward"][o][1].get<int>() - json["forward"][o][0].get<int>());
  }
  for (std::int64_t i = 0; i < axis.in; ++i) {
    const Json& input = json["inputs"][i];
    CHECK(input["pairs"] == reached[i]);  // outputs rise in both
    CHECK(input["class"] == i % axis.stride);
    const Json& taps = json["classes"][input["class"].get<std::size_t>()];
    // The places of the usual way hold the same outputs; all others are zeros.
    Json found = Json::array();
    for (std::int64_t f = axis.filter - 1; f >= 0; --f) {
      const Json& place = json["spread"][input["places"][f].get<std::size_t>()];
      if (place >= 0) {
        found.push_back({place, f});
        CHECK(std::find(taps.begin(), taps.end(), f) != taps.end());
      }
    }
    CHECK(found == reached[i]);
  }
  std::size_t split = 0;
  for (const Json& taps : json["classes"]) {
    split += taps.size();
  }
  CHECK(split == static_cast<std::size_t>(axis.filter));
}

void check_picture(const Conv2dSizes& sizes, std::uint64_t seed) {
  const Axis rows{
      sizes.IH,        sizes.FH, sizes.stride.h, sizes.padding.top, sizes.padding.bottom,
      sizes.dilation.h};
  const Axis columns{
      sizes.IW,        sizes.FW, sizes.stride.w, sizes.padding.left, sizes.padding.right,
      sizes.dilation.w};
  const Json json = Json::parse(cks::web::conv_picture(sizes, seed));
  CAPTURE(json["problem"].get<std::string>());
  check_axis(json["rows"], rows);
  check_axis(json["columns"], columns);
  const auto x = json["X"].get<Numbers>();
  const auto w = json["W"].get<Numbers>();
  const auto dy = json["dY"].get<Numbers>();
  Numbers y(dy.size()), dx(x.size()), dw(w.size());
  std::int64_t products = 0;
  for (std::int64_t oh = 0; oh < rows.out(); ++oh) {
    for (std::int64_t ow = 0; ow < columns.out(); ++ow) {
      for (std::int64_t fh = 0; fh < rows.filter; ++fh) {
        for (std::int64_t fw = 0; fw < columns.filter; ++fw) {
          if (rows.inside(oh, fh) && columns.inside(ow, fw)) {
            const auto in =
                static_cast<std::size_t>(rows.read(oh, fh) * columns.in + columns.read(ow, fw));
            const auto out = static_cast<std::size_t>(oh * columns.out() + ow);
            const auto tap = static_cast<std::size_t>(fh * columns.filter + fw);
            y[out] += x[in] * w[tap];
            dx[in] += dy[out] * w[tap];
            dw[tap] += dy[out] * x[in];
            ++products;
          }
        }
      }
    }
  }
  CHECK(json["Y"] == y);
  CHECK(json["dX"] == dx);
  CHECK(json["dW"] == dw);
  for (const char* pass : {"forward", "backward_data", "backward_filter"}) {
    CHECK(json["passes"][pass]["executed"] == products);
    CHECK(json["passes"][pass]["exact"] == products);
  }
  const std::int64_t taps = rows.filter * columns.filter;
  CHECK(json["passes"]["forward"]["plain"] == rows.out() * columns.out() * taps);
  CHECK(json["passes"]["backward_filter"]["plain"] == rows.out() * columns.out() * taps);
  CHECK(json["passes"]["backward_data"]["plain"] == rows.in * columns.in * taps);
}

TEST_CASE("a picture of a convolution says what its definition says, for 200 random problems") {
  cks::RandomStream stream(cks::make_random_key(5, cks::RandomPurpose::data));
  const auto draw = [&](std::int64_t low, std::int64_t high) {
    return low + stream.below(high - low + 1);
  };
  for (int checked = 0; checked < 200;) {
    const Conv2dSizes sizes{.IH = draw(1, 9),
                            .IW = draw(1, 9),
                            .FH = draw(1, 5),
                            .FW = draw(1, 5),
                            .stride = {draw(1, 4), draw(1, 4)},
                            .padding = {draw(0, 3), draw(0, 3), draw(0, 3), draw(0, 3)},
                            .dilation = {draw(1, 3), draw(1, 3)}};
    try {
      cks::kernels::make_conv2d_problem(sizes);
    } catch (const cks::ShapeError&) {
      continue;  // the filter exceeds the padded image
    }
    check_picture(sizes, static_cast<std::uint64_t>(checked));
    ++checked;
  }
}

TEST_CASE("a picture is of one channel, and of a convolution that exists") {
  CHECK_THROWS_WITH_AS(cks::web::conv_picture({.IH = 4, .IW = 4, .OC = 2}, 1),
                       doctest::Contains("expected one image and one channel"), cks::ShapeError);
  CHECK_THROWS_WITH_AS(cks::web::conv_picture({.IH = 2, .IW = 4, .FH = 3}, 1),
                       doctest::Contains("the filter exceeds the padded input"), cks::ShapeError);
}

}  // namespace
