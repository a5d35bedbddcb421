// The same convolution, timed against itself: what is only noise, and what measures are left when
// it is taken away. With "--record" prints new times for measured_times.inc.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <string>

#include "cks/cks.h"
#include "drawing.h"

namespace {

using Times = std::vector<double>;  // microseconds

struct Measured {
  Times blocks[2];  // first all of A, then all of B
  Times turns[2];   // A, B, A, B, ...
  double first = 0;
};

const Measured kRecorded = {
#include "measured_times.inc"
};

double time_of(const cks::Tensor& x, const cks::Tensor& w) {
  const auto begin = std::chrono::steady_clock::now();
  cks::conv2d(x, w, {}, {.padding = 1});
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
      .count();
}

Measured measure(int count) {
  const cks::NoGradGuard no_grad;
  const cks::Tensor x = cks::Tensor::full({8, 32, 32, 32}, 0.1);
  const cks::Tensor w = cks::Tensor::full({32, 3, 3, 32}, 0.1);
  Measured m;
  m.first = time_of(x, w);
  for (Times& block : m.blocks) {
    for (int i = 0; i < count; ++i) {
      block.push_back(time_of(x, w));
    }
  }
  for (int i = 0; i < count; ++i) {
    for (Times& turn : m.turns) {
      turn.push_back(time_of(x, w));
    }
  }
  return m;
}

double mean(const Times& times) {
  double sum = 0;
  for (const double time : times) {
    sum += time;
  }
  return sum / static_cast<double>(times.size());
}

/// The time below which the share lies: 0.5 is the median.
double quantile(Times times, double share) {
  std::sort(times.begin(), times.end());
  return times[static_cast<std::size_t>(share * static_cast<double>(times.size() - 1))];
}

/// Half of the resampled medians' range that holds 90 % of them: how far the median can be trusted.
double uncertainty(const Times& times) {
  cks::RandomStream stream(cks::make_random_key(1, cks::RandomPurpose::data, "bootstrap"));
  Times medians;
  for (int i = 0; i < 1000; ++i) {
    Times drawn;
    for (std::size_t k = 0; k < times.size(); ++k) {
      drawn.push_back(times[stream.below(static_cast<std::uint32_t>(times.size()))]);
    }
    medians.push_back(quantile(drawn, 0.5));
  }
  return (quantile(medians, 0.95) - quantile(medians, 0.05)) / 2;
}

void print(const char* how, const Times (&pair)[2], std::FILE* out) {
  for (int side = 0; side < 2; ++side) {
    const Times& times = pair[side];
    std::fprintf(out, "%s %c  mean %6.0f  median %6.0f +- %3.0f  least %6.0f  greatest %6.0f us\n",
                 how, "AB"[side], mean(times), quantile(times, 0.5), uncertainty(times),
                 quantile(times, 0), quantile(times, 1));
  }
  std::fprintf(out, "%s B / A  of means %.2f  of medians %.2f\n", how,
               mean(pair[1]) / mean(pair[0]), quantile(pair[1], 0.5) / quantile(pair[0], 0.5));
}

void report(const Measured& m, std::FILE* out) {
  std::fprintf(out, "the first call takes %.0f us\n", m.first);
  print("in blocks", m.blocks, out);
  print("in turns ", m.turns, out);
}

void record(const Measured& m) {
  const auto list = [](const Times& times) {
    std::printf("{");
    for (std::size_t i = 0; i < times.size(); ++i) {
      std::printf("%s%.0f", i == 0 ? "" : i % 16 == 0 ? ",\n" : ", ", times[i]);
    }
    std::printf("}");
  };
  const auto both = [&](const Times(&pair)[2]) {
    std::printf("{");
    list(pair[0]);
    std::printf(",\n");
    list(pair[1]);
    std::printf("},\n");
  };
  both(m.blocks);
  both(m.turns);
  std::printf("%.0f\n", m.first);
}

void draw(const Measured& m, int argc, char** argv) {
  book::Drawing drawing(640, 190);
  // Each step of the scale is a factor of ten: 500 us to 50 ms.
  const auto y = [](double time) { return 165 - 72.5 * std::log10(time / 500); };
  const auto dots = [&](const Times& times, double x, double step, const char* fill) {
    for (const double time : times) {
      drawing.box(x - 1.5, y(time) - 1.5, 3, 3, fill);
      x += step;
    }
  };
  const auto count = static_cast<double>(m.turns[0].size());
  const double step = 290 / (2 * count);
  dots(m.blocks[0], 40, step, "dot-a");
  dots(m.blocks[1], 185, step, "dot-b");
  dots(m.turns[0], 345, 2 * step, "dot-a");
  dots(m.turns[1], 345 + step, 2 * step, "dot-b");
  const auto median = [&](const Times& times, double x, double width, const char* line) {
    drawing.line(x, y(quantile(times, 0.5)), x + width, y(quantile(times, 0.5)), line);
  };
  median(m.blocks[0], 40, 145, "line-e");
  median(m.blocks[1], 185, 145, "line-b");
  median(m.turns[0], 345, 290, "line-e");
  median(m.turns[1], 345, 290, "line-b");
  drawing.line(36, 20, 36, 165, "stroke");
  drawing.line(36, 165, 635, 165, "stroke");
  for (const int milliseconds : {1, 10}) {
    drawing.text(32, y(1000.0 * milliseconds) + 4, std::to_string(milliseconds) + " ms", "end");
    drawing.line(36, y(1000.0 * milliseconds), 635, y(1000.0 * milliseconds), "faint");
  }
  drawing.text(40, 184, "A, then B (orange)");
  drawing.text(345, 184, "A and B in turns");
  drawing.save(argc, argv,
               "Times of the same convolution, in blocks and in turns, with their medians");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "--record") == 0) {
    record(measure(80));
    return 0;
  }
  report(kRecorded, stdout);
  std::fprintf(stderr, "on this machine, now:\n");
  report(measure(20), stderr);
  draw(kRecorded, argc, argv);
  return 0;
}
