// Header-only, so that nobody who links to the installed library needs fmt.
#ifndef FMT_HEADER_ONLY
#  define FMT_HEADER_ONLY
#endif
#include <fmt/format.h>

#include "cks/kernels/common/formatted_impl.h"

namespace cks::detail {

std::string format_arguments(fmt::string_view format, fmt::format_args arguments) {
  return fmt::vformat(format, arguments);
}

}  // namespace cks::detail
