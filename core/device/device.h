#pragma once
#include <cstdint>
#include <string>

namespace cks {

enum class DeviceKind : std::uint8_t { cpu, cuda };  // where a tensor lives

/// Where a tensor lives: the CPU, or the CUDA device of an index. A plain value; naming a device
/// does not need it to exist, allocating on it does (DeviceError otherwise).
struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;

  static constexpr Device cpu() { return {}; }                                       // the only CPU
  static constexpr Device cuda(int index = 0) { return {DeviceKind::cuda, index}; }  // a GPU
  /// Reads "cpu", "cuda" or "cuda:N". Throws DeviceError, listing these, for anything else.
  static Device parse(const std::string& text);

  constexpr bool is_cpu() const { return kind == DeviceKind::cpu; }
  constexpr bool is_cuda() const { return kind == DeviceKind::cuda; }
  std::string to_string() const;
  friend constexpr bool operator==(const Device&, const Device&) = default;
};

}  // namespace cks
