// Which cache lines a warp reads at one moment, rung by rung: the ladder's own index functions, on
// tensors whose elements are their own addresses.
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "apps/ladder/passes.h"
#include "drawing.h"

namespace {

using namespace cks::ladder;

/// 1, 2, 3, ...: element i says that it is element i; 0 stays for what lies outside.
std::vector<float> addresses(int count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), 1.0F);
  return values;
}

/// Lines of 32 floats.
struct Lines {
  std::size_t left, right;
};

/// Of the 32 threads that compute `warp` times 32 and the next 31 elements, at their term k;
/// neighbours along rows (rung 1) or columns (rung 2).
template <class Pass>
Lines lines_of(const Pass& pass, bool along_rows, int warp, int k) {
  std::set<int> left, right;
  for (int i = 32 * warp; i < 32 * warp + 32; ++i) {
    const int m = along_rows ? i % pass.rows() : i / pass.columns();
    const int n = along_rows ? i / pass.rows() : i % pass.columns();
    for (const auto& [lines, value] :
         {std::pair{&left, pass.left(m, k)}, {&right, pass.right(k, n)}}) {
      if (value != 0) {
        lines->insert((static_cast<int>(value) - 1) / 32);
      }
    }
  }
  return {left.size(), right.size()};
}

}  // namespace

int main(int argc, char** argv) {
  const Sizes s{8, 8, 8, 64, 64, 3, 3, 8, 8, 1, 1, 1, 1};
  const std::vector<float> x = addresses(s.N * s.IH * s.IW * s.IC);
  const std::vector<float> w = addresses(s.OC * s.FH * s.FW * s.IC);
  const std::vector<float> dy = addresses(s.N * s.OH * s.OW * s.OC);
  book::Drawing drawing(640, 190);
  std::printf(
      "cache lines that a warp reads for one term\n                 one thread an output    "
      "coalesced\n");
  double y = 6;
  const auto show = [&](const char* name, const auto& pass, int k) {
    const Lines lines[] = {lines_of(pass, true, 0, k), lines_of(pass, false, 0, k)};
    std::printf("%-16s %7zu + %zu %18zu + %zu\n", name, lines[0].left, lines[0].right,
                lines[1].left, lines[1].right);
    drawing.text(0, y + 24, name);
    for (const auto& [left, right] : lines) {
      drawing.box(130, y, 10.5 * static_cast<double>(left), 16, "fill-a");
      drawing.box(130 + 10.5 * static_cast<double>(left), y, 10.5 * static_cast<double>(right), 16,
                  "fill-b");
      drawing.text(136 + 10.5 * static_cast<double>(left + right), y + 13,
                   &left == &lines[0].left ? "neighbouring rows" : "neighbouring columns");
      y += 20;
    }
    y += 12;
    return lines[1].left + lines[1].right <= lines[0].left + lines[0].right;
  };
  // At the middle tap, and at output (3, 3): no padding.
  bool right = show("forward", Forward{s, x.data(), w.data()}, 4 * s.IC);
  right = show("backward_data", BackwardData{s, dy.data(), w.data()}, 4 * s.OC) && right;
  right = show("backward_filter", BackwardFilter{s, dy.data(), x.data()}, 27) && right;
  drawing.cell(130, 166, 70, 18, "left", "fill-a");
  drawing.cell(206, 166, 70, 18, "right", "fill-b");
  drawing.save(argc, argv,
               "Cache lines read by a warp for one term, with neighbouring rows and with "
               "neighbouring columns, for each pass");
  return right ? 0 : 1;
}
