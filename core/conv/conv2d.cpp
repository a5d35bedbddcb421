#include "cks/core/conv/conv2d.h"

#include <algorithm>

#include "cks/core/capture/branches_impl.h"
#include "cks/core/conv/conv_operands_impl.h"
#include "cks/core/conv/conv_plan.h"
#include "cks/core/conv/conv_report.h"
#include "cks/core/ops/bfloat16_impl.h"
#include "cks/core/ops/gradient_terms_impl.h"
#include "cks/core/ops/output.h"
#include "cks/core/ops/reduce.h"
#include "cks/core/ops/traced_options_impl.h"
#include "cks/core/tensor/tensor_impl.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/conv2d/conv2d.h"
#include "cks/kernels/conv2d/halves.h"

namespace cks {
namespace {

using kernels::Conv2dPass;
using kernels::Conv2dProblem;
using kernels::PreparedConv2d;

// --- Checks -----------------------------------------------------------------------------------

std::string pair_text(const Size2& size) { return formatted("{{{},{}}}", size.h, size.w); }

/// What was called.
struct Call {
  const char* operation;
  const Tensor& given_input;  // whose gradients are wanted
  const Tensor& given_weight;
  const Tensor& given_bias;
  const ConvTranspose2dOptions& options;
  // Rounded to the precision.
  const Tensor input = ops::in_precision(given_input);
  const Tensor weight = ops::in_precision(given_weight);
  const Tensor bias = ops::in_precision(given_bias);

  /// "input [8,32,32,3], weight [16,3,3,4], stride {1,1}, padding {1,1}" and every option that
  /// differs from its default.
  std::string details() const {
    const auto& [top, bottom, left, right] = options.padding;
    std::string text = formatted("input {}, weight {}", input.shape(), weight.shape());
    if (bias.defined()) {
      text += formatted(", bias {}", bias.shape());
    }
    text += formatted(", stride {}, padding ", pair_text(options.stride));
    text += top == bottom && left == right ? pair_text({top, left})
                                           : formatted("{{{},{},{},{}}}", top, bottom, left, right);
    if (!(options.dilation == Size2(1))) {
      text += formatted(", dilation {}", pair_text(options.dilation));
    }
    if (options.groups != 1) {
      text += formatted(", groups {}", options.groups);
    }
    if (!(options.output_padding == Size2(0))) {
      text += formatted(", output_padding {}", pair_text(options.output_padding));
    }
    if (options.negative_slope != 1.0) {
      text += formatted(", negative_slope {:g}", options.negative_slope);
    }
    return text;
  }
  [[noreturn]] void fail(const std::string& what) const {
    throw ShapeError(formatted("{}: {} ({})", operation, what, details()));
  }
};

/// Everything that both operations require of their arguments, except the channels.
void check_arguments(const Call& call) {
  const char* operation = call.operation;
  ops::require_defined(operation, {{"input", call.input}, {"weight", call.weight}});
  ops::require_same(operation, {{"input", call.input}, {"weight", call.weight}});
  if (call.bias.defined()) {
    ops::require_same(operation, {{"input", call.input}, {"bias", call.bias}});
  }
  ops::require_floating(operation, {"input", call.input});
  if (call.input.rank() != 4) {
    call.fail(formatted("input has rank {}, expected 4: [N,H,W,channels]", call.input.rank()));
  }
  if (call.weight.rank() != 4) {
    call.fail(formatted("weight has rank {}, expected 4: [channels,FH,FW,channels/groups]",
                        call.weight.rank()));
  }
  if (call.options.groups < 1) {
    call.fail(formatted("groups must be at least 1, got {}", call.options.groups));
  }
  if (call.options.groups > std::max<std::int64_t>(1, call.input.size(3))) {
    call.fail(formatted("groups is {}, the input has {} channels", call.options.groups,
                        call.input.size(3)));
  }
  ops::require_share(operation, "negative_slope", call.options.negative_slope);
  ops::require_precision(operation, call.input.device());
}

/// The bias, and the options that say what weight and bias say as well, where they are set.
void check_channels(const Call& call, std::int64_t in_channels, std::int64_t out_channels) {
  if (call.bias.defined() && !(call.bias.shape() == Shape{out_channels})) {
    call.fail(formatted("bias has shape {}, expected [{}]", call.bias.shape(), out_channels));
  }
  const ConvTranspose2dOptions& options = call.options;
  const auto check_option = [&](const char* name, std::int64_t value, std::int64_t expected) {
    if (value != 0 && value != expected) {
      call.fail(formatted("{} is {}, the weight's is {}", name, value, expected));
    }
  };
  check_option("in_channels", options.in_channels, in_channels);
  check_option("out_channels", options.out_channels, out_channels);
  check_option("kernel_size.h", options.kernel_size.h, call.weight.size(1));
  check_option("kernel_size.w", options.kernel_size.w, call.weight.size(2));
  if (!options.bias && call.bias.defined()) {
    call.fail("option bias is false, but a bias is given");
  }
}

Conv2dProblem problem_of(const Call& call, bool transposed) {
  const Shape& x = call.input.shape();
  const Shape& w = call.weight.shape();
  const std::int64_t groups = call.options.groups;
  const kernels::Conv2dSizes sizes{.N = x[0],
                                   .IH = x[1],
                                   .IW = x[2],
                                   .IC = x[3],
                                   .OC = transposed ? w[3] * groups : w[0],
                                   .FH = w[1],
                                   .FW = w[2],
                                   .stride = call.options.stride,
                                   .padding = call.options.padding,
                                   .dilation = call.options.dilation,
                                   .groups = groups,
                                   .dtype = call.input.dtype()};
  Conv2dProblem problem = transposed ? kernels::make_conv_transpose2d_problem(
                                           sizes, call.options.output_padding, call.operation)
                                     : kernels::make_conv2d_problem(sizes, call.operation);
  problem.precision = current_precision();
  return problem;
}

// --- The three passes: plan, workspace, kernel --------------------------------------------------

/// bfloat16 on the CPU is computed in float32, which holds its products exactly, and rounded.
bool is_widened(const Conv2dProblem& p, const Tensor& operand) {
  return p.x_type == DType::bfloat16 && operand.device().is_cpu();
}

Conv2dProblem widened(Conv2dProblem p) {
  p.x_type = p.w_type = p.y_type = DType::float32;
  p.precision = Precision::fp32;
  return p;
}

/// Halves of operands (kernels/halves/halves.h) that several passes of a call multiply.
struct Halves {
  Tensor x{}, w{}, y{};

  kernels::Conv2dHalves pointers() const {
    return {ops::data_or_null(x), ops::data_or_null(w), ops::data_or_null(y)};
  }
};

bool multiplies_halves(Conv2dPass pass, const Conv2dProblem& problem, Device device) {
  return problem.precision == Precision::tf32 && device.is_cuda() &&
         prepared_conv(pass, problem, device).plan.arithmetic == kernels::Arithmetic::fp16;
}

/// Those of the operands that are defined, at most two, and aligned.
Halves make_halves(const char* operation, const Conv2dProblem& problem, const Tensor& x,
                   const Tensor& w, const Tensor& y) {
  std::vector<kernels::HalvesJob> jobs;
  const auto room_for = [&](const Tensor& operand, const auto& job_of) {
    Tensor halves;
    if (operand.defined()) {
      const auto bytes = static_cast<std::int64_t>(kernels::halves_bytes(operand.numel()));
      halves = ops::make_output(operation, {bytes}, DType::uint8, operand.device());
      jobs.push_back(job_of(problem, operand.data(), halves.data()));
    }
    return halves;
  };
  Halves halves{room_for(x, kernels::x_halves_job), room_for(w, kernels::w_halves_job),
                room_for(y, kernels::y_halves_job)};
  ops::select_cuda((w.defined() ? w : x.defined() ? x : y).device());
  kernels::conv2d_make_halves(jobs);
  return halves;
}

/// The result of a pass from its two operands. Filter gradients of bfloat16 are float32: that of a
/// weight that is float32 itself is not rounded. leaves_sums: with the result, where the plan's
/// kernel can.
Tensor run_pass(const char* operation, Conv2dPass pass, Conv2dProblem p, const Tensor& first,
                const Tensor& second, const SumsEnd& end = {}, const Halves& halves = {},
                bool leaves_sums = false) {
  const bool is_filter = pass == Conv2dPass::backward_filter;
  if (is_widened(p, first)) {  // on a CPU, where nothing is masked for others
    const Tensor result = run_pass(operation, pass, widened(p), ops::widened(first),
                                   ops::widened(second), end.widened());
    return is_filter ? result : result.to(DType::bfloat16);
  }
  if (is_filter && p.w_type == DType::bfloat16) {
    p.w_type = DType::float32;
  }
  const Shape shape = pass == Conv2dPass::forward         ? Shape{p.N, p.OH, p.OW, p.OC}
                      : pass == Conv2dPass::backward_data ? Shape{p.N, p.IH, p.IW, p.IC}
                                                          : Shape{p.OC, p.FH, p.FW, p.IC / p.G};
  Tensor result =
      ops::make_output(operation, shape, is_filter ? p.w_type : first.dtype(), first.device());
  p.is_aligned = is_aligned(first) && is_aligned(second) && is_aligned(result);
  const PreparedConv2d& conv = prepared_conv(pass, p, result.device());
  const kernels::Conv2dHalves given = halves.pointers();
  const auto workspace =
      ops::make_workspace(operation, kernels::conv2d_workspace_bytes(conv, given), result.device());
  ops::select_cuda(result.device());
  Tensor sums;
  if (const std::int64_t rows = leaves_sums ? kernels::conv2d_sum_rows(conv) : 0; rows > 0) {
    sums = ops::make_output(operation, {rows, 2, p.OC}, DType::float32, result.device());
    result.impl()->channel_sums = sums.impl();
    result.impl()->version_of_sums = result.version();
  }
  kernels::Epilogue epilogue = end.epilogue();
  const auto launch = [&](const PreparedConv2d& prepared, void* scratch) {
    // Another plan, which this one is checked against, may leave none.
    const bool leaves = sums.defined() && prepared.kernel == conv.kernel;
    epilogue.channel_sums = leaves ? sums.data_as<float>() : nullptr;
    return kernels::run_conv2d(prepared, first.data(), second.data(), epilogue, result.data(),
                               scratch, given);
  };
  if (convolutions_are_recorded()) {
    run_recorded(operation, conv, result, workspace->data(), launch);
  } else {
    launch(conv, workspace->data());
  }
  return result;
}

/// Whether what else runs beside a pass is worth more than waiting for it at another place costs.
bool runs_long(const Conv2dProblem& problem) {
  constexpr std::int64_t kMultiplyAdds = std::int64_t{1} << 26;
  return kernels::plain_multiply_adds(Conv2dPass::forward, problem) >= kMultiplyAdds;
}

// --- On the tape --------------------------------------------------------------------------------

/// The pass that multiplies input and weight, and the one that makes the input's gradient. In the
/// problem of a transposed convolution X is the operation's result and Y its input.
Conv2dPass pass_of_result(bool transposed) {
  return transposed ? Conv2dPass::backward_data : Conv2dPass::forward;
}

/// Of both, if they are multiplied.
Halves halves_of_operands(const Call& call, const Conv2dProblem& problem, bool transposed) {
  if (!is_aligned(call.input) || !is_aligned(call.weight) ||
      !multiplies_halves(pass_of_result(transposed), problem, call.input.device())) {
    return {};
  }
  const Tensor none;
  return make_halves(call.operation, problem, transposed ? none : call.input, call.weight,
                     transposed ? call.input : none);
}

/// The result of a call. Input and weight are saved where the other one's gradient is needed, the
/// result for an activation's, and halves that passes of gradients multiply.
Tensor convolve(const Call& call, bool transposed) {
  const char* const name = call.operation;
  const double slope = call.options.negative_slope;
  const Conv2dProblem problem = problem_of(call, transposed);
  const Halves halves = halves_of_operands(call, problem, transposed);
  const bool needs[] = {call.given_input.requires_grad(), call.given_weight.requires_grad()};
  // A convolution without a bias that is being trained has most often a batch_norm2d behind it.
  const bool leaves_sums = !transposed && !call.bias.defined() && slope == 1.0 && grad_enabled() &&
                           (needs[0] || needs[1]);
  const Tensor result = run_pass(name, pass_of_result(transposed), problem, call.input, call.weight,
                                 {call.bias, slope}, halves, leaves_sums);
  note_options(call.options);
  const Device device = result.device();
  const Conv2dPass data_pass = pass_of_result(!transposed);
  const bool halved[] = {
      needs[0] && multiplies_halves(data_pass, problem, device),
      needs[1] && multiplies_halves(Conv2dPass::backward_filter, problem, device)};
  const Tensor recorded = record(
      name, result, {call.given_input, call.given_weight, call.given_bias},
      {needs[1] ? call.input : Tensor(), needs[0] ? call.weight : Tensor(),
       slope == 1.0 ? Tensor() : result, halved[1] ? (transposed ? halves.y : halves.x) : Tensor(),
       halved[0] ? halves.w : Tensor()},
      [name, problem, transposed, data_pass, slope, halves_grad = halved[0] || halved[1],
       types = ops::dtypes_of({call.given_input, call.given_weight, call.given_bias})](
          const Tensor& grad_output, const GradientWork& work, const std::vector<bool>& needed,
          const SavedTensors& saved) {
        const Tensor grad = ops::before_activation(name, grad_output, work, saved[2], slope);
        Halves multiplied;  // by both passes
        if (halves_grad && is_aligned(grad)) {
          const Tensor none;
          multiplied =
              make_halves(name, problem, transposed ? grad : none, none, transposed ? none : grad);
        }
        (transposed ? multiplied.y : multiplied.x) = saved[3];
        multiplied.w = saved[4];
        SumsEnd end;
        if (work.input_slope(0) != 1.0) {
          end.mask = saved[0];
          end.mask_slope = work.input_slope(0);
        }
        return ops::run_gradients(
            needed, work.may_run_on && runs_long(problem),
            {grad_output, grad, saved[0], saved[3], multiplied.x, multiplied.y},
            [&] {
              return run_pass(name, data_pass, problem, grad, saved[1], end, multiplied)
                  .to(types[0]);
            },
            [&] {
              return run_pass(name, Conv2dPass::backward_filter, problem,
                              transposed ? grad : saved[0], transposed ? saved[0] : grad, {},
                              multiplied)
                  .to(types[1]);
            },
            [&] { return ops::sum_to_last_axis(name, grad).to(types[2]); });
      });
  // By the input as it is saved, which is of the gradient's type.
  const bool masks = !transposed && needs[1] && call.input.dtype() == call.given_input.dtype();
  return ops::declared(recorded, {.masked_inputs = masks ? 1 : 0, .result_slope = slope});
}

}  // namespace

Tensor conv2d(const Tensor& input, const Tensor& weight, const Tensor& bias,
              const Conv2dOptions& options) {
  const ConvTranspose2dOptions checked{.in_channels = options.in_channels,
                                       .out_channels = options.out_channels,
                                       .kernel_size = options.kernel_size,
                                       .stride = options.stride,
                                       .padding = options.padding,
                                       .dilation = options.dilation,
                                       .groups = options.groups,
                                       .bias = options.bias,
                                       .negative_slope = options.negative_slope};
  const Call call{"conv2d", input, weight, bias, checked};
  check_arguments(call);
  if (weight.size(3) < 1 || input.size(3) % options.groups != 0 ||
      input.size(3) / options.groups != weight.size(3)) {
    call.fail(formatted("input has {} channels, weight expects {}", input.size(3),
                        weight.size(3) * options.groups));
  }
  check_channels(call, input.size(3), weight.size(0));
  return convolve(call, /*transposed=*/false);
}

Tensor conv_transpose2d(const Tensor& input, const Tensor& weight, const Tensor& bias,
                        const ConvTranspose2dOptions& options) {
  const Call call{"conv_transpose2d", input, weight, bias, options};
  check_arguments(call);
  if (input.size(3) != weight.size(0)) {
    call.fail(formatted("input has {} channels, weight expects {}", input.size(3), weight.size(0)));
  }
  check_channels(call, input.size(3), weight.size(3) * options.groups);
  return convolve(call, /*transposed=*/true);
}

}  // namespace cks
