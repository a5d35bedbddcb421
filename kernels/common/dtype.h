#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "cks/kernels/common/error.h"
#include "cks/kernels/common/host_device.h"

namespace cks {

/// Element types of tensors, in the order of the tables below. float64 is for gradient checks and
/// references.
enum class DType : std::uint8_t { float32, bfloat16, float64, int64, int32, uint8 };

/// How a run multiplies: the mode, not the storage type. Accumulation is always float32 or wider.
enum class Precision : std::uint8_t { fp32, tf32, bf16 };

/// The upper 16 bits of a float32. Arithmetic happens in float32; conversion rounds to nearest
/// even.
struct bfloat16 {
  std::uint16_t bits = 0;

  bfloat16() = default;
  CKS_HOST_DEVICE explicit bfloat16(float value) {
    // std::bit_cast, which device code cannot call.
    const auto raw = __builtin_bit_cast(std::uint32_t, value);
    const bool is_nan = (raw & 0x7fffffffU) > 0x7f800000U;
    // A NaN keeps its sign and becomes quiet; rounding could otherwise turn it into infinity.
    bits = is_nan ? static_cast<std::uint16_t>((raw >> 16) | 0x40U)
                  : static_cast<std::uint16_t>((raw + 0x7fffU + ((raw >> 16) & 1U)) >> 16);
  }
  CKS_HOST_DEVICE explicit operator float() const {
    return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16);
  }
};

/// In what functions of elements of T compute.
template <class T>
using ComputeType = std::conditional_t<std::is_same_v<T, bfloat16>, float, T>;

/// An element as a sum's type.
template <class Sum, class Value>
CKS_HOST_DEVICE Sum widen(Value value) {
  if constexpr (std::is_same_v<Value, bfloat16>) {
    return static_cast<Sum>(static_cast<float>(value));
  } else {
    return static_cast<Sum>(value);
  }
}

/// A sum as an element; bfloat16 is rounded from float32.
template <class Value, class Sum>
CKS_HOST_DEVICE Value narrowed(Sum sum) {
  if constexpr (std::is_same_v<Value, bfloat16>) {
    return bfloat16(static_cast<float>(sum));
  } else {
    return static_cast<Value>(sum);
  }
}

/// Bytes of one element.
constexpr std::size_t size_of(DType dtype) {
  constexpr std::size_t kBytes[] = {4, 2, 8, 8, 4, 1};
  return kBytes[static_cast<std::size_t>(dtype)];
}

constexpr const char* name_of(DType dtype) {
  constexpr const char* kNames[] = {"float32", "bfloat16", "float64", "int64", "int32", "uint8"};
  return kNames[static_cast<std::size_t>(dtype)];
}

constexpr const char* name_of(Precision precision) {
  constexpr const char* kNames[] = {"fp32", "tf32", "bf16"};
  return kNames[static_cast<std::size_t>(precision)];
}

constexpr bool is_floating(DType dtype) {
  return dtype == DType::float32 || dtype == DType::float64 || dtype == DType::bfloat16;
}

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>) {
    return DType::float32;
  } else if constexpr (std::is_same_v<T, bfloat16>) {
    return DType::bfloat16;
  } else if constexpr (std::is_same_v<T, double>) {
    return DType::float64;
  } else if constexpr (std::is_same_v<T, std::int64_t>) {
    return DType::int64;
  } else if constexpr (std::is_same_v<T, std::int32_t>) {
    return DType::int32;
  } else {
    static_assert(std::is_same_v<T, std::uint8_t>, "not an element type of tensors");
    return DType::uint8;
  }
}

/// Calls body with a value of the C++ type that stands for dtype: float32 or float64.
/// Throws DtypeError, naming the operation, for every other dtype.
template <class Body>
decltype(auto) visit_real(const char* operation, DType dtype, Body&& body) {
  if (dtype == DType::float32) {
    return body(float{});
  }
  if (dtype == DType::float64) {
    return body(double{});
  }
  throw DtypeError(std::string(operation) + ": takes float32 or float64, got " + name_of(dtype));
}

/// As visit_real, with bfloat16 as a third.
template <class Body>
decltype(auto) visit_floating(const char* operation, DType dtype, Body&& body) {
  if (dtype == DType::bfloat16) {
    return body(bfloat16{});
  }
  return visit_real(operation, dtype, body);
}

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

/// As visit_real, for every dtype.
template <class Body>
decltype(auto) visit_dtype(DType dtype, Body&& body) {
  switch (dtype) {
    case DType::float32:
      return body(float{});
    case DType::bfloat16:
      return body(bfloat16{});
    case DType::float64:
      return body(double{});
    case DType::int64:
      return body(std::int64_t{});
    case DType::int32:
      return body(std::int32_t{});
    case DType::uint8:
      break;
  }
  return body(std::uint8_t{});
}

/// Calls body with a value of an unsigned type of 1, 2, 4 or 8 bytes: for what only moves elements.
/// Throws Error, naming the operation, for another number.
template <class Body>
void visit_bits(const char* operation, std::size_t element_bytes, Body&& body) {
  switch (element_bytes) {
    case 1:
      return body(std::uint8_t{});
    case 2:
      return body(std::uint16_t{});
    case 4:
      return body(std::uint32_t{});
    case 8:
      return body(std::uint64_t{});
    default:
      throw Error(std::string(operation) + ": element_bytes must be 1, 2, 4 or 8, got " +
                  std::to_string(element_bytes));
  }
}

}  // namespace cks
