#include "tests/support/conv2d_problems.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

namespace cks::testing {

using kernels::Conv2dProblem;
using kernels::Conv2dSizes;

namespace {

using Pairs = std::initializer_list<std::pair<std::int64_t, std::int64_t>>;

std::int64_t inside_pairs(std::int64_t outputs, std::int64_t taps, std::int64_t stride,
                          std::int64_t padding, std::int64_t dilation, std::int64_t inputs) {
  std::int64_t pairs = 0;
  for (std::int64_t o = 0; o < outputs; ++o) {
    for (std::int64_t f = 0; f < taps; ++f) {
      const std::int64_t i = o * stride - padding + f * dilation;
      if (i >= 0 && i < inputs) {
        ++pairs;
      }
    }
  }
  return pairs;
}

bool fits(const Conv2dSizes& s) {
  return s.IH + s.padding.top + s.padding.bottom > s.dilation.h * (s.FH - 1) &&
         s.IW + s.padding.left + s.padding.right > s.dilation.w * (s.FW - 1);
}

std::string print(std::int64_t number) { return std::to_string(number); }

/// Square maps with the filters whose savings the derivation tabulates.
void add_maps(std::vector<ListedProblem>& list) {
  struct Filter {
    std::int64_t size, padding, stride;
  };
  const Filter filters[] = {{3, 1, 1}, {5, 2, 1}, {3, 1, 2}, {5, 2, 2}, {4, 1, 2}, {7, 3, 2}};
  for (const std::int64_t map :
       {1, 2, 3, 4, 5, 7, 8, 9, 13, 14, 15, 16, 28, 31, 33, 56, 63, 65, 224}) {
    for (const Filter& filter : filters) {
      Conv2dSizes sizes{.IH = map, .IW = map, .FH = filter.size, .FW = filter.size};
      sizes.stride = filter.stride;
      sizes.padding = filter.padding;
      sizes.N = map <= 9 ? 3 : 1;
      sizes.IC = map <= 16 ? 16 : map <= 33 ? 8 : map <= 65 ? 4 : 1;
      sizes.OC = map <= 9 ? 24 : map <= 33 ? 8 : map <= 65 ? 3 : 2;
      if (fits(sizes)) {
        list.push_back({"map " + print(map) + ", filter " + print(filter.size) + " p" +
                            print(filter.padding) + " s" + print(filter.stride),
                        sizes});
      }
    }
  }
  for (const auto& [height, width] : Pairs{{1, 7}, {7, 1}, {5, 12}, {12, 5}, {33, 8}, {8, 33}}) {
    for (const std::int64_t stride : {1, 2}) {
      list.push_back({"map " + print(height) + "x" + print(width) + ", s" + print(stride),
                      {.N = 2,
                       .IH = height,
                       .IW = width,
                       .IC = 9,
                       .OC = 10,
                       .FH = 3,
                       .FW = 3,
                       .stride = stride,
                       .padding = 1}});
    }
  }
}

void add_batches_and_channels(std::vector<ListedProblem>& list) {
  for (const std::int64_t batch :
       {0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 64, 100, 127, 128, 129, 2000}) {
    list.push_back(
        {"batch " + print(batch) + ", s1",
         {.N = batch, .IH = 4, .IW = 4, .IC = 3, .OC = 5, .FH = 3, .FW = 3, .padding = 1}});
    list.push_back({"batch " + print(batch) + ", s2",
                    {.N = batch,
                     .IH = 5,
                     .IW = 4,
                     .IC = 2,
                     .OC = 8,
                     .FH = 3,
                     .FW = 3,
                     .stride = 2,
                     .padding = 1}});
  }
  for (const std::int64_t channels : {1,  2,  3,  4,  5,  7,  8,  12,  15,  16,  17,  24,
                                      31, 32, 33, 63, 64, 65, 96, 100, 127, 129, 160, 512}) {
    const Conv2dSizes sizes{
        .N = 2, .IH = 5, .IW = 5, .IC = 8, .OC = 8, .FH = 3, .FW = 3, .padding = 1};
    Conv2dSizes in = sizes;
    in.IC = channels;
    list.push_back({"input channels " + print(channels), in});
    Conv2dSizes out = sizes;
    out.OC = channels;
    list.push_back({"output channels " + print(channels), out});
    Conv2dSizes both = sizes;
    both.N = 1;
    both.IH = both.IW = 2;
    both.IC = both.OC = channels;
    both.stride = channels % 2 == 0 ? 1 : 2;
    list.push_back({"channels " + print(channels) + " to " + print(channels), both});
  }
}

void add_filters_strides_paddings(std::vector<ListedProblem>& list) {
  const Conv2dSizes sizes{.N = 2, .IH = 13, .IW = 14, .IC = 5, .OC = 6};
  for (const auto& [rows, columns] :
       Pairs{{1, 1}, {1, 3}, {3, 1}, {2, 2}, {3, 3}, {4, 4}, {5, 5}, {7, 7}, {11, 11}, {2, 5}}) {
    for (std::int64_t padding = 0; padding <= rows;
         padding += std::max<std::int64_t>(rows / 2, 1)) {
      Conv2dSizes s = sizes;
      s.FH = rows;
      s.FW = columns;
      s.padding = Padding2d(padding, columns / 2);
      list.push_back(
          {"filter " + print(rows) + "x" + print(columns) + ", row padding " + print(padding), s});
    }
  }
  for (const auto& [rows, columns] :
       Pairs{{1, 1}, {2, 2}, {3, 3}, {4, 4}, {9, 9}, {1, 2}, {2, 1}, {2, 3}, {9, 1}, {3, 4}}) {
    for (const std::int64_t filter : {1, 2, 3, 5}) {
      Conv2dSizes s = sizes;
      s.FH = filter;
      s.FW = filter == 2 ? 3 : filter;
      s.stride = Size2(rows, columns);
      s.padding = filter / 2;
      list.push_back({"stride " + print(rows) + "x" + print(columns) + ", filter " + print(s.FH) +
                          "x" + print(s.FW),
                      s});
    }
  }
  for (const Padding2d& padding :
       {Padding2d(1, 0, 0, 0), Padding2d(0, 1, 0, 0), Padding2d(0, 0, 1, 0), Padding2d(0, 0, 0, 1),
        Padding2d(0, 1, 0, 1), Padding2d(2, 0, 1, 3), Padding2d(0, 2, 3, 1), Padding2d(3, 3, 3, 3),
        Padding2d(4, 4, 5, 5), Padding2d(7, 0, 0, 7), Padding2d(0, 9, 9, 0)}) {
    for (const std::int64_t stride : {1, 2, 3}) {
      Conv2dSizes s = sizes;
      s.IH = 6;
      s.IW = 5;
      s.FH = s.FW = 3;
      s.stride = stride;
      s.padding = padding;
      list.push_back({"padding " + print(padding.top) + "," + print(padding.bottom) + "," +
                          print(padding.left) + "," + print(padding.right) + ", s" + print(stride),
                      s});
    }
  }
}

void add_dilations_and_groups(std::vector<ListedProblem>& list) {
  for (const std::int64_t dilation : {2, 3, 4}) {
    for (const std::int64_t stride : {1, 2, 3, 4}) {
      Conv2dSizes s{.N = 2, .IH = 14, .IW = 11, .IC = 4, .OC = 9, .FH = 3, .FW = 3};
      s.dilation = dilation;
      s.stride = stride;
      s.padding = dilation;
      list.push_back({"dilation " + print(dilation) + ", s" + print(stride), s});
      s.dilation = Size2(dilation, 1);
      s.FW = 4;
      s.stride = Size2(stride, 2);
      list.push_back({"dilation " + print(dilation) + "x1, s" + print(stride) + "x2", s});
    }
  }
  struct Groups {
    std::int64_t groups, in, out;
  };
  for (const Groups& g : {Groups{2, 4, 6},
                          {2, 2, 2},
                          {4, 8, 4},
                          {4, 64, 32},
                          {3, 9, 15},
                          {8, 8, 8},
                          {6, 6, 12},
                          {5, 5, 15},
                          {32, 32, 32},
                          {2, 34, 66}}) {
    for (const std::int64_t stride : {1, 2, 3}) {
      list.push_back({"groups " + print(g.groups) + ", " + print(g.in) + " to " + print(g.out) +
                          ", s" + print(stride),
                      {.N = 2,
                       .IH = 7,
                       .IW = 6,
                       .IC = g.in,
                       .OC = g.out,
                       .FH = 3,
                       .FW = 3,
                       .stride = stride,
                       .padding = 1,
                       .groups = g.groups}});
    }
  }
}

void add_corners(std::vector<ListedProblem>& list) {
  const std::vector<ListedProblem> corners = {
      {"one product", {}},
      {"1x1, 40 to 136", {.N = 5, .IH = 9, .IW = 7, .IC = 40, .OC = 136}},
      {"1x1, 456 to 24", {.N = 2, .IH = 9, .IW = 9, .IC = 456, .OC = 24}},
      {"1x1, 24 to 264, s2", {.N = 3, .IH = 8, .IW = 11, .IC = 24, .OC = 264, .stride = 2}},
      {"filter larger than the map, 5x5 p2 on 1x1",
       {.N = 3, .IC = 8, .OC = 8, .FH = 5, .FW = 5, .padding = 2}},
      {"filter larger than the map, 5x5 p2 on 2x2",
       {.N = 3, .IH = 2, .IW = 2, .IC = 8, .OC = 8, .FH = 5, .FW = 5, .padding = 2}},
      {"filter larger than the map, 11x11 p5 s2 on 2x3",
       {.N = 3, .IH = 2, .IW = 3, .IC = 8, .OC = 8, .FH = 11, .FW = 11, .stride = 2, .padding = 5}},
      {"empty classes, 1x1 s2", {.N = 2, .IH = 6, .IW = 7, .IC = 8, .OC = 16, .stride = 2}},
      {"empty classes, 2x2 s3",
       {.N = 2, .IH = 8, .IW = 9, .IC = 7, .OC = 5, .FH = 2, .FW = 2, .stride = 3}},
      {"empty classes, 1x3 s2x1",
       {.N = 2, .IH = 7, .IW = 7, .IC = 6, .OC = 4, .FH = 1, .FW = 3, .stride = Size2(2, 1)}},
      {"empty classes, 1x1 s9 with padding",
       {.N = 2,
        .IH = 19,
        .IW = 20,
        .IC = 3,
        .OC = 4,
        .stride = 9,
        .padding = Padding2d(4, 0, 7, 2)}},
      {"empty classes by dilation, d2 s2",
       {.N = 2,
        .IH = 9,
        .IW = 8,
        .IC = 4,
        .OC = 4,
        .FH = 3,
        .FW = 3,
        .stride = 2,
        .padding = 1,
        .dilation = 2}},
      {"empty classes by dilation, d3 s3",
       {.N = 2,
        .IH = 10,
        .IW = 11,
        .IC = 4,
        .OC = 4,
        .FH = 3,
        .FW = 3,
        .stride = 3,
        .padding = 2,
        .dilation = 3}},
      {"empty classes by dilation, d2 s4",
       {.N = 2,
        .IH = 12,
        .IW = 13,
        .IC = 4,
        .OC = 4,
        .FH = 4,
        .FW = 4,
        .stride = 4,
        .padding = 3,
        .dilation = 2}},
      {"never-read rows, 3x3 s2 on 8x8",
       {.N = 2, .IH = 8, .IW = 8, .IC = 5, .OC = 7, .FH = 3, .FW = 3, .stride = 2}},
      {"never-read rows, 2x2 s4 on 11x10",
       {.N = 2, .IH = 11, .IW = 10, .IC = 5, .OC = 7, .FH = 2, .FW = 2, .stride = 4}},
      {"never-read rows, 1x1 s9 on 18x18",
       {.N = 1, .IH = 18, .IW = 18, .IC = 3, .OC = 3, .stride = 9}},
      {"outputs of padding only, 3x3 p5",
       {.N = 2, .IH = 3, .IW = 3, .IC = 6, .OC = 5, .FH = 3, .FW = 3, .padding = 5}},
      {"outputs of padding only, 1x1 p3 s2",
       {.N = 2, .IH = 4, .IW = 5, .IC = 6, .OC = 5, .stride = 2, .padding = 3}},
      {"no product at all, 1x1 p1 s9",
       {.N = 2, .IH = 7, .IW = 7, .IC = 3, .OC = 4, .stride = 9, .padding = 1}},
      {"even map, s2",
       {.N = 2, .IH = 6, .IW = 6, .IC = 8, .OC = 8, .FH = 3, .FW = 3, .stride = 2, .padding = 1}},
      {"odd map, s2",
       {.N = 2, .IH = 7, .IW = 7, .IC = 8, .OC = 8, .FH = 3, .FW = 3, .stride = 2, .padding = 1}},
      {"output 1x1, filter as large as the map",
       {.N = 5, .IH = 7, .IW = 5, .IC = 13, .OC = 11, .FH = 7, .FW = 5}},
      {"linear layer as 1x1", {.N = 19, .IC = 100, .OC = 37}},
      {"long sum of the filter gradient",
       {.N = 1, .IH = 150, .IW = 150, .IC = 2, .OC = 3, .FH = 3, .FW = 3}},
      {"LeNet-5 layer 1",
       {.N = 3, .IH = 28, .IW = 28, .IC = 1, .OC = 6, .FH = 5, .FW = 5, .padding = 2}},
      {"LeNet-5 layer 2", {.N = 3, .IH = 14, .IW = 14, .IC = 6, .OC = 16, .FH = 5, .FW = 5}},
      {"LeNet-5 layer 3 as a convolution",
       {.N = 5, .IH = 5, .IW = 5, .IC = 16, .OC = 120, .FH = 5, .FW = 5}},
      {"ResNet-20 first",
       {.N = 1, .IH = 32, .IW = 32, .IC = 3, .OC = 16, .FH = 3, .FW = 3, .padding = 1}},
      {"ResNet-20 stage 1",
       {.N = 1, .IH = 32, .IW = 32, .IC = 16, .OC = 16, .FH = 3, .FW = 3, .padding = 1}},
      {"ResNet-20 stage 2 entry",
       {.N = 1,
        .IH = 32,
        .IW = 32,
        .IC = 16,
        .OC = 32,
        .FH = 3,
        .FW = 3,
        .stride = 2,
        .padding = 1}},
      {"ResNet-20 stage 2 shortcut", {.N = 1, .IH = 32, .IW = 32, .IC = 16, .OC = 32, .stride = 2}},
      {"ResNet-20 stage 2",
       {.N = 1, .IH = 16, .IW = 16, .IC = 32, .OC = 32, .FH = 3, .FW = 3, .padding = 1}},
      {"ResNet-20 stage 3 entry",
       {.N = 1,
        .IH = 16,
        .IW = 16,
        .IC = 32,
        .OC = 64,
        .FH = 3,
        .FW = 3,
        .stride = 2,
        .padding = 1}},
      {"ResNet-20 stage 3 shortcut", {.N = 1, .IH = 16, .IW = 16, .IC = 32, .OC = 64, .stride = 2}},
      {"ResNet-20 stage 3",
       {.N = 1, .IH = 8, .IW = 8, .IC = 64, .OC = 64, .FH = 3, .FW = 3, .padding = 1}},
  };
  list.insert(list.end(), corners.begin(), corners.end());
}

/// Transposed convolutions: sizes state the input [N,IH,IW,IC] and OC of the result.
void add_transposed(std::vector<ListedProblem>& list) {
  const auto add = [&](const std::string& name, const Conv2dSizes& sizes, Size2 output_padding) {
    list.push_back({"transposed, " + name, sizes, true, output_padding});
  };
  const Conv2dSizes base{.N = 2, .IH = 5, .IW = 4, .IC = 6, .OC = 5, .FH = 3, .FW = 3};
  for (const std::int64_t stride : {1, 2, 3}) {
    for (std::int64_t extra = 0; extra < stride; ++extra) {
      Conv2dSizes s = base;
      s.stride = stride;
      s.padding = 1;
      add("s" + print(stride) + ", output padding " + print(extra), s,
          Size2(extra, stride - 1 - extra));
    }
  }
  Conv2dSizes s = base;
  s.FH = s.FW = 4;
  s.stride = 2;
  s.padding = 1;
  add("4x4 p1 s2, doubles the map", s, 0);
  s = base;
  s.FH = s.FW = 2;
  s.stride = 2;
  add("2x2 s2, windows do not overlap", s, 0);
  s.stride = 3;
  add("2x2 s3, gaps between the windows", s, Size2(2, 0));
  s = base;
  s.dilation = 2;
  s.stride = 2;
  s.padding = 2;
  add("dilation 2, s2", s, 1);
  s = base;
  s.dilation = 3;
  s.padding = Padding2d(3, 1, 0, 2);
  add("dilation 3, s1, output padding 2", s, Size2(2, 1));
  s = base;
  s.OC = 9;
  s.groups = 3;
  s.stride = Size2(2, 3);
  add("groups 3, s2x3", s, Size2(1, 2));
  add("1x1 to 4x4, as a generator starts", {.N = 3, .IC = 20, .OC = 12, .FH = 4, .FW = 4}, 0);
  add("to 1 channel",
      {.N = 2, .IH = 7, .IW = 7, .IC = 16, .OC = 1, .FH = 4, .FW = 4, .stride = 2, .padding = 1},
      0);
}

/// Pixels that lie apart and tensors that start anywhere.
void add_layouts(std::vector<ListedProblem>& list) {
  for (const std::int64_t stride : {1, 2}) {
    for (const auto& [x_gap, y_gap] : Pairs{{1, 0}, {0, 1}, {5, 3}, {8, 8}, {16, 0}, {0, 32}}) {
      for (const bool odd : {false, true}) {
        ListedProblem problem{"gaps " + print(x_gap) + "," + print(y_gap) + ", s" + print(stride) +
                                  (odd ? ", odd bases" : ""),
                              {.N = 2,
                               .IH = 6,
                               .IW = 7,
                               .IC = 3,
                               .OC = 17,
                               .FH = 3,
                               .FW = 3,
                               .stride = stride,
                               .padding = 1}};
        problem.x_gap = x_gap;
        problem.y_gap = y_gap;
        problem.odd_bases = odd;
        list.push_back(problem);
        problem.name += ", 16 to 32";
        problem.sizes.IC = 16;
        problem.sizes.OC = 32;
        list.push_back(problem);
      }
    }
  }
  ListedProblem grouped{
      "gaps and groups",
      {.N = 2, .IH = 5, .IW = 5, .IC = 8, .OC = 12, .FH = 3, .FW = 3, .padding = 1, .groups = 4}};
  grouped.x_gap = 2;
  grouped.y_gap = 1;
  grouped.odd_bases = true;
  list.push_back(grouped);
}

}  // namespace

Conv2dProblem ListedProblem::at(DType dtype) const {
  Conv2dSizes typed = sizes;
  typed.dtype = dtype;
  Conv2dProblem problem = transposed ? kernels::make_conv_transpose2d_problem(typed, output_padding)
                                     : kernels::make_conv2d_problem(typed);
  problem.x_pitch += x_gap;
  problem.y_pitch += y_gap;
  return problem;
}

std::vector<ListedProblem> named_conv2d_problems() {
  std::vector<ListedProblem> list;
  add_maps(list);
  add_batches_and_channels(list);
  add_filters_strides_paddings(list);
  add_dilations_and_groups(list);
  add_corners(list);
  add_transposed(list);
  add_layouts(list);
  return list;
}

std::vector<ListedProblem> conv2d_problems() {
  std::vector<ListedProblem> list = named_conv2d_problems();
  for (const auto& more : {pairwise_conv2d_problems(), random_conv2d_problems()}) {
    list.insert(list.end(), more.begin(), more.end());
  }
  return list;
}

std::int64_t counted_multiply_adds(const Conv2dProblem& p) {
  return p.N * inside_pairs(p.OH, p.FH, p.sh, p.pt, p.dh, p.IH) *
         inside_pairs(p.OW, p.FW, p.sw, p.pl, p.dw, p.IW) * (p.IC / p.G) * p.OC;
}

}  // namespace cks::testing
