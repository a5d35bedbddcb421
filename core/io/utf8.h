#pragma once
#include <string>

namespace cks {

/// Whether a text is UTF-8, as JSON must be: only then can config.json or a checkpoint hold it. The
/// names that a file system gives need not be.
bool is_utf8(const std::string& text);

}  // namespace cks
