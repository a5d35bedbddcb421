#pragma once
#include <string>
#include <vector>

namespace cks::apps {

/// 0.0893 -> "8.93 %".
std::string percent(double fraction);

/// A cell of a CSV file that may hold commas and quotes.
std::string quoted_cell(const std::string& text);

/// Columns of text, padded with spaces.
class TextTable {
 public:
  /// right_aligned[i] for numbers.
  TextTable(std::vector<std::string> header, std::vector<bool> right_aligned);

  /// Cells that are not there stay empty, those beyond the header are left out.
  void add(std::vector<std::string> row);
  /// A line of dashes.
  void rule() { rows_.emplace_back(); }
  std::string to_string() const;

 private:
  std::vector<std::vector<std::string>> rows_;  // an empty row is a rule
  std::vector<bool> right_aligned_;
};

}  // namespace cks::apps
