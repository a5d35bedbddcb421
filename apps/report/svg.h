#pragma once
#include <cstddef>
#include <string>
#include <vector>

namespace cks::apps {

/// A drawing as elements of SVG. Lengths are pixels at its natural size, text is 12 high; colours
/// are classes of figure_style(), which follow light and dark.
struct Figure {
  std::string title{};
  std::string note{};  // how to read it, a line
  double width = 0.0;
  double height = 0.0;
  std::string body{};
};

/// Text that may stand in XML, between tags and in attributes. Control characters become U+FFFD,
/// and so do all bytes above ASCII where the text is not UTF-8.
std::string escaped(const std::string& text);

/// At most `most` characters; a longer text ends in "…".
std::string shortened(const std::string& text, std::size_t most);

/// Pixels that a line takes, about: the reader's font is not known.
double text_width(const std::string& text);

/// A line of text with its baseline at y, escaped; it begins at x unless one of its classes is
/// "middle" or "end". `attributes` are further ones, such as transform="rotate(-45)".
std::string text_at(double x, double y, const std::string& classes, const std::string& text,
                    const std::string& attributes = {});

std::string box_at(double x, double y, double width, double height, const std::string& classes);

/// The style sheet of figures, for a page.
std::string figure_style();

/// The figure for a page that has the style sheet and says title and note itself.
std::string svg_element(const Figure& figure);

/// A file of SVG: the figures side by side with their titles and notes, on a ground of their own.
std::string svg_file(const std::vector<Figure>& figures);

}  // namespace cks::apps
