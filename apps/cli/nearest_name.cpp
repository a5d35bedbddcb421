#include "apps/cli/nearest_name.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

namespace cks::apps {
namespace {

/// Letters to insert, remove or change to get from `typed` to each beginning of `text`, the empty
/// one first: the last row of Levenshtein's table.
std::vector<std::size_t> distances(const std::string& typed, const std::string& text) {
  std::vector<std::size_t> row(text.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (const char letter : typed) {
    std::size_t diagonal = row[0]++;
    for (std::size_t i = 1; i < row.size(); ++i) {
      const std::size_t changed = diagonal + (letter == text[i - 1] ? 0 : 1);
      diagonal = std::exchange(row[i], std::min({changed, row[i] + 1, row[i - 1] + 1}));
    }
  }
  return row;
}

/// A beginning is worth a letter less than the whole.
std::size_t distance_to_beginning(const std::string& typed, const std::string& text) {
  const std::vector<std::size_t> all = distances(typed, text);
  return 1 + *std::min_element(all.begin(), all.end());
}

/// To the whole name, or to where any of its words begin.
std::size_t distance_to_name(const std::string& typed, const std::string& name) {
  std::size_t least = distances(typed, name).back();
  for (std::size_t word = 0; word < name.size(); ++word) {
    if (word == 0 || name[word - 1] == '-') {
      least = std::min(least, distance_to_beginning(typed, name.substr(word)));
    }
  }
  return least;
}

}  // namespace

std::string nearest_name(const std::string& typed,
                         const std::map<std::string, std::string>& meanings) {
  std::string nearest;
  std::size_t best = (typed.size() + 2) / 3 + 1;
  for (const auto& [name, meaning] : meanings) {
    std::string spelt = meaning;
    std::replace(spelt.begin(), spelt.end(), ' ', '-');
    const std::size_t distance =
        std::min(distance_to_name(typed, name), distance_to_beginning(typed, spelt));
    if (distance < best) {
      best = distance;
      nearest = name;
    }
  }
  return nearest;
}

}  // namespace cks::apps
