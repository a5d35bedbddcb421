// ladder: small kernels for each pass of a convolution, each with one more idea than the one
// before, compared with the float64 reference and timed beside the library's own. Chapter 11 of
// docs/book climbs it.
//
//   ladder                                         the CPU's rungs
//   ladder --device cuda --table docs/book/ladder_cuda.md
//   ladder --shape "3x7x5x2,3,k3,s2,p1" --seconds 0      compares alone
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "apps/bench/conv_shapes.h"
#include "apps/cli/device_flag.h"
#include "apps/cli/flags.h"
#include "apps/cli/program.h"
#include "apps/ladder/rungs.h"
#include "cks/core/capture/call_timer.h"
#include "cks/core/conv/conv_operands_impl.h"
#include "cks/core/conv/conv_plan.h"
#include "cks/core/conv/conv_report.h"
#include "cks/core/device/dispatch.h"
#include "cks/core/io/file.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/conv2d/conv2d.h"

#if !CKS_HAS_CUDA
namespace cks::ladder {
template <class Pass>
const std::vector<Rung<Pass>>& gpu_rungs() {
  static const std::vector<Rung<Pass>> none;
  return none;
}
}  // namespace cks::ladder
#endif

namespace cks::apps {
namespace {

using kernels::Conv2dPass;
using kernels::Conv2dProblem;
using ladder::Rung;

ladder::Sizes sizes_of(const Conv2dProblem& p) {
  for (const std::int64_t count :
       {p.N * p.IH * p.IW * p.IC, p.N * p.OH * p.OW * p.OC, p.OC * p.FH * p.FW * p.IC}) {
    if (count > std::numeric_limits<int>::max()) {
      throw Error("ladder: a tensor has more than 2^31 - 1 elements (" + kernels::to_string(p) +
                  ")");
    }
  }
  const auto n = [](std::int64_t value) { return static_cast<int>(value); };
  return {n(p.N),  n(p.IH), n(p.IW), n(p.IC), n(p.OC), n(p.FH), n(p.FW),
          n(p.OH), n(p.OW), n(p.sh), n(p.sw), n(p.pt), n(p.pl)};
}

/// What a rung took and did.
struct Row {
  std::string pass, rung;
  CallTimes times{};
  std::int64_t executed = 0;
  double error = 0.0;  // greatest, relative to the reference's greatest magnitude
  double most = 0.0;   // of it
};

class Ladder {
 public:
  Ladder(const NamedShape& shape, Device device, double seconds)
      : problem_(shape.problem),
        sizes_(sizes_of(problem_)),
        device_(device),
        seconds_(seconds),
        operands_(problem_, device),
        on_cpu_(problem_, Device::cpu()) {}

  std::vector<Row> climb() {
    const auto* x = operands_.x.data_as<float>();
    const auto* w = operands_.w.data_as<float>();
    const auto* dy = operands_.dy.data_as<float>();
    climb_pass(Conv2dPass::forward, ladder::Forward{sizes_, x, w});
    climb_pass(Conv2dPass::backward_data, ladder::BackwardData{sizes_, dy, w});
    climb_pass(Conv2dPass::backward_filter, ladder::BackwardFilter{sizes_, dy, x});
    return std::move(rows_);
  }

 private:
  template <class Pass>
  void climb_pass(Conv2dPass name, const Pass& pass) {
    const kernels::DeviceDescription cpu = describe_for_plans(Device::cpu());
    const kernels::PreparedConv2d reference = kernels::prepare_conv2d(
        problem_, kernels::force_plan("reference", name, problem_, cpu), cpu);
    Tensor expected = on_cpu_.make_result(name, DType::float32);
    Tensor memory = make_workspace(reference.plan, Device::cpu());
    on_cpu_.run(reference, expected, memory);
    const kernels::DeviceDescription description = describe_for_plans(device_);
    const bool on_gpu = device_.is_cuda();
    for (const Rung<Pass>& rung : on_gpu ? ladder::gpu_rungs<Pass>() : ladder::cpu_rungs<Pass>()) {
      if (rung.tensor_cores && description.compute_capability < 80) {
        continue;
      }
      add(name, rung.name, rung.tensor_cores ? 3e-3 : 2e-5, expected,
          [&](Tensor& result) { return rung.run(pass, result.data_as<float>()); });
    }
    const kernels::PreparedConv2d conv = kernels::prepare_conv2d(
        problem_, kernels::select(name, problem_, description), description);
    Tensor scratch = make_workspace(conv.plan, device_);
    add(name, formatted("the library, fp32: {}", conv.plan.kernel), 2e-5, expected,
        [&](Tensor& result) { return operands_.run(conv, result, scratch); });
  }

  template <class Run>
  void add(Conv2dPass pass, const std::string& rung, double most, const Tensor& expected, Run run) {
    Row row{.pass = kernels::name_of(pass), .rung = rung, .most = most};
    // What a rung forgets to write is no number.
    Tensor result = Tensor::full(expected.shape(), std::numeric_limits<double>::quiet_NaN(),
                                 DType::float32, device_);
    ops::select_cuda(device_);
    row.executed = run(result);
    row.error = relative_error(result, expected);
    if (seconds_ > 0.0) {
      row.times = CallTimer(device_, [&] { run(result); }).time(seconds_);
    }
    rows_.push_back(row);
  }

  Conv2dProblem problem_;
  ladder::Sizes sizes_;
  Device device_;
  double seconds_;
  ConvOperands operands_;
  ConvOperands on_cpu_;  // for the reference
  std::vector<Row> rows_{};
};

/// A table in Markdown for each shape.
std::string table_of(const NamedShape& shape, const std::vector<Row>& rows, double peak_tflops) {
  const auto v = static_cast<double>(kernels::exact_multiply_adds(shape.problem));
  std::string text = formatted("\n**{}**, V = {} multiply-adds\n\n", shape.name,
                               with_commas(static_cast<long long>(v)));
  text +=
      formatted("| pass | rung | median µs | least µs | gain | executed / V | V / s{} | error |\n",
                peak_tflops > 0 ? " (of the peak)" : "");
  text += "|---|---|---:|---:|---:|---:|---:|---:|\n";
  double before = 0.0;
  std::string pass;
  for (const Row& row : rows) {
    before = row.pass == pass ? before : 0.0;
    const double rate = v / row.times.min_us * 1e-3;  // in 10^9
    text += formatted(
        "| {} | {} | {:.1f} | {:.1f} | {} | {:.2f} | {:.3g} G{} | {:.0e} |\n",
        row.pass == pass ? "" : row.pass, row.rung, row.times.median_us, row.times.min_us,
        before > 0.0 ? formatted("{:.2f}", before / row.times.min_us) : "",
        static_cast<double>(row.executed) / v, rate,
        peak_tflops > 0 ? formatted(" ({:.1f} %)", 0.2 * rate / peak_tflops) : "", row.error);
    pass = row.pass;
    before = row.times.min_us;
  }
  return text;
}

/// What is timed where nothing is said: small maps for the padding, a stride for the other zeros.
const char* default_shapes(Device device) {
  return device.is_cuda() ? "128x8x8x128,128,k3,s1,p1;128x16x16x128,128,k3,s2,p1"
                          : "16x8x8x32,32,k3,s1,p1;16x16x16x32,32,k3,s2,p1";
}

int run(int argc, char** argv) {
  std::string shapes;
  std::string device = "auto";
  std::string file;
  double seconds = 0.5;
  double peak_tflops = 0.0;
  Flags parser("ladder", "Small kernels for each pass of a convolution, rung by rung.");
  parser.add("shape", shapes, "NxIHxIWxIC,OC,k3,s1,p1, several separated by semicolons");
  add_device_flag(parser, device);
  parser.add("table", file, "a file for the table, in Markdown");
  parser.add("seconds", seconds, "time spent on each rung; 0: they are only compared", 0.0, 3600.0);
  parser.add("peak-tflops", peak_tflops, "the device's fp32 peak, for shares of it", 0.0, 1e6);
  if (const auto code = parser.parse(argc, argv)) {
    return *code;
  }
  const ChosenDevice chosen = take_device(device);
  kernels::set_num_threads(1);  // on a CPU: a rung is a lesson in one thread
  const std::string where =
      chosen.device.is_cuda() ? chosen.why : instruction_set() + ", one thread";
  std::string text = formatted("Measured on {}.\n", where);
  std::fputs(text.c_str(), stdout);
  bool right = true;
  for (const NamedShape& shape :
       parse_shapes(shapes.empty() ? default_shapes(chosen.device) : shapes)) {
    const std::vector<Row> rows = Ladder(shape, chosen.device, seconds).climb();
    for (const Row& row : rows) {
      if (!(row.error <= row.most)) {
        std::fputs(formatted("{} {}, {}: error {:g}, at most {:g} is right\n", shape.name, row.pass,
                             row.rung, row.error, row.most)
                       .c_str(),
                   stderr);
        right = false;
      }
    }
    const std::string table = seconds > 0
                                  ? table_of(shape, rows, peak_tflops)
                                  : formatted("{}: {} results compared\n", shape.name, rows.size());
    std::fputs(table.c_str(), stdout);
    std::fflush(stdout);
    text += table;
  }
  if (right && !file.empty()) {
    write_file_atomically(file, text);
  }
  return right ? kExitOk : kExitFailed;
}

}  // namespace
}  // namespace cks::apps

int main(int argc, char** argv) { return cks::apps::run_program(cks::apps::run, argc, argv); }
