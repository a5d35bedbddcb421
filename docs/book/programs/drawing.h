#pragma once
#include <cstdio>
#include <fstream>
#include <string>

/// A drawing that a program writes beside what it prints: SVG whose colours are classes of the
/// page's style sheet (book.css), so that it follows light and dark.
namespace book {

class Drawing {
 public:
  Drawing(double width, double height) : width_(width), height_(height) {}

  void text(double x, double y, const std::string& text, const char* classes = "") {
    body_ += "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" class=\"" + classes + "\">" +
             text + "</text>\n";
  }
  void box(double x, double y, double width, double height, const char* classes) {
    body_ += "<rect x=\"" + number(x) + "\" y=\"" + number(y) + "\" width=\"" + number(width) +
             "\" height=\"" + number(height) + "\" class=\"" + classes + "\"/>\n";
  }
  void line(double x1, double y1, double x2, double y2, const char* classes) {
    body_ += "<path d=\"M" + number(x1) + " " + number(y1) + "L" + number(x2) + " " + number(y2) +
             "\" class=\"" + classes + "\"/>\n";
  }
  /// A box with a text in its middle.
  void cell(double x, double y, double width, double height, const std::string& label,
            const char* classes) {
    box(x, y, width, height, classes);
    text(x + width / 2, y + height / 2 + 4, label, "middle");
  }

  /// Writes the file that the program's first argument names; nothing without one. `label` says in
  /// words what there is to see.
  void save(int argc, char** argv, const std::string& label) const {
    if (argc > 1) {
      std::ofstream(argv[1])
          << "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" viewBox=\"0 0 "
          << number(width_) << " " << number(height_) << "\" aria-label=\"" << label << "\">\n"
          << body_ << "</svg>\n";
    }
  }

  static std::string number(double value, int digits = 1) {
    char text[32];
    std::snprintf(text, sizeof text, "%.*f", digits, value);
    std::string shortest = text;
    while (digits > 0 && (shortest.back() == '0' || shortest.back() == '.')) {
      const bool point = shortest.back() == '.';
      shortest.pop_back();
      if (point) {
        break;
      }
    }
    return shortest == "-0" ? "0" : shortest;
  }

 private:
  double width_, height_;
  std::string body_;
};

}  // namespace book
