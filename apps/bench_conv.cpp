// bench_conv: times every plan of every pass of a convolution, checks it against the float64
// reference, says how many multiply-adds it skips, and lets cuDNN do the same where it was found
// when this program was built.
//
//   bench_conv --shapes resnet20            median microseconds of the selected plans
//   bench_conv --shapes anchors --device cuda --algorithm all
//   bench_conv --shapes "64x2x2x512,512,k3,s1,p1" --check
#include <array>
#include <cstdio>
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
#include "cks/kernels/common/parallel_for.h"

namespace {

using cks::apps::ConvTiming;
using cks::apps::ConvTimingOptions;
using cks::apps::ConvTimingRow;

#if defined(CKS_HAS_CUDNN)
constexpr bool kHasCudnn = true;
#else
constexpr bool kHasCudnn = false;
#endif

template <class... Values>
std::string format(const char* pattern, Values... values) {
  std::array<char, 512> buffer{};
  std::snprintf(buffer.data(), buffer.size(), pattern, values...);
  return buffer.data();
}

struct Rates {
  double tflops, skipped, executed_over_exact;
  explicit Rates(const ConvTimingRow& row)
      : tflops(2e-6 * static_cast<double>(row.plain) / row.times.median_us),
        skipped(1.0 - static_cast<double>(row.executed) / static_cast<double>(row.plain)),
        executed_over_exact(static_cast<double>(row.executed) / static_cast<double>(row.exact)) {}
};

std::string json_of(const ConvTimingRow& row, const ConvTimingOptions& options) {
  const Rates rates(row);
  std::string text = format(
      R"({"name": "%s", "pass": "%s", "algorithm": "%s", "device": "%s", "median_us": %.2f, )",
      row.name.c_str(), name_of(row.plan.pass), row.plan.method(),
      options.device.to_string().c_str(), row.times.median_us);
  text +=
      format(R"("min_us": %.2f, "max_us": %.2f, "plain_tflops": %.4f, "skipped_percent": %.2f, )",
             row.times.min_us, row.times.max_us, rates.tflops, 100.0 * rates.skipped);
  text += format(
      R"("executed_over_exact": %.4f, "kernel": "%s", "tile": "%lldx%lld", "split_k": %lld)",
      rates.executed_over_exact, row.plan.kernel.c_str(),
      static_cast<long long>(row.plan.tile.rows), static_cast<long long>(row.plan.tile.columns),
      static_cast<long long>(row.plan.split_k));
  if (row.error) {
    text += format(R"(, "max_error": %.3g)", *row.error);
  }
#if defined(CKS_HAS_CUDNN)
  if (!row.cudnn_layout.empty()) {
    text += format(
        R"(, "cudnn_us": %.2f, "cudnn_min_us": %.2f, "cudnn_max_us": %.2f, "cudnn_layout": "%s", )",
        row.cudnn_times.median_us, row.cudnn_times.min_us, row.cudnn_times.max_us,
        row.cudnn_layout.c_str());
    text += format(R"("cudnn_algorithm": %s, "cudnn_version": %lld)", row.cudnn_algorithm.c_str(),
                   cks::apps::cudnn_version());
  }
#endif
  return text + "}\n";
}

std::string header(const ConvTimingOptions& options) {
  return format("%-26s %-15s %-18s %10s %10s %9s %10s %8s%s%s\n", "shape", "pass", "algorithm",
                "median us", "min us", "TFLOP/s*", "skipped", "exec/V",
                options.check ? "  max error" : "", options.cudnn ? "   cuDNN us" : "");
}

std::string line_of(const ConvTimingRow& row) {
  const Rates rates(row);
  const std::string method = row.plan.kernel + " " + std::to_string(row.plan.tile.rows) + "x" +
                             std::to_string(row.plan.tile.columns);
  std::string text =
      format("%-26s %-15s %-18s %10.1f %10.1f %9.3f %8.1f %% %8.3f", row.name.c_str(),
             name_of(row.plan.pass), method.c_str(), row.times.median_us, row.times.min_us,
             rates.tflops, 100.0 * rates.skipped, rates.executed_over_exact);
  if (row.error) {
    text += format(" %10.2g", *row.error);
  }
  if (!row.cudnn_layout.empty()) {
    text += format(" %10.1f %s", row.cudnn_times.median_us, row.cudnn_layout.c_str());
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

/// Serves shapes from stdin, line by line, until it ends. The last shape's operands are kept, so
/// that a script which compares programs can ask for the same shape several times.
void serve(const ConvTimingOptions& options, Output& output) {
  std::unique_ptr<ConvTiming> bench;
  for (std::string line; std::getline(std::cin, line);) {
    for (const cks::apps::NamedShape& shape : cks::apps::parse_shapes(line)) {
      if (bench == nullptr || bench->name() != shape.name) {
        bench.reset();  // its memory first
        bench = std::make_unique<ConvTiming>(shape, options);
      }
      output.add(bench->run());
    }
  }
}

int run(int argc, char** argv) {
  ConvTimingOptions options;
  std::string shapes = "resnet20";
  std::string device = "cpu";
  std::string cudnn = "auto";
  std::int64_t threads = cks::kernels::num_threads();
  std::optional<std::string> json;
  bool list = false;
  cks::apps::Flags flags("bench_conv", "Times the plans of convolutions, pass by pass.");
  flags.add("shapes", shapes,
            "anchors, lenet, resnet20, or NxIHxIWxIC,OC,k3,s1,p1 separated by semicolons; -: lines "
            "of these from stdin");
  flags.add_choice("pass", options.pass, {"all", "forward", "backward_data", "backward_filter"},
                   "which pass");
  flags.add("algorithm", options.algorithm,
            "selected, all, or the name of a method or kernel, such as convv2, tiled or reference");
  flags.add("device", device, "auto, cpu, cuda or cuda:N");
  flags.add("seconds", options.seconds, "time spent on each plan", 0.0, 3600.0);
  flags.add("threads", threads, "threads", 1, 1024);
  flags.add_switch("check", options.check, "compare with the float64 reference (slow)");
  flags.add_choice("cudnn", cudnn, {"auto", "on", "off"},
                   "time cuDNN as well; auto: on a GPU, if this program was built with it");
  flags.add_switch("list", list, "print the names and sizes of the shapes, and end");
  flags.add_optional("json", json, "one JSON object a line, on stdout or in the file named");
  if (const auto code = flags.parse(argc, argv)) {
    return *code;
  }
  if (list) {
    for (const cks::apps::NamedShape& shape : cks::apps::parse_shapes(shapes)) {
      std::cout << shape.name << " " << cks::apps::text_of(shape.problem) << "\n";
    }
    return 0;
  }
  cks::kernels::set_num_threads(static_cast<int>(threads));
  options.device = cks::choose_device(device);
  if (cudnn == "on" && !(kHasCudnn && options.device.is_cuda())) {
    throw cks::Error(kHasCudnn ? "--cudnn on: the device is " + options.device.to_string()
                               : "--cudnn on: this program was built without cuDNN");
  }
  options.cudnn = kHasCudnn && options.device.is_cuda() && cudnn != "off";

  Output output{options, json};
  if (shapes == "-") {
    serve(options, output);
  } else {
    // All shapes and plans are lawful before anything is printed.
    std::vector<std::unique_ptr<ConvTiming>> benches;
    for (const cks::apps::NamedShape& shape : cks::apps::parse_shapes(shapes)) {
      benches.push_back(std::make_unique<ConvTiming>(shape, options));
    }
    if (!json) {
      std::cout << header(options) << std::flush;
    }
    for (auto& bench : benches) {
      output.add(bench->run());
      bench.reset();
    }
    if (!json) {
      std::cout << "* plain-equivalent: skipped multiply-adds count as done\n";
    }
  }
  if (json && !json->empty()) {
    cks::write_file_atomically(*json, output.file);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return cks::apps::run_program([&] { return run(argc, argv); });
}
