#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include "tests/kernels/conv2d/conv2d_harness.h"

// Recomputes every number of kernels/conv2d/ALGORITHMS.md with the kernels it explains.

using cks::DType;
using cks::kernels::Conv2dPass;
using cks::kernels::Conv2dPlan;
using cks::kernels::Conv2dProblem;
using namespace cks::testing;  // NOLINT(google-build-using-namespace): this is a test

namespace {

struct Numbers {
  std::int64_t rows = 0, columns = 0;
  std::vector<double> values;

  double at(std::int64_t r, std::int64_t c) const {
    return values[static_cast<std::size_t>(r * columns + c)];
  }
};

struct Document {
  std::map<std::string, Numbers> blocks;               // by name
  std::vector<std::vector<std::string>> savings_rows;  // the cells of the last table, header first
};

std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells;
  std::istringstream stream(line.substr(1));
  for (std::string cell; std::getline(stream, cell, '|');) {
    const std::size_t begin = cell.find_first_not_of(' ');
    const std::size_t end = cell.find_last_not_of(' ');
    if (begin != std::string::npos) {
      cells.push_back(cell.substr(begin, end - begin + 1));
    }
  }
  return cells;
}

/// Blocks are "    name [RxC]" followed by R lines of C numbers.
Document read_document() {
  Document document;
  std::ifstream file(CKS_ALGORITHMS_MD);
  REQUIRE_MESSAGE(file.good(), "cannot open " CKS_ALGORITHMS_MD);
  const std::regex header(R"(    (\S.*) \[(\d+)x(\d+)\])");
  for (std::string line; std::getline(file, line);) {
    std::smatch match;
    if (std::regex_match(line, match, header)) {
      Numbers numbers{std::stoll(match[2]), std::stoll(match[3]), {}};
      const std::string name = match[1];
      CAPTURE(name);
      for (std::int64_t row = 0; row < numbers.rows; ++row) {
        std::getline(file, line);
        std::istringstream stream(line);
        std::size_t count = 0;
        for (double value = 0.0; stream >> value; ++count) {
          numbers.values.push_back(value);
        }
        REQUIRE(count == static_cast<std::size_t>(numbers.columns));
        REQUIRE(stream.eof());
      }
      REQUIRE(document.blocks.emplace(name, numbers).second);
    } else if (line.rfind("| map |", 0) == 0) {
      document.savings_rows.push_back(cells_of(line));
    } else if (!document.savings_rows.empty() && line.rfind("| ", 0) == 0 &&
               std::isdigit(static_cast<unsigned char>(line[2])) != 0) {
      document.savings_rows.push_back(cells_of(line));
    }
  }
  return document;
}

const Document& document() {
  static const Document read = read_document();
  return read;
}

const Numbers& numbers(const std::string& name) {
  const auto found = document().blocks.find(name);
  REQUIRE_MESSAGE(found != document().blocks.end(), "ALGORITHMS.md has no block " << name);
  return found->second;
}

double sum(const Numbers& block) {
  double total = 0.0;
  for (const double value : block.values) {
    total += value;
  }
  return total;
}

/// One image, one channel, square.
ListedProblem example(std::int64_t map, std::int64_t filter, std::int64_t padding,
                      std::int64_t stride) {
  return {"example",
          {.IH = map, .IW = map, .FH = filter, .FW = filter, .stride = stride, .padding = padding}};
}

/// Checks one pass by every plan against a block; returns the multiply-adds, the same for all.
std::int64_t check_block(Conv2dPass pass, const Conv2dProblem& p, const Conv2dValues& values,
                         bool with_bias, const std::string& name) {
  const Numbers& expected = numbers(name);
  std::int64_t executed = 0;
  for (const Conv2dPlan& plan :
       cks::kernels::possible_plans(pass, p, cks::kernels::describe_cpu())) {
    Conv2dMemory memory(pass, p, values, with_bias);
    executed = memory.run(plan);
    const Comparison same = compare(memory.result(), expected.values);
    CHECK_MESSAGE(same.ok, name << ", plan " << plan.to_string() << ": " << same.message);
    CHECK(executed == exact_multiply_adds(p));
  }
  return executed;
}

Conv2dValues ones(const Conv2dProblem& p) {
  Conv2dValues values = make_values(p, Fill::reals, 0);
  for (auto* tensor : {&values.x, &values.w, &values.y}) {
    std::fill(tensor->begin(), tensor->end(), 1.0);
  }
  return values;
}

}  // namespace

TEST_CASE("ALGORITHMS.md: the ConvV2 example") {
  const Conv2dProblem p = example(4, 3, 1, 1).at(DType::float32);
  Conv2dValues values = make_values(p, Fill::reals, 0);
  values.x = numbers("X").values;
  values.w = numbers("W").values;
  const std::int64_t executed = check_block(Conv2dPass::forward, p, values, false, "Y");
  // Where everything is 1, a result is the number of its products.
  check_block(Conv2dPass::forward, p, ones(p), false, "live taps");
  CHECK(sum(numbers("live taps")) == static_cast<double>(executed));
  const Numbers counts = numbers("multiply-adds, ConvV2 and plain");
  CHECK(counts.at(0, 0) == static_cast<double>(executed));
  CHECK(counts.at(0, 1) == static_cast<double>(plain_multiply_adds(Conv2dPass::forward, p)));

  const Numbers taps = numbers("trimmed filter");
  const Numbers pixels = numbers("pixels");
  double corner = 0.0;
  for (std::int64_t r = 0; r < 2; ++r) {
    for (std::int64_t c = 0; c < 2; ++c) {
      CHECK(taps.at(r, c) == numbers("W").at(r + 1, c + 1));
      CHECK(pixels.at(r, c) == numbers("X").at(r, c));
      corner += taps.at(r, c) * pixels.at(r, c);
    }
  }
  CHECK(corner == numbers("Y").at(0, 0));
}

TEST_CASE("ALGORITHMS.md: the KS-deconv example") {
  const Conv2dProblem p = example(4, 3, 1, 2).at(DType::float32);
  Conv2dValues values = make_values(p, Fill::reals, 0);
  values.w = numbers("W").values;
  values.y = numbers("dY").values;
  const std::int64_t executed = check_block(Conv2dPass::backward_data, p, values, false, "dX");
  check_block(Conv2dPass::backward_data, p, ones(p), false, "live taps of dX");
  CHECK(sum(numbers("live taps of dX")) == static_cast<double>(executed));

  // Each class is a stride-1 correlation of dY with its own filter, trimmed at the border: output
  // row j reads rows j, j+1, ... of dY as far as they exist.
  double untrimmed = 0.0;
  for (std::int64_t a = 0; a < 2; ++a) {
    for (std::int64_t b = 0; b < 2; ++b) {
      const std::string name = "(" + std::to_string(a) + "," + std::to_string(b) + ")";
      CAPTURE(name);
      const Numbers filter = numbers("filter of class " + name);
      const Numbers result = numbers("dX of class " + name);
      const std::int64_t rows[2][2] = {{1, 1}, {2, 0}};  // T_0 and T_1 in the order of outputs
      CHECK(filter.rows == a + 1);
      CHECK(filter.columns == b + 1);
      untrimmed += static_cast<double>(filter.rows * filter.columns * 4);
      Conv2dProblem dense = example(2, 1, 0, 1).at(DType::float32);
      dense.FH = filter.rows;
      dense.FW = filter.columns;
      dense.pb = filter.rows - 1;
      dense.pr = filter.columns - 1;
      Conv2dValues class_values = make_values(dense, Fill::reals, 0);
      class_values.x = numbers("dY").values;
      class_values.w = filter.values;
      check_block(Conv2dPass::forward, dense, class_values, false, "dX of class " + name);
      for (std::int64_t r = 0; r < filter.rows; ++r) {
        for (std::int64_t c = 0; c < filter.columns; ++c) {
          CHECK(filter.at(r, c) == numbers("W").at(rows[a][r], rows[b][c]));
        }
      }
      for (std::int64_t j = 0; j < 2; ++j) {
        for (std::int64_t k = 0; k < 2; ++k) {
          CHECK(result.at(j, k) == numbers("dX").at(a + 2 * j, b + 2 * k));
        }
      }
    }
  }
  const Numbers counts = numbers("multiply-adds, KS-deconv, untrimmed, and plain");
  CHECK(counts.at(0, 0) == static_cast<double>(executed));
  CHECK(counts.at(0, 1) == untrimmed);
  CHECK(counts.at(0, 2) == static_cast<double>(plain_multiply_adds(Conv2dPass::backward_data, p)));
}

TEST_CASE("ALGORITHMS.md: the Sk-dilated example") {
  const Conv2dProblem p = example(4, 3, 1, 2).at(DType::float32);
  Conv2dValues values = make_values(p, Fill::reals, 0);
  values.x = numbers("X").values;
  values.y = numbers("dY").values;
  const std::int64_t executed = check_block(Conv2dPass::backward_filter, p, values, false, "dW");
  check_block(Conv2dPass::backward_filter, p, ones(p), false, "pairs of each tap");
  CHECK(sum(numbers("pairs of each tap")) == static_cast<double>(executed));
  const Numbers counts = numbers("multiply-adds, Sk-dilated, with padding, with inserted zeros");
  CHECK(counts.at(0, 0) == static_cast<double>(executed));
  CHECK(counts.at(0, 1) ==
        static_cast<double>(plain_multiply_adds(Conv2dPass::backward_filter, p)));
  const std::int64_t inserted_rows = (p.OH - 1) * p.sh + 1;
  const std::int64_t inserted_columns = (p.OW - 1) * p.sw + 1;
  CHECK(counts.at(0, 2) == static_cast<double>(p.FH * p.FW * inserted_rows * inserted_columns));
}

TEST_CASE("ALGORITHMS.md: the transposed convolution is dX plus the bias") {
  ListedProblem listed = example(2, 3, 1, 2);
  listed.transposed = true;
  CHECK(listed.at(DType::float32).IH == 3);
  listed.output_padding = 1;
  const Conv2dProblem p = listed.at(DType::float32);
  Conv2dValues values = make_values(p, Fill::reals, 0);
  values.w = numbers("W").values;
  values.y = numbers("dY").values;
  values.x_bias = {10.0};
  check_block(Conv2dPass::backward_data, p, values, true, "transposed convolution");
}

TEST_CASE("ALGORITHMS.md: every block of numbers is checked here") {
  // A new block must come with a check above; then this number rises.
  CHECK(document().blocks.size() == 23);
}

TEST_CASE("ALGORITHMS.md: the table of savings") {
  const auto& rows = document().savings_rows;
  REQUIRE(rows.size() == 12);
  const std::regex heading(R"((forward|dX) (\d+)x\d+ p(\d+) s(\d+))");
  for (std::size_t r = 1; r < rows.size(); ++r) {
    REQUIRE(rows[r].size() == rows[0].size());
    for (std::size_t c = 1; c < rows[0].size(); ++c) {
      std::smatch match;
      REQUIRE(std::regex_match(rows[0][c], match, heading));
      CAPTURE(rows[0][c]);
      CAPTURE(rows[r][0]);
      const Conv2dPass pass = match[1] == "dX" ? Conv2dPass::backward_data : Conv2dPass::forward;
      const Conv2dProblem p = example(std::stoll(rows[r][0]), std::stoll(match[2]),
                                      std::stoll(match[3]), std::stoll(match[4]))
                                  .at(DType::float32);
      Conv2dMemory memory(pass, p, ones(p), false);
      const std::int64_t executed = memory.run(select(pass, p, cks::kernels::describe_cpu()));
      const double saved = 100.0 * (1.0 - static_cast<double>(executed) /
                                              static_cast<double>(plain_multiply_adds(pass, p)));
      CHECK(std::abs(saved - std::stod(rows[r][c])) <= 0.05 + 1e-9);
      // The text says of the filter gradient that it saves what forward saves.
      if (pass == Conv2dPass::forward) {
        Conv2dMemory filter(Conv2dPass::backward_filter, p, ones(p), false);
        CHECK(filter.run(select(Conv2dPass::backward_filter, p, cks::kernels::describe_cpu())) ==
              executed);
      }
    }
  }
}
