#include "apps/report/report.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "apps/report/figures.h"
#include "cks/core/error.h"
#include "cks/core/io/file.h"
#include "cks/models/registry.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/tensors.h"

namespace cks::apps {
namespace {

using testing::message_of;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t times = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++times;
  }
  return times;
}

/// What is wrong with a text as XML of elements, quoted attributes and the four entities that
/// escaped() writes; empty where nothing is.
std::string fault(const std::string& xml) {
  std::vector<std::string> open;
  for (std::size_t i = 0; i < xml.size(); ++i) {
    const std::string here = xml.substr(i, 40);
    if (xml[i] == '&' && !here.starts_with("&amp;") && !here.starts_with("&lt;") &&
        !here.starts_with("&gt;") && !here.starts_with("&quot;")) {
      return "a bare &: " + here;
    }
    if (static_cast<unsigned char>(xml[i]) < 0x20 && xml[i] != '\n') {
      return "a control character: " + here;
    }
    if (xml[i] != '<' || here.starts_with("<!DOCTYPE html>")) {
      continue;
    }
    const std::size_t end = xml.find('>', i);
    const std::string tag = xml.substr(i + 1, end - i - 1);
    const std::string name = tag.substr(0, tag.find_first_of(" /", 1));
    if (end == std::string::npos || count(tag, "\"") % 2 != 0 || contains(tag, "<")) {
      return "a broken tag: " + here;
    }
    if (name[0] == '/') {
      if (open.empty() || open.back() != tag.substr(1)) {
        return "closes what is not open: " + here;
      }
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(name);
    }
    i = end;
  }
  return open.empty() ? "" : "stays open: " + open.back();
}

void check_well_formed(const std::vector<Figure>& figures) {
  CHECK(fault(svg_file(figures)) == "");
  for (const Figure& figure : figures) {
    CHECK(fault(svg_element(figure)) == "");
  }
}

TEST_CASE("fault: tells broken XML from whole") {
  CHECK(fault("<a b=\"1\"><c/>&amp;</a>") == "");
  for (const char* broken : {"<a>", "<a></b>", "<a b=1\"/>", "a & b", "<a b=\"<\"/>", "\x01"}) {
    CAPTURE(broken);
    CHECK(fault(broken) != "");
  }
}

TEST_CASE("escaped, shortened: markup, control characters, other alphabets") {
  CHECK(escaped("a<b> & \"c\" é") == "a&lt;b&gt; &amp; &quot;c&quot; é");
  CHECK(escaped(std::string("\x01") + '\0') == "\uFFFD\uFFFD");
  CHECK(escaped("caf\xE9") == "caf\uFFFD");  // Latin-1
  CHECK(shortened("abc", 3) == "abc");
  CHECK(shortened("abcd", 3) == "ab…");
  CHECK(shortened("äöüß", 3) == "äö…");
  CHECK(text_width("猫") > text_width("é"));
  CHECK(text_width("é") == text_width("e"));
}

TEST_CASE("curve_figures: each epoch's points are where axes say") {
  std::vector<EpochMetrics> rows;
  for (std::int64_t epoch = 1; epoch <= 3; ++epoch) {
    const auto e = static_cast<double>(epoch);
    rows.push_back({.epoch = epoch,
                    .train_loss = 3.0 - e,
                    .train_accuracy = 0.2 * e,
                    .test_loss = 3.5 - e,
                    .test_accuracy = 0.1 * e});
  }
  std::vector<Figure> figures = curve_figures(rows, 2);
  check_well_formed(figures);
  REQUIRE(figures.size() == 2);
  CHECK(figures[0].title == "Loss");
  CHECK(figures[1].title == "Accuracy");
  // Losses span 0 to 2.5, with 5 % of air, epochs 1 to 3; the axes' corners are (48,44) and
  // (428,232).
  CHECK(contains(figures[0].body, "d=\"M65.3 86.7L238.0 155.1L410.7 223.5\" class=\"blue line\""));
  CHECK(contains(figures[0].body, ">best epoch 2: 1.5<"));
  CHECK(contains(figures[0].body, ">test 0.5<"));
  CHECK(contains(figures[1].body, ">best epoch 2: 20.00 %<"));
  CHECK(contains(figures[1].body, ">train 60.00 %<"));
  CHECK(curve_figures(rows, 2, false).size() == 1);
  CHECK_FALSE(contains(curve_figures(rows, 0)[0].body, "best"));

  rows[1].train_loss = kNan;
  rows[2].test_loss = std::numeric_limits<double>::infinity();
  figures = curve_figures(rows, 3);
  check_well_formed(figures);
  CHECK_FALSE(contains(figures[0].body, "\"M65.3 nan"));
  CHECK(count(figures[0].body.substr(0, figures[0].body.find("blue line")), "L") == 0);  // a gap
  check_well_formed(curve_figures({EpochMetrics{.epoch = 1}}, 1));
  rows = {{.epoch = 1, .test_loss = 1.0}, {.epoch = 2, .test_loss = std::nextafter(1.0, 2.0)}};
  rows[0].train_loss = rows[1].train_loss = 1.0;
  check_well_formed(curve_figures(rows, 1));  // hardly anything to show, but it ends
  check_well_formed(
      curve_figures({EpochMetrics{.epoch = 1, .train_loss = kNan, .test_loss = kNan}}, 1));
  // Losses at the end of the range are no points, but what is between them is.
  for (const double largest : {1e308, -1e308, std::numeric_limits<double>::max()}) {
    rows = {{.epoch = 1, .train_loss = largest, .test_loss = 2.0},
            {.epoch = 2, .train_loss = 1.0, .test_loss = -largest}};
    figures = curve_figures(rows, 1);
    check_well_formed(figures);
    CHECK_FALSE(contains(figures[0].body, "nan"));
    CHECK_FALSE(contains(figures[0].body, "inf"));
    CHECK(contains(figures[0].body, "class=\"blue line\""));
  }
  CHECK(message_of<Error>([] { curve_figures({}, 0); }) == "curve_figures: there are no epochs");
}

TEST_CASE("curve_figures: a spike of the loss does not flatten the epochs behind it") {
  std::vector<EpochMetrics> rows;
  for (const double loss : {100.0, 1.0, 0.5, 0.1}) {
    rows.push_back({.epoch = static_cast<std::int64_t>(rows.size()) + 1,
                    .train_loss = loss,
                    .test_loss = 2.0 * loss});
  }
  Figure loss = curve_figures(rows, 4)[0];
  CHECK(loss.title == "Loss, log scale");
  // log10 spans from -1 to 2.3, with 5 % of air.
  const double span = 1.1 * std::log10(2000.0);
  const double y = 232.0 - (1.0 + 0.05 * std::log10(2000.0)) / span * 188.0;  // of 1
  CHECK(contains(loss.body, text_at(40.0, y + 4.0, "muted end", "1")));
  CHECK(contains(loss.body, ">0.1</text>"));
  CHECK(contains(loss.body, ">100</text>"));
  // What has no logarithm keeps the linear axis.
  rows.back().train_loss = 0.0;
  CHECK(curve_figures(rows, 4)[0].title == "Loss");
}

void add(ConfusionMatrix& confusion, std::int64_t truth, std::int64_t predicted, int times) {
  std::vector<float> logits(static_cast<std::size_t>(confusion.classes()), 0.0F);
  logits[static_cast<std::size_t>(predicted)] = 1.0F;
  for (int i = 0; i < times; ++i) {
    confusion.add(Tensor::from_vector<float>(logits, {1, confusion.classes()}),
                  Tensor::from_vector<std::int64_t>({truth}, {1}));
  }
}

TEST_CASE("confusion_figure: counts stand in their squares, the darker the larger the share") {
  ConfusionMatrix confusion(3);
  add(confusion, 0, 0, 4);
  add(confusion, 1, 1, 9);
  add(confusion, 1, 0, 3);
  CHECK(confusion.images_of(1) == 12);
  const std::string cat = "<cat> & \"co\"";
  Figure figure =
      confusion_figure(confusion, {cat, "猫に似た犬の名前はとても長いものですからね", "none"});
  check_well_formed({figure});
  CHECK(figure.title == "Confusion matrix, accuracy 81.25 %");
  CHECK(contains(figure.body, "d=\"M1 1h0.95v0.95h-0.95z\" class=\"blue\" fill-opacity=\"0.75\""));
  CHECK(contains(figure.body, "class=\"orange\" fill-opacity=\"0.50\""));  // root of 3/12
  CHECK(contains(figure.body, ">9</text>"));
  CHECK(contains(figure.body, ">75.00 %</text>"));
  CHECK(contains(figure.body, ">猫に似た犬の名前はとても長いものですか…</text>"));
  CHECK(message_of<Error>([&] { confusion_figure(confusion, {"cat"}); }) ==
        "confusion_figure: there are 1 names of 3 classes");

  ConfusionMatrix large(1000);
  add(large, 7, 7, 2);
  add(large, 7, 990, 2);
  std::vector<std::string> names(1000, "class");
  names[20] = "twenty";
  figure = confusion_figure(large, names);
  check_well_formed({figure});
  CHECK(contains(figure.body, "d=\"M7 7h2v2h-2z\" class=\"blue\" fill-opacity=\"0.50\""));
  CHECK(contains(figure.body, "d=\"M990 7h2v2h-2z\" class=\"orange\" fill-opacity=\"0.75\""));
  CHECK(count(figure.body, ">twenty</text>") == 2);
  CHECK(count(figure.body, "</text>") == 200);  // every tenth has room
  CHECK(figure.width < 1200.0);
  check_well_formed({confusion_figure(ConfusionMatrix(100), std::vector<std::string>(100))});
}

TEST_CASE("filter_figure: a square for each weight, zero grey") {
  Tensor filters = Tensor::zeros({2, 1, 2, 1});
  filters.data_as<float>()[0] = 2.0F;
  filters.data_as<float>()[1] = -1.0F;
  const Figure figure = filter_figure(filters, "conv1 <weight>");
  check_well_formed({figure});
  CHECK(contains(figure.body,
                 "<path fill=\"#ffffff\" d=\"M0 0h1v1h-1z\"/>"
                 "<path fill=\"#404040\" d=\"M0 1h1v1h-1z\"/>"));
  CHECK(count(figure.body, "#808080") == 2);
  CHECK_THROWS_AS(filter_figure(Tensor::zeros({3, 3}), ""), ShapeError);
}

TEST_CASE("savings_figure: the shares of the table, for convolutions alone") {
  const auto model = make_model("lenet5");
  const ModelTable table = trace_model(*model, {1, 28, 28, 1});
  const Figure figure = savings_figure(table, "LeNet");
  check_well_formed({figure});
  CHECK(contains(figure.note, "of a whole training step 18.36 %"));
  CHECK(contains(figure.body, ">conv1</text>"));
  CHECK_FALSE(contains(figure.body, "fc1"));
  CHECK(count(figure.body, ">8.39 %</text>") == 2);
  CHECK(contains(figure.body, ">–</text>"));  // nobody needs the input gradient of conv1
  CHECK(contains(figure.body, ">KS-deconv</text>"));
  const auto autoencoder = make_model("autoencoder");
  CHECK(contains(savings_figure(trace_model(*autoencoder, {1, 28, 28, 1}), "").body, ">decoder."));
  CHECK_FALSE(has_convolution({}));
  CHECK_THROWS_AS(savings_figure({}, ""), Error);
}

TEST_CASE("report_page: what there is is shown, what is missing left out") {
  RunReport report{.model = "net<5>", .dataset = "cats & dogs"};
  report.summary.interrupted = true;
  report.config["flags"] = {{"data-dir", "<\"é\">"}, {"preset", ""}};
  std::string page = report_page(report);
  CHECK(fault(page) == "");
  CHECK(contains(page, "<title>net&lt;5&gt; on cats &amp; dogs</title>"));
  CHECK(contains(page, "Interrupted before its first evaluation<"));
  CHECK(contains(page, "<dt>data-dir</dt><dd>&lt;&quot;é&quot;&gt;</dd>"));
  CHECK_FALSE(contains(page, "<svg"));
  CHECK_FALSE(contains(page, "accuracy"));

  TrainSummary& summary = report.summary;
  summary.epochs = 2;
  summary.test_accuracy = 0.9;
  summary.best_test_accuracy = 0.95;
  summary.best_epoch = 1;
  report.rows = {{.epoch = 1, .test_accuracy = 0.95}, {.epoch = 2, .test_accuracy = 0.9}};
  report.confusion.emplace(2);
  add(*report.confusion, 1, 0, 3);
  report.class_names = {"cat", "dog"};
  report.filters = Tensor::zeros({4, 3, 3, 3});
  const auto model = make_model("lenet5");
  report.layers = trace_model(*model, {1, 28, 28, 1});
  report.sheets = {{"Mis<takes>", "Test images & more.", {{"PNG!", "dog & cat"}, {"PNG!"}}}};
  page = report_page(report);
  CHECK(fault(page) == "");
  CHECK(count(page, "<svg ") == 5);
  CHECK(contains(page, "<b>95.00 %</b><span>best, in epoch 1, chosen on the test half</span>"));
  CHECK(contains(page, "<tr><td>dog</td><td>cat</td><td>3</td><td>100.00 %</td></tr>"));
  CHECK(count(page, "src=\"data:image/png;base64,UE5HIQ==\"") == 2);
  CHECK(contains(page, "<h2>Mis&lt;takes&gt;</h2>"));
  CHECK(contains(page, "alt=\"dog &amp; cat\""));
  CHECK(contains(page, "<figcaption>dog &amp; cat</figcaption>"));
  for (const char* elsewhere : {"<script", "<link", "@import", "url("}) {
    CHECK_FALSE(contains(page, elsewhere));
  }
  report.has_accuracy = false;
  report.confusion.reset();
  CHECK_FALSE(contains(report_page(report), "ccuracy"));

  const testing::ScratchFolder scratch;
  const RunFolder folder = RunFolder::create(scratch / "run");
  write_report(folder, report);
  CHECK(fault(read_file(folder.report_file())) == "");
  for (const char* name : {"curves.svg", "filters.svg", "savings.svg"}) {
    CHECK(fault(read_file(folder.file(name))) == "");
  }
}

}  // namespace
}  // namespace cks::apps
