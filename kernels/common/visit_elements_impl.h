#pragma once
#include <type_traits>

#include "cks/kernels/common/dtype.h"

namespace cks::kernels {

/// As visit_real, with arguments for the body: those of type void* arrive as pointers to elements.
template <class Body, class... Arguments>
decltype(auto) visit_real_elements(const char* operation, DType dtype, Body&& body,
                                   const Arguments&... arguments) {
  return visit_real(operation, dtype, [&]<class T>(T) {
    const auto typed = []<class Argument>(const Argument& argument) -> decltype(auto) {
      if constexpr (std::is_same_v<Argument, const void*>) {
        return static_cast<const T*>(argument);
      } else if constexpr (std::is_same_v<Argument, void*>) {
        return static_cast<T*>(argument);
      } else {
        return (argument);
      }
    };
    return body(typed(arguments)...);
  });
}

}  // namespace cks::kernels
