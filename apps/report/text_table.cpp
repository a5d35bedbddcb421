#include "apps/report/text_table.h"

#include <algorithm>

#include "apps/cli/program.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::apps {

std::string percent(double fraction) { return formatted("{:.2f} %", 100.0 * fraction); }

std::string quoted_cell(const std::string& text) {
  return "\"" + replaced(text, "\"", "\"\"") + "\"";
}

TextTable::TextTable(std::vector<std::string> header, std::vector<bool> right_aligned)
    : right_aligned_(std::move(right_aligned)) {
  right_aligned_.resize(header.size(), false);
  rows_.push_back(std::move(header));
  rule();
}

void TextTable::add(std::vector<std::string> row) {
  row.resize(right_aligned_.size());
  rows_.push_back(std::move(row));
}

std::string TextTable::to_string() const {
  std::vector<std::size_t> widths(right_aligned_.size(), 0);
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string text;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      const std::string cell = row.empty() ? std::string(widths[i], '-') : row[i];
      const std::string space(widths[i] - cell.size(), ' ');
      line += (i == 0 ? "" : "  ") + (right_aligned_[i] ? space + cell : cell + space);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace cks::apps
