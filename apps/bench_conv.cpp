// bench_conv: times every plan of every pass of a convolution, checks it against the float64
// reference, says how many multiply-adds it skips, and lets cuDNN do the same where it was found
// when this program was built.
//
//   bench_conv --shapes resnet20            median microseconds of the selected plans
//   bench_conv --shapes anchors --device cuda --algorithm all
//   bench_conv --shapes "64x2x2x512,512,k3,s1,p1" --check
#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/bench/conv_shapes.h"
#include "apps/bench/conv_timing.h"
#include "apps/cli/flags.h"
#include "apps/cli/program.h"
#include "cks/core/device/cuda.h"
#include "cks/core/error.h"
#include "cks/core/io/file.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/kernels/common/parallel_for.h"

namespace cks::apps {
namespace {

#if defined(CKS_HAS_CUDNN)
constexpr bool kHasCudnn = true;
#else
constexpr bool kHasCudnn = false;
#endif

struct Rates {
  double tflops, skipped, executed_over_exact;
  explicit Rates(const ConvTimingRow& row)
      : tflops(2e-6 * static_cast<double>(row.plain) / row.times.median_us),
        skipped(1.0 - static_cast<double>(row.executed) / static_cast<double>(row.plain)),
        executed_over_exact(static_cast<double>(row.executed) / static_cast<double>(row.exact)) {}
};

std::string json_of(const ConvTimingRow& row, const ConvTimingOptions& options) {
  const Rates rates(row);
  std::string text = formatted(
      R"({{"name": "{}", "pass": "{}", "algorithm": "{}", "mode": "{}", "arithmetic": "{}", )",
      row.name, row.plan.pass, row.plan.method(), options.mode, row.plan.arithmetic);
  text +=
      formatted(R"("device": "{}", "median_us": {:.2f}, )", options.device, row.times.median_us);
  text += formatted(
      R"("min_us": {:.2f}, "max_us": {:.2f}, "plain_tflops": {:.4f}, "skipped_percent": {:.2f}, )",
      row.times.min_us, row.times.max_us, rates.tflops, 100.0 * rates.skipped);
  text +=
      formatted(R"("executed_over_exact": {:.4f}, "kernel": "{}", "tile": "{}x{}", "split_k": {})",
                rates.executed_over_exact, row.plan.kernel, row.plan.tile.rows,
                row.plan.tile.columns, row.plan.split_k);
  if (row.error) {
    text += formatted(R"(, "max_error": {:.3g}, "l2_error": {:.4g})", *row.error, *row.l2_error);
  }
#if defined(CKS_HAS_CUDNN)
  if (row.cudnn) {
    const auto& [times, layout, algorithm] = *row.cudnn;
    text += formatted(R"(, "cudnn_us": {:.2f}, "cudnn_min_us": {:.2f}, "cudnn_max_us": {:.2f}, )",
                      times.median_us, times.min_us, times.max_us);
    text += formatted(R"("cudnn_layout": "{}", "cudnn_algorithm": {}, "cudnn_version": {})", layout,
                      algorithm, cudnn_version());
  }
#endif
  return text + "}\n";
}

std::string header(const ConvTimingOptions& options) {
  return formatted("{:26} {:15} {:23} {:>10} {:>10} {:>9} {:>10} {:>8}{}{}\n", "shape", "pass",
                   "algorithm", "median us", "min us", "TFLOP/s*", "skipped", "exec/V",
                   options.check ? "  max error" : "", options.cudnn ? "   cuDNN us" : "");
}

std::string line_of(const ConvTimingRow& row) {
  const Rates rates(row);
  const kernels::Conv2dPlan& plan = row.plan;
  std::string text = formatted(
      "{:26} {:15} {:23} {:10.1f} {:10.1f} {:9.3f} {:8.1f} % {:8.3f}", row.name, name_of(plan.pass),
      formatted("{} {} {}x{}", plan.arithmetic, plan.kernel, plan.tile.rows, plan.tile.columns),
      row.times.median_us, row.times.min_us, rates.tflops, 100.0 * rates.skipped,
      rates.executed_over_exact);
  text += row.error ? formatted(" {:10.2g}", *row.error) : "";
  if (row.cudnn) {
    text += formatted(" {:10.1f} {}", row.cudnn->times.median_us, row.cudnn->layout);
  }
  return text + "\n";
}

/// Where the rows go: a table or JSON lines on stdout, or JSON lines in a file.
struct Output {
  const ConvTimingOptions& options;
  const std::optional<std::string>& json;
  std::string file{};

  void add(const std::vector<ConvTimingRow>& rows) {
    for (const ConvTimingRow& row : rows) {
      const std::string text = json ? json_of(row, options) : line_of(row);
      if (json && !json->empty()) {
        file += text;
      } else {
        std::cout << text << std::flush;
      }
    }
  }
};

std::vector<Precision> parse_modes(const std::string& text) {
  std::vector<Precision> modes;
  for (const std::string& word : split(text, ',')) {
    const auto known = {Precision::fp32, Precision::tf32, Precision::bf16};
    const auto* const found = std::find_if(known.begin(), known.end(),
                                           [&](Precision mode) { return word == name_of(mode); });
    if (found == known.end()) {
      throw Error(formatted("--modes: '{}' is not one of fp32, tf32, bf16", word));
    }
    modes.push_back(*found);
  }
  if (modes.empty()) {
    throw Error("--modes: names no mode; one of fp32, tf32, bf16");
  }
  return modes;
}

/// Serves shapes from stdin, line by line, until it ends. The last shape's operands are kept, so
/// that a script which compares programs can ask for the same shape several times.
void serve(const ConvTimingOptions& options, Output& output) {
  std::unique_ptr<ConvTiming> bench;
  for (std::string line; std::getline(std::cin, line);) {
    for (const NamedShape& shape : parse_shapes(line)) {
      if (bench == nullptr || bench->name() != shape.name) {
        bench.reset();  // its memory first
        bench = std::make_unique<ConvTiming>(shape, options);
      }
      output.add(bench->run());
    }
  }
}

struct BenchFlags {
  ConvTimingOptions options;
  std::string shapes = "resnet20";
  std::string device = "cpu";
  std::string modes = "fp32";
  std::string cudnn = "auto";
  std::int64_t threads = 0;  // all cores
  std::optional<std::string> json;
  bool list = false;
};

void add_flags(Flags& parser, BenchFlags& flags) {
  parser.add(
      "shapes", flags.shapes,
      "anchors, lenet, resnet20, or NxIHxIWxIC,OC,k3,s1,p1 separated by semicolons; -: lines "
      "of these from stdin");
  parser.add_choice("pass", flags.options.pass,
                    {"all", "forward", "backward_data", "backward_filter"}, "which pass");
  parser.add(
      "algorithm", flags.options.algorithm,
      "selected, all, or the name of a method or kernel, such as convv2, tiled or reference");
  parser.add(
      "modes", flags.modes,
      "fp32, tf32, bf16 or several, separated by commas: what is multiplied; a mode that the "
      "device lacks is run in a better one, or refused");
  parser.add("device", flags.device, "auto, cpu, cuda or cuda:N");
  parser.add("seconds", flags.options.seconds, "time spent on each plan", 0.0, 3600.0);
  parser.add("threads", flags.threads, "compute threads; 0: all cores", 0, 1024);
  parser.add_switch("check", flags.options.check, "compare with the float64 reference (slow)");
  parser.add_choice("values", flags.options.values, {"signed", "positive"},
                    "of the operands: between -1 and 1, or 0 and 1, whose sums round more");
  parser.add_choice("cudnn", flags.cudnn, {"auto", "on", "off"},
                    "time cuDNN as well; auto: on a GPU, if this program was built with it");
  parser.add_switch("list", flags.list, "print the names and sizes of the shapes, and end");
  parser.add_optional("json", flags.json, "one JSON object a line, on stdout or in the file named");
  for (const char* name : {"pass", "algorithm", "modes", "device", "seconds", "threads", "check",
                           "values", "cudnn", "json"}) {
    parser.excludes(name, "list");
  }
}

/// Times the shapes; all of them and their plans are lawful before anything is printed.
void time_shapes(const std::vector<NamedShape>& shapes, Output& output) {
  auto benches = mapped(shapes, [&](const NamedShape& shape) {
    return std::make_unique<ConvTiming>(shape, output.options);
  });
  if (!output.json) {
    std::cout << header(output.options) << std::flush;
  }
  for (auto& bench : benches) {
    output.add(bench->run());
    bench.reset();
  }
  if (!output.json) {
    std::cout << "* plain-equivalent: skipped multiply-adds count as done\n";
  }
}

int run(int argc, char** argv) {
  BenchFlags flags;
  Flags parser("bench_conv", "Times the plans of convolutions, pass by pass.");
  add_flags(parser, flags);
  if (const auto code = parser.parse(argc, argv)) {
    return *code;
  }
  if (flags.list) {
    for (const NamedShape& shape : parse_shapes(flags.shapes)) {
      std::cout << shape.name << " " << text_of(shape.problem) << "\n";
    }
    return kExitOk;
  }
  if (flags.threads > 0) {
    kernels::set_num_threads(static_cast<int>(flags.threads));
  }
  flags.options.device = choose_device(flags.device);
  const bool can_run_cudnn = kHasCudnn && flags.options.device.is_cuda();
  if (flags.cudnn == "on" && !can_run_cudnn) {
    throw Error(kHasCudnn ? "--cudnn on: the device is " + flags.options.device.to_string()
                          : "--cudnn on: this program was built without cuDNN");
  }
  flags.options.cudnn = can_run_cudnn && flags.cudnn != "off";
  const std::vector<Precision> modes = parse_modes(flags.modes);
  if (flags.shapes == "-" && modes.size() != 1) {
    throw Error("--modes: shapes from stdin take one mode, got '" + flags.modes + "'");
  }
  Output output{flags.options, flags.json};
  for (const Precision mode : modes) {
    flags.options.mode = mode;
    if (flags.shapes == "-") {
      serve(flags.options, output);
    } else {
      time_shapes(parse_shapes(flags.shapes), output);
    }
  }
  if (flags.json && !flags.json->empty()) {
    write_file_atomically(*flags.json, output.file);
  }
  return kExitOk;
}

}  // namespace
}  // namespace cks::apps

int main(int argc, char** argv) { return cks::apps::run_program(cks::apps::run, argc, argv); }
