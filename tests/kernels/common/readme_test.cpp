#include <doctest/doctest.h>

#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "cks/kernels/conv2d/kernel.h"

// What kernels/README.md says of files, functions and kernels.

namespace {

const std::string kRoot = CKS_SOURCE_DIR;

std::string read(const std::string& path) {
  std::ifstream file(path);
  REQUIRE_MESSAGE(file.good(), path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

/// What stands between backquotes, in order.
std::vector<std::string> words_in_backquotes(const std::string& text) {
  std::vector<std::string> found;
  static const std::regex kQuoted("`([^`]+)`");
  for (std::sregex_iterator at(text.begin(), text.end(), kQuoted), end; at != end; ++at) {
    found.push_back((*at)[1]);
  }
  return found;
}

/// The rows of the map that follows a line beginning with `heading`.
std::vector<std::vector<std::string>> map_after(const std::string& heading) {
  std::istringstream lines(read(kRoot + "/kernels/README.md"));
  std::vector<std::vector<std::string>> rows;
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(heading, 0) == 0) {
      inside = true;
    } else if (inside && std::regex_search(line, std::regex("^\\| [0-9]"))) {
      rows.push_back(words_in_backquotes(line));
    } else if (inside && !rows.empty()) {
      break;
    }
  }
  return rows;
}

}  // namespace

TEST_CASE("kernels/README.md: the ways from a layer to the multiply-add are as short as it says") {
  const std::pair<const char*, std::size_t> kMaps[] = {
      {"On a CPU:", 8}, {"On a GPU:", 8}, {"By the definition", 5}};
  for (const auto& [heading, most] : kMaps) {
    CAPTURE(heading);
    const auto rows = map_after(heading);
    CHECK(rows.size() >= 5);
    CHECK(rows.size() <= most);
    for (const auto& row : rows) {
      REQUIRE(row.size() >= 2);
      const std::string source = read(kRoot + "/" + row[0]);
      for (std::size_t i = 1; i < row.size(); ++i) {
        CAPTURE(row[0]);
        CAPTURE(row[i]);
        CHECK(source.find(row[i] + "(") != std::string::npos);
      }
    }
  }
}

TEST_CASE("kernels/README.md: every kernel has its row") {
  const std::string text = read(kRoot + "/kernels/README.md");
  for (const bool is_cuda : {false, true}) {
    for (const cks::kernels::Conv2dKernel* kernel : cks::kernels::conv2d_kernels(is_cuda)) {
      CAPTURE(kernel->name);
      CHECK(text.find("| `" + std::string(kernel->name) + "` |") != std::string::npos);
    }
  }
}
