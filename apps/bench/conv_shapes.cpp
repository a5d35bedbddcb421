#include "apps/bench/conv_shapes.h"

#include <array>
#include <cstdio>
#include <map>
#include <sstream>

#include "cks/core/error.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::apps {
namespace {

using kernels::Conv2dProblem;
using kernels::Conv2dSizes;

/// N, IH, IW, IC, OC, filter, stride, padding.
Conv2dProblem square_problem(const std::array<long long, 8>& n) {
  const Conv2dSizes sizes{.N = n[0],
                          .IH = n[1],
                          .IW = n[2],
                          .IC = n[3],
                          .OC = n[4],
                          .FH = n[5],
                          .FW = n[5],
                          .stride = n[6],
                          .padding = n[7]};
  return kernels::make_conv2d_problem(sizes, "shape");
}

NamedShape parse_shape(const std::string& text) {
  std::array<long long, 8> n{};
  int end = 0;
  const int read = std::sscanf(text.c_str(), "%lldx%lldx%lldx%lld,%lld,k%lld,s%lld,p%lld%n", &n[0],
                               &n[1], &n[2], &n[3], &n[4], &n[5], &n[6], &n[7], &end);
  if (read != 8 || end != static_cast<int>(text.size())) {
    throw Error(
        formatted("shape \"{}\": expected NxIHxIWxIC,OC,k<filter>,s<stride>,p<padding>, such as "
                  "128x32x32x16,32,k3,s2,p1",
                  text));
  }
  if (n[0] < 1) {
    throw Error(
        formatted("shape \"{}\": N must be at least 1, since no images take no time", text));
  }
  return {text, square_problem(n)};
}

/// Shapes of whole networks, and the grid on which CKS is compared with other frameworks.
const std::map<std::string, std::vector<NamedShape>>& lists() {
  static const std::map<std::string, std::vector<NamedShape>> all = {
      {"anchors",
       {{"r18_32x32x64", square_problem({512, 32, 32, 64, 64, 3, 1, 1})},
        {"r18_32x32x64_s2", square_problem({512, 32, 32, 64, 128, 3, 2, 1})},
        {"r18_16x16x128", square_problem({512, 16, 16, 128, 128, 3, 1, 1})},
        {"r18_16x16x128_s2", square_problem({512, 16, 16, 128, 256, 3, 2, 1})},
        {"r18_8x8x256", square_problem({512, 8, 8, 256, 256, 3, 1, 1})},
        {"r18_8x8x256_s2", square_problem({512, 8, 8, 256, 512, 3, 2, 1})},
        {"r18_4x4x512", square_problem({512, 4, 4, 512, 512, 3, 1, 1})},
        {"vgg_2x2x512", square_problem({512, 2, 2, 512, 512, 3, 1, 1})},
        {"alex_8x8x96_k5", square_problem({512, 8, 8, 96, 256, 5, 1, 2})},
        {"k5_16x16x128_s2", square_problem({128, 16, 16, 128, 256, 5, 2, 2})},
        {"dcgan_32_k4s2", square_problem({128, 32, 32, 64, 128, 4, 2, 1})},
        {"dcgan_16_k4s2", square_problem({128, 16, 16, 128, 256, 4, 2, 1})},
        {"dcgan_8_k4s2", square_problem({128, 8, 8, 256, 512, 4, 2, 1})},
        {"r50_56x56x64", square_problem({128, 56, 56, 64, 64, 3, 1, 1})},
        {"r50_28x28x128", square_problem({128, 28, 28, 128, 128, 3, 1, 1})},
        {"r50_14x14x256", square_problem({128, 14, 14, 256, 256, 3, 1, 1})},
        {"r50_7x7x512", square_problem({128, 7, 7, 512, 512, 3, 1, 1})},
        {"r50_stem", square_problem({128, 224, 224, 3, 64, 7, 2, 3})},
        {"r18_stem3", square_problem({512, 32, 32, 3, 64, 3, 1, 1})},
        {"proj_1x1_s2", square_problem({512, 16, 16, 128, 256, 1, 2, 0})},
        {"pw_1x1", square_problem({512, 16, 16, 256, 256, 1, 1, 0})},
        {"lenet_c1", square_problem({128, 28, 28, 1, 6, 5, 1, 2})},
        {"lenet_c2", square_problem({128, 14, 14, 6, 16, 5, 1, 0})}}},
      {"lenet",
       {{"conv1", square_problem({128, 28, 28, 1, 6, 5, 1, 2})},
        {"conv2", square_problem({128, 14, 14, 6, 16, 5, 1, 0})}}},
      {"resnet20",
       {{"conv1", square_problem({128, 32, 32, 3, 16, 3, 1, 1})},
        {"layer1", square_problem({128, 32, 32, 16, 16, 3, 1, 1})},
        {"layer2.0.conv1", square_problem({128, 32, 32, 16, 32, 3, 2, 1})},
        {"layer2", square_problem({128, 16, 16, 32, 32, 3, 1, 1})},
        {"layer3.0.conv1", square_problem({128, 16, 16, 32, 64, 3, 2, 1})},
        {"layer3", square_problem({128, 8, 8, 64, 64, 3, 1, 1})}}}};
  return all;
}

}  // namespace

std::vector<NamedShape> parse_shapes(const std::string& text) {
  if (const auto list = lists().find(text); list != lists().end()) {
    return list->second;
  }
  std::vector<NamedShape> shapes;
  std::stringstream parts(text);
  for (std::string part; std::getline(parts, part, ';');) {
    shapes.push_back(parse_shape(part));
  }
  if (shapes.empty()) {
    throw Error("no shapes given");
  }
  return shapes;
}

std::string text_of(const Conv2dProblem& problem) {
  return formatted("{}x{}x{}x{},{},k{},s{},p{}", problem.N, problem.IH, problem.IW, problem.IC,
                   problem.OC, problem.FH, problem.sh, problem.pt);
}

}  // namespace cks::apps
