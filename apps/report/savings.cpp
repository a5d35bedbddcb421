#include <algorithm>
#include <array>

#include "apps/cli/progress.h"
#include "apps/report/figures.h"
#include "apps/report/text_table.h"
#include "cks/core/error.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"

namespace cks::apps {
namespace {

constexpr double kRow = 21.0;
constexpr double kTop = 48.0;
constexpr double kCounts = 64.0;  // the column of multiply-adds
constexpr double kBar = 100.0;    // 100 %
constexpr double kPass = 178.0;   // bar, number and the space to the next pass

struct Pass {
  const char* name;
  const char* algorithm;
  PassCount LayerRow::*count;
};
constexpr std::array kPasses = {Pass{"forward", "ConvV2", &LayerRow::forward},
                                Pass{"input gradient", "KS-deconv", &LayerRow::input_gradient},
                                Pass{"filter gradient", "Sk-dilated", &LayerRow::filter_gradient}};

bool is_convolution(const LayerRow& row) {
  return row.type == "Conv2d" || row.type == "ConvTranspose2d";
}

std::string draw_bar(double x, double y, const PassCount& count) {
  if (count.plain == 0) {
    return text_at(x, y + 4.0, "muted", "–");  // nobody needs the first layer's input gradient
  }
  return box_at(x, y - 5.0, kBar, 10.0, "track") +
         box_at(x, y - 5.0, kBar * count.skipped(), 10.0, "teal") +
         text_at(x + kBar + 58.0, y + 4.0, "ink end", percent(count.skipped()));
}

}  // namespace

bool has_convolution(const ModelTable& table) { return any_of(table.rows, is_convolution); }

Figure savings_figure(const ModelTable& table, const std::string& title) {
  LayerRow total;
  total.path = "all convolutions";
  std::vector<LayerRow> rows;
  double left = text_width(total.path);
  bool has_transposed = false;  // whose forward pass is the input gradient of a convolution
  for (const LayerRow& row : table.rows) {
    if (is_convolution(row)) {
      rows.push_back(row);
      left = std::max(left, text_width(row.path));
      has_transposed = has_transposed || row.type == "ConvTranspose2d";
      for (const Pass& pass : kPasses) {
        total.*pass.count += row.*pass.count;
      }
    }
  }
  if (rows.empty()) {
    throw Error("savings_figure: there is no convolution");
  }
  rows.push_back(total);
  left += kCounts;
  std::string body = text_at(left, kTop - 34.0, "ink bold end", "multiply-adds");
  double y = kTop;
  for (const LayerRow& row : rows) {
    const bool is_total = &row == &rows.back();
    y += is_total ? 8.0 : 0.0;
    PassCount all;
    double x = left + 24.0;
    for (const Pass& pass : kPasses) {
      if (y == kTop) {
        body += text_at(x, y - 34.0, "ink bold", pass.name) +
                text_at(x, y - 19.0, "muted", has_transposed ? "" : pass.algorithm);
      }
      body += draw_bar(x, y, row.*pass.count);
      all += row.*pass.count;
      x += kPass;
    }
    body += text_at(0.0, y + 4.0, is_total ? "ink bold" : "ink", row.path) +
            text_at(left, y + 4.0, "muted end", format_count(static_cast<double>(all.plain)));
    y += kRow;
  }
  const double width = left + 4.0 + static_cast<double>(kPasses.size()) * kPass;
  body += formatted("<path d=\"M0 {0:.1f}H{1:.1f}\" class=\"rule\"/>\n", y - kRow - 15.0, width);
  return {.title = title,
          .note = formatted("Share of each pass's multiply-adds that meet zeros of padding or "
                            "stride and are skipped; of a whole training step {}.",
                            percent(table.all_passes().skipped())),
          .width = width,
          .height = y - 6.0,
          .body = body};
}

}  // namespace cks::apps
