#include "apps/cli/image_size.h"

#include <algorithm>
#include <vector>

#include "apps/cli/program.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/train/number_text_impl.h"

namespace cks::apps {

Shape parse_image_size(const std::string& text) {
  std::vector<std::int64_t> extents;
  for (const std::string& part : split(text + "x", 'x')) {
    if (!detail::parse_number(part, extents.emplace_back()) || part.size() > 6) {
      extents.back() = 0;
    }
  }
  if (extents.size() != 3 || *std::min_element(extents.begin(), extents.end()) < 1) {
    throw Error(formatted("--input is '{}', expected WIDTHxHEIGHTxCHANNELS such as 28x28x1", text));
  }
  if (extents[0] != extents[1]) {
    throw Error(formatted("--input is '{}': the registered models take square images", text));
  }
  return {extents[1], extents[0], extents[2]};
}

}  // namespace cks::apps
