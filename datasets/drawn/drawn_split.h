#pragma once
#include <cstdint>

namespace cks {

enum class DrawnSplit : std::uint8_t { train, test };

}  // namespace cks
