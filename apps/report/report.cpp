#include "apps/report/report.h"

#include <algorithm>
#include <cstdint>

#include "apps/cli/program.h"
#include "apps/cli/progress.h"
#include "apps/report/figures.h"
#include "apps/report/text_table.h"
#include "cks/core/io/file.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::apps {
namespace {

constexpr const char* kPageStyle = R"(
:root{color-scheme:light dark;--page:#f5f6f8;--card:#fff;--ink:#1c2126;--muted:#5d6773;--rule:#e1e5ea}
@media (prefers-color-scheme:dark){
:root{--page:#0f1317;--card:#171c22;--ink:#e6e9ed;--muted:#9ba6b2;--rule:#2d353e}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);line-height:1.5;font-size:15px;
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif}
main{max-width:62rem;margin:0 auto;padding:2rem 1rem 3rem}
h1{font-size:1.6rem;line-height:1.2;margin:0 0 .25rem}h2{font-size:1.1rem;margin:0}
h3{font-size:.875rem;margin:1.25rem 0 .25rem}
h1 span,p,dt,th,.tile span{color:var(--muted)}h1 span{font-weight:400}
p{margin:0 0 1rem;font-size:.875rem}
section{background:var(--card);border:1px solid var(--rule);border-radius:10px;
padding:1.1rem 1.25rem;margin-top:1rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.25rem,1fr));gap:1rem}
.tile b{display:block;font-size:1.45rem;line-height:1.25;font-weight:600}
.tile span{display:block;font-size:.8125rem}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:1.25rem}
.whole{grid-column:1/-1}.figure{overflow-x:auto}.figure svg{display:block;width:100%;height:auto}
.drawn{max-width:100%;min-width:4rem;image-rendering:pixelated}
.sheet{display:flex;flex-wrap:wrap;gap:.75rem}figure{margin:0;max-width:100%}
figcaption{color:var(--muted);font-size:.75rem}
table{border-collapse:collapse;margin-top:.75rem}
th,td{text-align:left;padding:.2rem 1.1rem .2rem 0;white-space:nowrap;font-weight:400;
font-size:.8125rem;font-variant-numeric:tabular-nums;border-bottom:1px solid var(--rule)}
th:nth-child(n+3),td:nth-child(n+3){text-align:right}
dl{columns:19rem;column-gap:2.5rem;margin:0;font-size:.8125rem}
dl div{display:flex;gap:1rem;justify-content:space-between;break-inside:avoid;padding:.15rem 0;
border-bottom:1px solid var(--rule)}dt{flex:none}dt,dd{overflow-wrap:anywhere}dd{margin:0;text-align:right}
dl.long{columns:auto}.long div{display:block}.long dd{text-align:left}
@media (max-width:30rem){main{padding:1rem .75rem}section{padding:.9rem}}
@media print{body{background:#fff;font-size:12px}main{padding:0;max-width:none}
section{break-inside:avoid;border-color:#ccc}
.figures{grid-template-columns:repeat(auto-fit,minmax(18rem,1fr))}}
)";

/// Figures that share a card of the page and a file.
struct Plate {
  std::string file;
  std::vector<Figure> figures;
};

std::vector<Plate> plates_of(const RunReport& report) {
  std::vector<Plate> plates;
  if (!report.rows.empty()) {
    plates.push_back(
        {"curves.svg", curve_figures(report.rows, report.summary.best_epoch, report.has_accuracy)});
  }
  if (report.confusion) {
    plates.push_back({"confusion.svg", {confusion_figure(*report.confusion, report.class_names)}});
  }
  if (report.filters.defined()) {
    plates.push_back(
        {"filters.svg", {filter_figure(report.filters, "Filters of the first layer")}});
  }
  if (has_convolution(report.layers)) {
    plates.push_back({"savings.svg", {savings_figure(report.layers, "What C-K-S skips")}});
  }
  return plates;
}

std::string base64(const std::string& bytes) {
  constexpr const char* kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t j = i; j < i + 3; ++j) {
      group = group << 8U | (j < bytes.size() ? static_cast<unsigned char>(bytes[j]) : 0U);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      text += i + j <= bytes.size() ? kDigits[group >> (18 - 6 * j) & 63U] : '=';
    }
  }
  return text;
}

std::string tiles(const RunReport& report) {
  const TrainSummary& summary = report.summary;
  std::string text = "<section class=\"tiles\">\n";
  const auto add = [&](bool is_known, const std::string& value, const std::string& name) {
    text += is_known ? formatted("<div class=\"tile\"><b>{}</b><span>{}</span></div>\n",
                                 escaped(value), escaped(name))
                     : "";
  };
  const bool is_judged = report.has_accuracy && summary.epochs > 0;
  const bool validates = summary.validation.has_value();
  add(is_judged && validates, percent(summary.best_accuracy()),
      formatted("validation accuracy, best, in epoch {}", summary.best_epoch));
  add(is_judged && summary.is_tested(), percent(summary.test_accuracy),
      validates ? "test accuracy of that epoch, read once" : "test accuracy at the end");
  add(is_judged && !validates, percent(summary.best_accuracy()),
      formatted("best, in epoch {}, chosen on the test half", summary.best_epoch));
  add(summary.is_tested(), formatted("{:.4g}", summary.test_loss), "test loss at the end");
  const PassCount all = report.layers.all_passes();
  add(all.plain > 0, percent(all.skipped()), "multiply-adds skipped");
  add(true, with_commas(report.layers.parameters), "parameters");
  add(true, format_duration(summary.seconds),
      formatted("time, {} steps", with_commas(summary.steps)));
  add(true, format_count(summary.images_per_second), "images a second");
  constexpr double kMebibyte = 1024.0 * 1024.0;
  add(true, formatted("{:.0f} MiB", static_cast<double>(summary.peak_resident_bytes) / kMebibyte),
      "peak memory");
  return text + "</section>\n";
}

/// The pairs that are mistaken most often.
std::string mistakes(const ConfusionMatrix& confusion, const std::vector<std::string>& names) {
  struct Pair {
    std::int64_t count, truth, predicted;
  };
  std::vector<Pair> pairs;
  for (std::int64_t truth = 0; truth < confusion.classes(); ++truth) {
    for (std::int64_t predicted = 0; predicted < confusion.classes(); ++predicted) {
      if (truth != predicted && confusion.at(truth, predicted) > 0) {
        pairs.push_back({confusion.at(truth, predicted), truth, predicted});
      }
    }
  }
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const Pair& a, const Pair& b) { return a.count > b.count; });
  pairs.resize(std::min<std::size_t>(pairs.size(), 10));
  std::string text = pairs.empty() ? ""
                                   : "<h2>Most mistaken</h2>\n<div class=\"figure\"><table>\n"
                                     "<tr><th>truth</th><th>taken for</th><th>images</th>"
                                     "<th>share</th></tr>\n";
  for (const Pair& pair : pairs) {
    const auto share =
        static_cast<double>(pair.count) / static_cast<double>(confusion.images_of(pair.truth));
    text += formatted("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                      escaped(names[static_cast<std::size_t>(pair.truth)]),
                      escaped(names[static_cast<std::size_t>(pair.predicted)]),
                      with_commas(pair.count), percent(share));
  }
  return pairs.empty() ? text : text + "</table></div>\n";
}

std::string cards(const RunReport& report) {
  constexpr double kHalf = 600.0;  // wider figures take a row for themselves
  std::string text;
  for (const auto& [file, figures] : plates_of(report)) {
    text += "<section class=\"figures\">\n";
    for (const Figure& figure : figures) {
      text += formatted("<div{}><h2>{}</h2>\n{}{}</div>\n",
                        figure.width > kHalf ? " class=\"whole\"" : "", escaped(figure.title),
                        figure.note.empty() ? "" : "<p>" + escaped(figure.note) + "</p>\n",
                        svg_element(figure));
    }
    if (file == "confusion.svg") {
      text += "<div>" + mistakes(*report.confusion, report.class_names) + "</div>\n";
    }
    text += "</section>\n";
  }
  for (const PictureSheet& sheet : report.sheets) {
    text += formatted("<section><h2>{}</h2>\n<p>{}</p>\n<div class=\"sheet\">\n",
                      escaped(sheet.title), escaped(sheet.note));
    for (const auto& [png, caption] : sheet.pictures) {
      text += formatted(
          "<figure><img class=\"drawn\" alt=\"{}\" src=\"data:image/png;base64,{}\"/>{}</figure>\n",
          escaped(caption.empty() ? sheet.title : caption), base64(png),
          caption.empty() ? "" : "<figcaption>" + escaped(caption) + "</figcaption>");
    }
    text += "</div></section>\n";
  }
  return text;
}

std::string configuration(const ConfigSections& config) {
  std::string text = "<section><h2>Configuration</h2>\n";
  for (const auto& [section, fields] : config) {
    text += formatted("<h3>{}</h3><dl{}>\n", escaped(section),
                      section == "conv_plans" ? " class=\"long\"" : "");
    for (const auto& [name, value] : fields) {
      text += formatted("<div><dt>{}</dt><dd>{}</dd></div>\n", escaped(name),
                        value.empty() ? "–" : escaped(value));
    }
    text += "</dl>\n";
  }
  return text + "</section>\n";
}

/// Where it ran, and how it ended, unless it came to its end.
std::string lead(const TrainSummary& summary) {
  const std::string on = summary.device.empty() ? "" : " on " + escaped(summary.device);
  const std::string when = summary.epochs == 0 ? "before its first evaluation"
                                               : formatted("after epoch {}", summary.epochs);
  return formatted("<p>Trained with cks {}{}{}.</p>\n", version(), on,
                   summary.interrupted ? ". <strong>Interrupted " + when + "</strong>" : "");
}

}  // namespace

std::string report_page(const RunReport& report) {
  const std::string title = escaped(report.model) + " on " + escaped(report.dataset);
  return formatted(
             "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\"><head>\n"
             "<meta charset=\"utf-8\"/>\n<title>{}</title>\n<meta name=\"viewport\" "
             "content=\"width=device-width,initial-scale=1\"/>\n<style>{}{}</style>\n</head>"
             "<body><main>\n<h1>{} <span>on {}</span></h1>\n",
             title, kPageStyle, figure_style(), escaped(report.model), escaped(report.dataset)) +
         lead(report.summary) + tiles(report) + cards(report) + configuration(report.config) +
         "</main></body></html>\n";
}

void write_report(const RunFolder& folder, const RunReport& report) {
  for (const auto& [file, figures] : plates_of(report)) {
    write_file_atomically(folder.file(file), svg_file(figures));
  }
  write_file_atomically(folder.report_file(), report_page(report));
}

}  // namespace cks::apps
