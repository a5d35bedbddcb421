#include "cks/core/io/utf8.h"

#include <nlohmann/json.hpp>

namespace cks {

bool is_utf8(const std::string& text) {
  try {
    static_cast<void>(nlohmann::json(text).dump());
    return true;
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

}  // namespace cks
