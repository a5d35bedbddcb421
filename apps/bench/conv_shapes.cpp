#include "apps/bench/conv_shapes.h"

#include <array>
#include <cstdio>
#include <map>
#include <utility>

#include "apps/cli/program.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"

namespace cks::apps {
namespace {

using kernels::Conv2dProblem;
using kernels::Conv2dSizes;

NamedShape parse_shape(const std::string& name, const std::string& text) {
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
  const Conv2dSizes sizes{.N = n[0],
                          .IH = n[1],
                          .IW = n[2],
                          .IC = n[3],
                          .OC = n[4],
                          .FH = n[5],
                          .FW = n[5],
                          .stride = n[6],
                          .padding = n[7]};
  return {name, kernels::make_conv2d_problem(sizes, "shape")};
}

/// Shapes of whole networks, and the grid on which CKS is compared with other frameworks, by name.
const std::map<std::string, std::vector<std::pair<std::string, std::string>>> kLists = {
    {"anchors", {{"r18_32x32x64", "512x32x32x64,64,k3,s1,p1"},
                 {"r18_32x32x64_s2", "512x32x32x64,128,k3,s2,p1"},
                 {"r18_16x16x128", "512x16x16x128,128,k3,s1,p1"},
                 {"r18_16x16x128_s2", "512x16x16x128,256,k3,s2,p1"},
                 {"r18_8x8x256", "512x8x8x256,256,k3,s1,p1"},
                 {"r18_8x8x256_s2", "512x8x8x256,512,k3,s2,p1"},
                 {"r18_4x4x512", "512x4x4x512,512,k3,s1,p1"},
                 {"vgg_2x2x512", "512x2x2x512,512,k3,s1,p1"},
                 {"alex_8x8x96_k5", "512x8x8x96,256,k5,s1,p2"},
                 {"k5_16x16x128_s2", "128x16x16x128,256,k5,s2,p2"},
                 {"dcgan_32_k4s2", "128x32x32x64,128,k4,s2,p1"},
                 {"dcgan_16_k4s2", "128x16x16x128,256,k4,s2,p1"},
                 {"dcgan_8_k4s2", "128x8x8x256,512,k4,s2,p1"},
                 {"r50_56x56x64", "128x56x56x64,64,k3,s1,p1"},
                 {"r50_28x28x128", "128x28x28x128,128,k3,s1,p1"},
                 {"r50_14x14x256", "128x14x14x256,256,k3,s1,p1"},
                 {"r50_7x7x512", "128x7x7x512,512,k3,s1,p1"},
                 {"r50_stem", "128x224x224x3,64,k7,s2,p3"},
                 {"r18_stem3", "512x32x32x3,64,k3,s1,p1"},
                 {"proj_1x1_s2", "512x16x16x128,256,k1,s2,p0"},
                 {"pw_1x1", "512x16x16x256,256,k1,s1,p0"},
                 {"lenet_c1", "128x28x28x1,6,k5,s1,p2"},
                 {"lenet_c2", "128x14x14x6,16,k5,s1,p0"}}},
    {"lenet", {{"conv1", "128x28x28x1,6,k5,s1,p2"}, {"conv2", "128x14x14x6,16,k5,s1,p0"}}},
    {"resnet20",
     {{"conv1", "128x32x32x3,16,k3,s1,p1"},
      {"layer1", "128x32x32x16,16,k3,s1,p1"},
      {"layer2.0.conv1", "128x32x32x16,32,k3,s2,p1"},
      {"layer2", "128x16x16x32,32,k3,s1,p1"},
      {"layer3.0.conv1", "128x16x16x32,64,k3,s2,p1"},
      {"layer3", "128x8x8x64,64,k3,s1,p1"}}}};

}  // namespace

std::vector<NamedShape> parse_shapes(const std::string& text) {
  if (const auto list = kLists.find(text); list != kLists.end()) {
    return mapped(list->second,
                  [](const auto& shape) { return parse_shape(shape.first, shape.second); });
  }
  const std::vector<std::string> parts = split(text, ';');
  if (parts.empty()) {
    throw Error("no shapes given");
  }
  return mapped(parts, [](const std::string& part) { return parse_shape(part, part); });
}

std::string text_of(const Conv2dProblem& problem) {
  return formatted("{}x{}x{}x{},{},k{},s{},p{}", problem.N, problem.IH, problem.IW, problem.IC,
                   problem.OC, problem.FH, problem.sh, problem.pt);
}

}  // namespace cks::apps
