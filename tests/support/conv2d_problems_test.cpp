#include "tests/support/conv2d_problems.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <utility>

using cks::DType;
using cks::kernels::Conv2dProblem;
using cks::testing::ListedProblem;

TEST_CASE("problem list: every problem is legal, small enough and named once") {
  std::int64_t left_out = 0;
  const auto pairwise = cks::testing::pairwise_conv2d_problems(&left_out);
  const auto list = cks::testing::conv2d_problems();
  std::int64_t total = 0;
  std::int64_t largest = 0;
  std::set<std::string> names;
  for (const ListedProblem& listed : list) {
    CAPTURE(listed.name);
    Conv2dProblem p{};
    REQUIRE_NOTHROW(p = listed.at(DType::float32));
    CHECK(names.insert(listed.name).second);
    const std::int64_t work = cks::testing::counted_multiply_adds(p);
    total += work;
    largest = std::max(largest, work);
    // Sums of products of integers in [-2, 2], bias included, stay exact in float32.
    const std::int64_t longest =
        std::max({p.FH * p.FW * p.IC / p.G, p.FH * p.FW * p.OC / p.G, p.N * p.OH * p.OW});
    CHECK(4 * longest + 2 < (1 << 24));
  }
  MESSAGE("problem list: " << list.size() << " problems ("
                           << cks::testing::named_conv2d_problems().size() << " named, "
                           << pairwise.size() << " pairwise, " << left_out
                           << " pairs that no problem within the limits holds, "
                           << cks::testing::random_conv2d_problems().size() << " random), " << total
                           << " multiply-adds a pass, largest " << largest);
  CHECK(list.size() > 1000);
}

TEST_CASE("problem list: the pairwise cover holds pairs of listed values") {
  const auto list = cks::testing::pairwise_conv2d_problems();
  std::set<std::pair<std::int64_t, std::int64_t>> maps;
  std::set<std::pair<std::int64_t, std::int64_t>> filters_strides;
  std::set<std::pair<std::int64_t, std::int64_t>> strides_dilations;
  std::set<std::pair<std::int64_t, std::int64_t>> channels;
  for (const ListedProblem& listed : list) {
    maps.emplace(listed.sizes.IH, listed.sizes.IW);
    filters_strides.emplace(listed.sizes.FH, listed.sizes.stride.h);
    strides_dilations.emplace(listed.sizes.stride.w, listed.sizes.dilation.h);
    channels.emplace(listed.sizes.IC, listed.sizes.OC);
  }
  CHECK(maps.size() == 19 * 19);
  CHECK(filters_strides.size() == 7 * 5);
  CHECK(strides_dilations.size() == 5 * 3);
  CHECK(channels.size() == 24 * 24);
}

TEST_CASE("problem list: generating it again gives the same list") {
  const auto first = cks::testing::conv2d_problems();
  const auto second = cks::testing::conv2d_problems();
  REQUIRE(first.size() == second.size());
  for (std::size_t i = 0; i < first.size(); ++i) {
    CAPTURE(first[i].name);
    CHECK(first[i].name == second[i].name);
    CHECK(first[i].at(DType::float64) == second[i].at(DType::float64));
  }
}

TEST_CASE("problem list: the corners of the derivation are in it") {
  // Counted here by their definition, so that an edit of the list cannot lose them.
  int never_read = 0;
  int only_padding = 0;
  int filter_below_stride = 0;
  int shared_divisor = 0;
  int unequal_strides = 0;
  int depthwise = 0;
  int apart = 0;
  int output_padded = 0;
  for (const ListedProblem& listed : cks::testing::conv2d_problems()) {
    const Conv2dProblem p = listed.at(DType::float32);
    never_read += (p.OH - 1) * p.sh + p.dh * (p.FH - 1) < p.IH - 1 + p.pt ? 1 : 0;
    only_padding += p.pt > p.dh * (p.FH - 1) ? 1 : 0;
    filter_below_stride += p.FH < p.sh || p.FW < p.sw ? 1 : 0;
    shared_divisor += (p.dh == 2 && p.sh % 2 == 0) || (p.dh == 3 && p.sh % 3 == 0) ? 1 : 0;
    unequal_strides += p.sh != p.sw ? 1 : 0;
    depthwise += p.G > 1 && p.G == p.IC ? 1 : 0;
    apart += p.x_pitch > p.IC && p.y_pitch > p.OC ? 1 : 0;
    output_padded += listed.output_padding.h > 0 ? 1 : 0;
  }
  CHECK(never_read > 50);
  CHECK(only_padding > 50);
  CHECK(filter_below_stride > 50);
  CHECK(shared_divisor > 50);
  CHECK(unequal_strides > 50);
  CHECK(depthwise > 20);
  CHECK(apart > 50);
  CHECK(output_padded > 20);
}
