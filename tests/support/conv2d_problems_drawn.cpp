#include <algorithm>
#include <array>
#include <numeric>

#include "tests/support/conv2d_problems.h"
#include "tests/support/fill.h"

/// The part of the problem list that is generated: the pairwise cover and the random problems.
namespace cks::testing {

using kernels::Conv2dProblem;
using kernels::Conv2dSizes;

namespace {

// Limits of one generated problem. They keep sums of products of integers in [-2, 2] below 2^24.
constexpr std::int64_t kElements = 1'000'000;  // of X and of Y
constexpr std::int64_t kPairwiseWork = 1'500'000;
constexpr std::int64_t kRandomWork = 500'000;

bool fits(const Conv2dSizes& s) {
  return s.IC % s.groups == 0 && s.OC % s.groups == 0 &&
         s.IH + s.padding.top + s.padding.bottom > s.dilation.h * (s.FH - 1) &&
         s.IW + s.padding.left + s.padding.right > s.dilation.w * (s.FW - 1);
}

bool small_enough(const Conv2dProblem& p, std::int64_t work) {
  return p.N * p.IH * p.IW * p.x_pitch <= kElements && p.N * p.OH * p.OW * p.y_pitch <= kElements &&
         counted_multiply_adds(p) <= work;
}

// The parameters of the pairwise cover. kGroupsPerChannel in G stands for G = IC; pads are given as
// a rule of the filter's extent.
enum Parameter : std::size_t {
  kN,
  kIH,
  kIW,
  kIC,
  kOC,
  kFH,
  kFW,
  kStrideH,
  kStrideW,
  kPadTop,
  kPadBottom,
  kPadLeft,
  kPadRight,
  kDilationH,
  kDilationW,
  kGroups,
  kXGap,
  kYGap,
  kOddBases,
  kParameters
};
constexpr std::int64_t kGroupPerChannel = -1;
enum PadRule : std::int64_t { kNone, kHalf, kAllButOne, kWhole };
constexpr std::int64_t kUnset = -1;

using Values = std::vector<std::int64_t>;
using Row = std::array<std::int64_t, kParameters>;  // index of each parameter's value, or kUnset

const std::array<Values, kParameters>& values() {
  static const Values maps{1, 2, 3, 4, 5, 7, 8, 9, 13, 14, 15, 16, 28, 31, 33, 56, 63, 65, 224};
  static const Values channels{1,  2,  3,  4,  5,  7,  8,  12,  15,  16,  17,  24,
                               31, 32, 33, 63, 64, 65, 96, 100, 127, 129, 160, 512};
  static const Values filters{1, 2, 3, 4, 5, 7, 11};
  static const Values strides{1, 2, 3, 4, 9};
  static const Values pads{kNone, kHalf, kAllButOne, kWhole};
  static const std::array<Values, kParameters> all{
      Values{1, 3, 7, 8, 15, 16, 17, 31, 64, 100, 127, 128, 129, 2000},
      maps,
      maps,
      channels,
      channels,
      filters,
      filters,
      strides,
      strides,
      pads,
      pads,
      pads,
      pads,
      Values{1, 2, 3},
      Values{1, 2, 3},
      Values{1, 2, 4, kGroupPerChannel},
      Values{0, 1, 4},
      Values{0, 1, 4},
      Values{0, 1}};
  return all;
}

std::int64_t pad(std::int64_t rule, std::int64_t filter) {
  switch (rule) {
    case kNone:
      return 0;
    case kHalf:
      return filter / 2;
    case kAllButOne:
      return filter - 1;
    default:
      return filter;
  }
}

/// The cheapest problem that has the values of a partly filled row. `unset_pads` is the rule for
/// pads that the row leaves open.
ListedProblem complete(const Row& row, PadRule unset_pads) {
  const auto value = [&](Parameter parameter, std::int64_t otherwise) {
    const std::int64_t index = row[parameter];
    return index == kUnset ? otherwise : values()[parameter][static_cast<std::size_t>(index)];
  };
  ListedProblem result;
  Conv2dSizes& s = result.sizes;
  s.N = value(kN, 1);
  s.FH = value(kFH, 1);
  s.FW = value(kFW, 1);
  s.stride = Size2(value(kStrideH, 9), value(kStrideW, 9));
  s.dilation = Size2(value(kDilationH, 1), value(kDilationW, 1));
  s.padding =
      Padding2d(pad(value(kPadTop, unset_pads), s.FH), pad(value(kPadBottom, unset_pads), s.FH),
                pad(value(kPadLeft, unset_pads), s.FW), pad(value(kPadRight, unset_pads), s.FW));
  const auto smallest_map = [](std::int64_t at_least) {
    const Values& maps = values()[kIH];
    return *std::find_if(maps.begin(), maps.end(),
                         [&](std::int64_t map) { return map >= at_least; });
  };
  s.IH = value(kIH, smallest_map(s.dilation.h * (s.FH - 1) + 1 - s.padding.top - s.padding.bottom));
  s.IW = value(kIW, smallest_map(s.dilation.w * (s.FW - 1) + 1 - s.padding.left - s.padding.right));
  const std::int64_t groups = value(kGroups, 1);
  s.IC = value(kIC, std::max<std::int64_t>(groups, 1));
  s.groups = groups == kGroupPerChannel ? s.IC : groups;
  s.OC = value(kOC, s.groups);
  result.x_gap = value(kXGap, 0);
  result.y_gap = value(kYGap, 0);
  result.odd_bases = value(kOddBases, 0) != 0;
  return result;
}

/// Whether some legal problem within the limits has the values of the row; `found` receives it.
bool possible(const Row& row, ListedProblem& found) {
  for (const PadRule rule : {kNone, kWhole}) {
    found = complete(row, rule);
    if (fits(found.sizes) && small_enough(found.at(DType::float32), kPairwiseWork)) {
      return true;
    }
  }
  return false;
}

/// Which pairs of values still have to occur.
class OpenPairs {
 public:
  OpenPairs() {
    std::size_t offset = 0;
    for (std::size_t a = 0; a < kParameters; ++a) {
      first_[a] = offset;
      offset += values()[a].size();
    }
    width_ = offset;
    open_.assign(width_ * width_, false);
    for (std::size_t a = 0; a < kParameters; ++a) {
      for (std::size_t b = a + 1; b < kParameters; ++b) {
        for (std::size_t i = 0; i < values()[a].size(); ++i) {
          for (std::size_t j = 0; j < values()[b].size(); ++j) {
            open_[(first_[a] + i) * width_ + first_[b] + j] = true;
          }
        }
      }
    }
  }

  bool open(std::size_t a, std::int64_t i, std::size_t b, std::int64_t j) const {
    return a < b ? open_[at(a, i, b, j)] : open_[at(b, j, a, i)];
  }
  void close(std::size_t a, std::int64_t i, std::size_t b, std::int64_t j) {
    open_[a < b ? at(a, i, b, j) : at(b, j, a, i)] = false;
  }

  /// Puts the first open pair into an empty row. False if none is left.
  bool seed(Row& row, std::array<std::size_t, 2>& pair) {
    for (; cursor_ < open_.size(); ++cursor_) {
      if (open_[cursor_]) {
        row.fill(kUnset);
        pair = {parameter_of(cursor_ / width_), parameter_of(cursor_ % width_)};
        row[pair[0]] = static_cast<std::int64_t>(cursor_ / width_ - first_[pair[0]]);
        row[pair[1]] = static_cast<std::int64_t>(cursor_ % width_ - first_[pair[1]]);
        return true;
      }
    }
    return false;
  }

 private:
  std::size_t at(std::size_t a, std::int64_t i, std::size_t b, std::int64_t j) const {
    return (first_[a] + static_cast<std::size_t>(i)) * width_ + first_[b] +
           static_cast<std::size_t>(j);
  }
  std::size_t parameter_of(std::size_t position) const {
    std::size_t parameter = 0;
    while (parameter + 1 < kParameters && first_[parameter + 1] <= position) {
      ++parameter;
    }
    return parameter;
  }

  std::array<std::size_t, kParameters> first_{};
  std::size_t width_ = 0;
  std::size_t cursor_ = 0;
  std::vector<bool> open_;
};

/// Gives `parameter` the value that closes most open pairs with the values already in the row.
void choose(std::size_t parameter, std::uint64_t row_number, const OpenPairs& pairs, Row& row,
            ListedProblem& found) {
  const std::size_t count = values()[parameter].size();
  std::vector<std::pair<std::int64_t, std::int64_t>> candidates;  // (gain, value's index)
  for (std::size_t i = 0; i < count; ++i) {
    // Equal gains are broken by a start that rotates with the row.
    const auto index = static_cast<std::int64_t>((i + row_number) % count);
    std::int64_t gain = 0;
    for (std::size_t other = 0; other < kParameters; ++other) {
      if (row[other] != kUnset && pairs.open(parameter, index, other, row[other])) {
        ++gain;
      }
    }
    candidates.emplace_back(gain, index);
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  for (const auto& candidate : candidates) {
    row[parameter] = candidate.second;
    if (possible(row, found)) {
      return;
    }
  }
  row[parameter] = kUnset;
}

/// A drawn extent: mostly small, sometimes up to `high`.
std::int64_t draw(std::uint64_t seed, std::uint64_t& index, std::int64_t low, std::int64_t high) {
  const bool large = random_integer(seed, index++, 0, 3) == 0;
  return random_integer(seed, index++, low,
                        large ? high : std::min(high, low + (high - low) / 4 + 1));
}

ListedProblem draw_problem(std::uint64_t seed, bool transposed) {
  std::uint64_t index = 0;
  const auto in = [&](std::int64_t low, std::int64_t high) { return draw(seed, index, low, high); };
  ListedProblem result;
  result.transposed = transposed;
  Conv2dSizes& s = result.sizes;
  s.N = in(1, 33);
  s.IH = in(1, transposed ? 12 : 40);
  s.IW = in(1, transposed ? 12 : 40);
  s.groups = in(1, 8);
  s.IC = s.groups * in(1, s.groups > 1 ? 12 : 70);
  s.OC = s.groups * in(1, s.groups > 1 ? 12 : 70);
  s.FH = in(1, 7);
  s.FW = in(1, 7);
  // Braces draw from left to right; the arguments of a call would be drawn in any order.
  s.stride = Size2{in(1, 4), in(1, 4)};
  s.dilation = Size2{in(1, 4), in(1, 4)};
  s.padding = Padding2d{in(0, s.FH), in(0, s.FH), in(0, s.FW), in(0, s.FW)};
  if (transposed) {
    result.output_padding =
        Size2(random_integer(seed, index, 0, std::max(s.stride.h, s.dilation.h) - 1),
              random_integer(seed, index + 1, 0, std::max(s.stride.w, s.dilation.w) - 1));
    index += 2;
  }
  const bool gaps = random_integer(seed, index++, 0, 3) == 0;
  result.x_gap = gaps ? in(0, 9) : 0;
  result.y_gap = gaps ? in(0, 9) : 0;
  result.odd_bases = random_integer(seed, index++, 0, 3) == 0;
  return result;
}

bool acceptable(const ListedProblem& problem) {
  const Conv2dSizes& s = problem.sizes;
  if (problem.transposed) {
    // The result must have pixels.
    const std::int64_t rows = (s.IH - 1) * s.stride.h - s.padding.top - s.padding.bottom +
                              s.dilation.h * (s.FH - 1) + problem.output_padding.h + 1;
    const std::int64_t columns = (s.IW - 1) * s.stride.w - s.padding.left - s.padding.right +
                                 s.dilation.w * (s.FW - 1) + problem.output_padding.w + 1;
    if (rows < 1 || columns < 1) {
      return false;
    }
  } else if (!fits(s)) {
    return false;
  }
  return small_enough(problem.at(DType::float32), kRandomWork);
}

}  // namespace

std::vector<ListedProblem> pairwise_conv2d_problems(std::int64_t* left_out) {
  std::vector<ListedProblem> list;
  std::int64_t impossible_pairs = 0;
  OpenPairs pairs;
  Row row{};
  std::array<std::size_t, 2> pair{};
  while (pairs.seed(row, pair)) {
    ListedProblem found;
    if (!possible(row, found)) {
      pairs.close(pair[0], row[pair[0]], pair[1], row[pair[1]]);
      ++impossible_pairs;
      continue;
    }
    // The order in which the other parameters are filled differs from row to row.
    std::array<std::size_t, kParameters> order{};
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return random_bits(list.size(), a) < random_bits(list.size(), b);
    });
    for (const std::size_t parameter : order) {
      if (row[parameter] == kUnset) {
        choose(parameter, list.size(), pairs, row, found);
      }
    }
    possible(row, found);
    for (std::size_t a = 0; a < kParameters; ++a) {
      for (std::size_t b = a + 1; b < kParameters; ++b) {
        if (row[a] != kUnset && row[b] != kUnset) {
          pairs.close(a, row[a], b, row[b]);
        }
      }
    }
    found.name = "pairwise " + std::to_string(list.size());
    list.push_back(found);
  }
  if (left_out != nullptr) {
    *left_out = impossible_pairs;
  }
  return list;
}

std::vector<ListedProblem> random_conv2d_problems() {
  std::vector<ListedProblem> list;
  for (std::uint64_t seed = 0; list.size() < 500; ++seed) {
    ListedProblem problem = draw_problem(seed, list.size() % 4 == 3);
    if (acceptable(problem)) {
      problem.name = "random " + std::to_string(list.size()) + ", seed " + std::to_string(seed);
      list.push_back(problem);
    }
  }
  return list;
}

}  // namespace cks::testing
