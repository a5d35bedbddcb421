#pragma once
#include <cstdint>

namespace cks {

/// Which pictures of a drawn dataset: no picture of one split is in the other.
enum class DrawnSplit : std::uint8_t { train, test };

}  // namespace cks
