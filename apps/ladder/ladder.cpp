// ladder: small kernels for each pass of a convolution, each with one more idea than the one
// before, compared with the float64 reference and timed beside the library's own. Chapter 11 of
// docs/book climbs it.
//
//   ladder                                         the CPU's rungs
//   ladder --device cuda --table docs/book/ladder_cuda.md
//   ladder --shape "3x7x5x2,3,k3,s2,p1" --seconds 0      compares alone
#include <algorithm>
#include <cmath>
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
#include "cks/core/conv/conv_plan.h"
#include "cks/core/device/cuda.h"
#include "cks/core/device/dispatch.h"
#include "cks/core/io/file.h"
#include "cks/core/tensor/random.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/conv2d/conv2d.h"
#include "cks/kernels/conv2d/reference.h"

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

struct LadderFlags {
  std::string shape;
  std::string device = "auto";
  std::string table;
  double seconds = 0.5;
  double peak_tflops = 0.0;
};

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

/// Random, never zeros, since those would flatter a processor's clock.
Tensor random_tensor(const Shape& shape, std::uint64_t stream) {
  Tensor tensor = Tensor::empty(shape);
  fill_uniform(tensor, -1.0, 1.0, make_random_key(1, RandomPurpose::data), stream);
  return tensor;
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
        sizes_(sizes_of(shape.problem)),
        device_(device),
        seconds_(seconds),
        x_(random_tensor({problem_.N, problem_.IH, problem_.IW, problem_.IC}, 0)),
        w_(random_tensor({problem_.OC, problem_.FH, problem_.FW, problem_.IC}, 1)),
        dy_(random_tensor({problem_.N, problem_.OH, problem_.OW, problem_.OC}, 2)) {}

  std::vector<Row> climb() {
    const Tensor x = x_.to(device_);
    const Tensor w = w_.to(device_);
    const Tensor dy = dy_.to(device_);
    const auto* px = x.data_as<float>();
    const auto* pw = w.data_as<float>();
    const auto* pdy = dy.data_as<float>();

    Tensor expected = Tensor::empty(dy_.shape());
    kernels::cpu::reference_forward(problem_, x_.data(), w_.data(), {}, expected.data());
    climb_pass(Conv2dPass::forward, ladder::Forward{sizes_, px, pw}, expected,
               [&](auto& conv, auto& y, void* scratch) {
                 return kernels::conv2d_forward(conv, x.data(), w.data(), {}, y.data(), scratch);
               });
    expected = Tensor::empty(x_.shape());
    kernels::cpu::reference_backward_data(problem_, dy_.data(), w_.data(), {}, expected.data());
    climb_pass(Conv2dPass::backward_data, ladder::BackwardData{sizes_, pdy, pw}, expected,
               [&](auto& conv, auto& dx, void* scratch) {
                 return kernels::conv2d_backward_data(conv, dy.data(), w.data(), {}, dx.data(),
                                                      scratch);
               });
    expected = Tensor::empty(w_.shape());
    kernels::cpu::reference_backward_filter(problem_, x_.data(), dy_.data(), expected.data());
    climb_pass(Conv2dPass::backward_filter, ladder::BackwardFilter{sizes_, pdy, px}, expected,
               [&](auto& conv, auto& dw, void* scratch) {
                 return kernels::conv2d_backward_filter(conv, x.data(), dy.data(), dw.data(),
                                                        scratch);
               });
    return std::move(rows_);
  }

 private:
  template <class Pass, class Library>
  void climb_pass(Conv2dPass name, const Pass& pass, const Tensor& expected, Library library) {
    const bool on_gpu = device_.is_cuda();
    for (const Rung<Pass>& rung : on_gpu ? ladder::gpu_rungs<Pass>() : ladder::cpu_rungs<Pass>()) {
      if (rung.tensor_cores && !has_tensor_cores()) {
        continue;
      }
      add(name, rung.name, rung.tensor_cores ? 3e-3 : 2e-5, expected,
          [&](Tensor& result) { return rung.run(pass, result.data_as<float>()); });
    }
    const kernels::DeviceDescription description = describe_for_plans(device_);
    const kernels::PreparedConv2d conv = kernels::prepare_conv2d(
        problem_, kernels::select(name, problem_, description), description);
    const Tensor scratch = Tensor::empty({static_cast<std::int64_t>(conv.plan.workspace_bytes)},
                                         DType::uint8, device_);
    add(name, formatted("the library, fp32: {}", conv.plan.kernel), 2e-5, expected,
        [&](Tensor& result) {
          Tensor memory = scratch;
          return library(conv, result, memory.data());
        });
  }

  bool has_tensor_cores() const { return describe_for_plans(device_).compute_capability >= 80; }

  template <class Run>
  void add(Conv2dPass pass, const std::string& rung, double most, const Tensor& expected, Run run) {
    Row row{.pass = kernels::name_of(pass), .rung = rung, .most = most};
    // What a rung forgets to write is no number.
    Tensor result = Tensor::full(expected.shape(), std::numeric_limits<double>::quiet_NaN(),
                                 DType::float32, device_);
    ops::select_cuda(device_);
    row.executed = run(result);
    const std::vector<float> got = result.to(Device()).to_vector<float>();
    const std::vector<float> wanted = expected.to_vector<float>();
    double greatest = 0.0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      const double difference =
          std::abs(static_cast<double>(got[i]) - static_cast<double>(wanted[i]));
      row.error = std::isnan(difference) ? std::numeric_limits<double>::infinity()
                                         : std::max(row.error, difference);
      greatest = std::max(greatest, std::abs(static_cast<double>(wanted[i])));
    }
    row.error /= greatest > 0.0 ? greatest : 1.0;
    if (seconds_ > 0.0) {
      row.times = CallTimer(device_, [&] { run(result); }).time(seconds_);
    }
    rows_.push_back(row);
  }

  Conv2dProblem problem_;
  ladder::Sizes sizes_;
  Device device_;
  double seconds_;
  Tensor x_, w_, dy_;
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

int run(const LadderFlags& flags) {
  const ChosenDevice chosen = take_device(flags.device);
  kernels::set_num_threads(1);  // on a CPU: a rung is a lesson in one thread
  const std::string where =
      chosen.device.is_cuda() ? chosen.why : instruction_set() + ", one thread";
  std::string text = formatted("Measured on {}.\n", where);
  std::fputs(text.c_str(), stdout);
  bool right = true;
  for (const NamedShape& shape :
       parse_shapes(flags.shape.empty() ? default_shapes(chosen.device) : flags.shape)) {
    const std::vector<Row> rows = Ladder(shape, chosen.device, flags.seconds).climb();
    for (const Row& row : rows) {
      if (!(row.error <= row.most)) {
        std::fputs(formatted("{} {}, {}: error {:g}, at most {:g} is right\n", shape.name, row.pass,
                             row.rung, row.error, row.most)
                       .c_str(),
                   stderr);
        right = false;
      }
    }
    const std::string table = flags.seconds > 0
                                  ? table_of(shape, rows, flags.peak_tflops)
                                  : formatted("{}: {} results compared\n", shape.name, rows.size());
    std::fputs(table.c_str(), stdout);
    std::fflush(stdout);
    text += table;
  }
  if (right && !flags.table.empty()) {
    write_file_atomically(flags.table, text);
  }
  return right ? kExitOk : kExitFailed;
}

}  // namespace
}  // namespace cks::apps

int main(int argc, char** argv) {
  using namespace cks::apps;
  return run_program([&] {
    LadderFlags flags;
    Flags parser("ladder", "Small kernels for each pass of a convolution, rung by rung.");
    parser.add("shape", flags.shape, "NxIHxIWxIC,OC,k3,s1,p1, several separated by semicolons");
    add_device_flag(parser, flags.device);
    parser.add("table", flags.table, "a file for the table, in Markdown");
    parser.add("seconds", flags.seconds, "time spent on each rung; 0: they are only compared", 0.0,
               3600.0);
    parser.add("peak-tflops", flags.peak_tflops, "the device's fp32 peak, for shares of it", 0.0,
               1e6);
    if (const auto code = parser.parse(argc, argv)) {
      return *code;
    }
    return run(flags);
  });
}
