#pragma once
#include <cstdint>
#include <cstdio>
#include <string>

#include "cks/core/error.h"
#include "cks/kernels/common/geometry.h"
#include "cks/layers/module.h"

/// Checks of options and short descriptions, for the layers of this room.
namespace cks::layers {

/// "Conv2d conv1" for messages.
inline std::string title(const Module& module, const char* type) {
  const std::string path = module.path();
  return path.empty() ? std::string(type) : type + (" " + path);
}

[[noreturn]] inline void fail_option(const Module& module, const char* type,
                                     const std::string& what) {
  throw ShapeError(title(module, type) + ": " + what);
}

inline void require_at_least(const Module& module, const char* type, const char* option,
                             std::int64_t value, std::int64_t least) {
  if (value < least) {
    fail_option(module, type,
                std::string(option) + " must be at least " + std::to_string(least) + ", got " +
                    std::to_string(value));
  }
}

inline std::string pair_text(const Size2& size) {
  return "{" + std::to_string(size.h) + "," + std::to_string(size.w) + "}";
}

inline void require_at_least(const Module& module, const char* type, const char* option,
                             const Size2& value, std::int64_t least) {
  if (value.h < least || value.w < least) {
    fail_option(module, type,
                std::string(option) + " must be at least " + pair_text(least) + ", got " +
                    pair_text(value));
  }
}

inline void require_padding(const Module& module, const char* type, const Padding2d& padding) {
  require_at_least(module, type, "padding.top", padding.top, 0);
  require_at_least(module, type, "padding.bottom", padding.bottom, 0);
  require_at_least(module, type, "padding.left", padding.left, 0);
  require_at_least(module, type, "padding.right", padding.right, 0);
}

/// "0.1", "1e-05": at most six digits.
inline std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

/// "3x3".
inline std::string size_text(const Size2& size) {
  return std::to_string(size.h) + "x" + std::to_string(size.w);
}

/// "1" for four equal sides, otherwise "top,bottom,left,right".
inline std::string padding_text(const Padding2d& p) {
  if (p == Padding2d(p.top)) {
    return std::to_string(p.top);
  }
  return std::to_string(p.top) + "," + std::to_string(p.bottom) + "," + std::to_string(p.left) +
         "," + std::to_string(p.right);
}

}  // namespace cks::layers
