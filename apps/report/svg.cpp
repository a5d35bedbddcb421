#include "apps/report/svg.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "cks/core/io/utf8.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"

namespace cks::apps {
namespace {

constexpr double kMargin = 20.0;
constexpr const char* kReplacement = "\xEF\xBF\xBD";  // U+FFFD
constexpr const char* kFont =
    "font-family=\"system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans',sans-serif\" "
    "font-size=\"12\"";

// Blue and orange are told apart by all kinds of colour vision, and in grey by what they mark.
constexpr const char* kStyle = R"(
.ground{fill:#fff}.ink{fill:#1c2126}.muted{fill:#5d6773}.inverse{fill:#fff}.track{fill:#eef1f4}
.blue{fill:#0a5a96}.orange{fill:#c9530c}.teal{fill:#137a6c}
.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.blue.line{fill:none;stroke:#0a5a96;stroke-dasharray:1 4.5}.orange.line{fill:none;stroke:#c9530c}
.rule{stroke:#e1e5ea}.best{fill:none;stroke:#5d6773}
.bold{font-weight:600}.title{font-size:15px;font-weight:600}.small{font-size:10px}
.middle{text-anchor:middle}.end{text-anchor:end}
@media (prefers-color-scheme:dark){
.ground{fill:#171c22}.ink{fill:#e6e9ed}.muted{fill:#9ba6b2}.inverse{fill:#0f1317}.track{fill:#232a32}
.blue{fill:#4f9fe0}.orange{fill:#ef9350}.teal{fill:#4bb8a5}
.blue.line{stroke:#4f9fe0}.orange.line{stroke:#ef9350}.rule{stroke:#2d353e}.best{stroke:#9ba6b2}}
)";

bool begins_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U; }

}  // namespace

std::string escaped(const std::string& text) {
  constexpr std::string_view kMarkup = "&<>\"";
  constexpr std::array kEntities{"&amp;", "&lt;", "&gt;", "&quot;"};
  const bool is_text = is_utf8(text);
  std::string safe;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (const std::size_t at = kMarkup.find(c); at != std::string_view::npos) {
      safe += kEntities[at];
    } else if ((byte < 0x20 && c != '\n' && c != '\t') || (byte >= 0x80 && !is_text)) {
      safe += kReplacement;
    } else {
      safe += c;
    }
  }
  return safe;
}

std::string shortened(const std::string& text, std::size_t most) {
  std::size_t characters = 0;
  std::size_t cut = 0;  // where the last character begins that would make room for the dots
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (begins_character(text[i])) {
      ++characters;
      cut = characters == most ? i : cut;
    }
  }
  return characters <= most ? text : text.substr(0, cut) + "…";
}

double text_width(const std::string& text) {
  constexpr double kLetter = 6.6;
  constexpr double kIdeograph = 12.0;
  double width = 0.0;
  for (const char c : text) {
    if (begins_character(c)) {
      width += static_cast<unsigned char>(c) > 0xE2 ? kIdeograph : kLetter;
    }
  }
  return width;
}

std::string text_at(double x, double y, const std::string& classes, const std::string& text,
                    const std::string& attributes) {
  return formatted("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"{}\"{}>{}</text>\n", x, y, classes,
                   attributes.empty() ? "" : " " + attributes, escaped(text));
}

std::string box_at(double x, double y, double width, double height, const std::string& classes) {
  return formatted(
      "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" class=\"{}\"/>\n", x, y,
      width, height, classes);
}

std::string figure_style() { return kStyle; }

std::string svg_element(const Figure& figure) {
  // May shrink on a phone, but not until nobody can read it: then it scrolls.
  return formatted(
      "<div class=\"figure\"><svg viewBox=\"0 0 {0:.1f} {1:.1f}\" role=\"img\" aria-label=\"{2}\" "
      "{3} style=\"max-width:{4:.0f}px;min-width:{5:.0f}px\">\n{6}</svg></div>\n",
      figure.width, figure.height, escaped(figure.title), kFont, 1.25 * figure.width,
      0.72 * figure.width, figure.body);
}

std::string svg_file(const std::vector<Figure>& figures) {
  const bool has_note = any_of(figures, [](const Figure& figure) { return !figure.note.empty(); });
  const double head = has_note ? 52.0 : 32.0;
  std::string body;
  double x = kMargin;
  double height = 0.0;
  for (const Figure& figure : figures) {
    body += text_at(x, kMargin + 12.0, "ink title", figure.title) +
            text_at(x, kMargin + 32.0, "muted", figure.note) +
            formatted("<g transform=\"translate({:.1f} {:.1f})\">\n{}</g>\n", x, kMargin + head,
                      figure.body);
    x += std::max(figure.width, text_width(figure.note)) + kMargin;
    height = std::max(height, figure.height);
  }
  height += 2.0 * kMargin + head;
  return formatted(
             "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
             "viewBox=\"0 0 {0:.0f} {1:.0f}\" role=\"img\" aria-label=\"{2}\" {3}>\n<style>{4}"
             "</style>\n",
             x, height, escaped(list_text(mapped(figures, &Figure::title))), kFont, kStyle) +
         box_at(0.0, 0.0, x, height, "ground") + body + "</svg>\n";
}

}  // namespace cks::apps
