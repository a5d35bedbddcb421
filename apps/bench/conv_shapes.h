#pragma once
#include <string>
#include <vector>

#include "cks/kernels/conv2d/problem.h"

namespace cks::apps {

/// A convolution to time, with the name it has in tables.
struct NamedShape {
  std::string name;
  kernels::Conv2dProblem problem;
};

/// Reads shapes: the name of a list ("anchors", "lenet", "resnet20") or shapes such as
/// "128x32x32x16,32,k3,s2,p1", that is NxIHxIWxIC,OC,k<filter>,s<stride>,p<padding>, separated by
/// semicolons. Throws Error, quoting the part that it cannot read.
std::vector<NamedShape> parse_shapes(const std::string& text);

/// The shape as parse_shapes reads it: "128x32x32x16,32,k3,s2,p1".
std::string text_of(const kernels::Conv2dProblem& problem);

}  // namespace cks::apps
