#include "cks/kernels/elementwise/elementwise.h"

#include <array>

namespace cks::kernels {
namespace {

struct UnaryTraits {
  const char* name;
  UnarySaves saves;
};

const UnaryTraits& traits_of(UnaryOp op) {
  using enum UnarySaves;
  static constexpr std::array<UnaryTraits, 18> kTraits{{{"neg", nothing},
                                                        {"abs", input},
                                                        {"square", input},
                                                        {"exp", output},
                                                        {"log", input},
                                                        {"sqrt", output},
                                                        {"pow", input},
                                                        {"clamp", input},
                                                        {"relu", output},
                                                        {"leaky_relu", input},
                                                        {"sigmoid", output},
                                                        {"tanh", output},
                                                        {"gelu", input},
                                                        {"add", nothing},
                                                        {"mul", nothing},
                                                        {"div", nothing},
                                                        {"sub", nothing},
                                                        {"div", input}}};
  return kTraits[static_cast<std::size_t>(op)];
}

}  // namespace

UnarySaves unary_saves(UnaryOp op) { return traits_of(op).saves; }

const char* name_of(UnaryOp op) { return traits_of(op).name; }

const char* name_of(BinaryOp op) {
  constexpr std::array kNames{"add", "sub", "mul", "div", "maximum", "minimum"};
  return kNames[static_cast<std::size_t>(op)];
}

}  // namespace cks::kernels
