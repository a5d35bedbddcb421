#pragma once
#include <string>
#include <string_view>

namespace cks {

/// What a file is that begins like this, if it is of a kind that comes in place of others: "an HTML
/// page, as servers send in place of a file"; else nullptr.
const char* foreign_format(std::string_view head);

/// "; it is an HTML page, ..." where a file that is not what it should be begins as another kind of
/// file does; empty where it begins as nothing known.
std::string describe_foreign(std::string_view head);

}  // namespace cks
