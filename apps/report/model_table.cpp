#include "apps/report/model_table.h"

#include <algorithm>
#include <unordered_map>

#include "apps/cli/program.h"
#include "apps/report/text_table.h"
#include "cks/core/conv/conv_report.h"
#include "cks/core/ops.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/train/step_impl.h"

namespace cks::apps {
namespace {

std::string skipped_text(const PassCount& count) {
  return count.plain == 0 ? "-" : percent(count.skipped());
}

std::string kib_text(std::int64_t bytes) {
  return formatted("{:.1f}", static_cast<double>(bytes) / 1024.0);
}

std::string count_text(std::int64_t count) { return count == 0 ? "-" : with_commas(count); }

}  // namespace

PassCount ModelTable::all_passes() const {
  PassCount sum = forward;
  sum += input_gradient;
  sum += filter_gradient;
  return sum;
}

ModelTable trace_model(Module& model, const Shape& input) {
  ModelTable table;
  std::unordered_map<std::string, std::size_t> row_of_path;
  const NamedTensors parameters = model.named_parameters();
  const DType dtype = parameters.empty() ? DType::float32 : parameters.front().second.dtype();
  const Device device = detail::device_of(model);
  bool is_first = true;
  const detail::EvaluationScope evaluation(model);
  const detail::HookScope hook{model};
  model.set_forward_hook([&](Module& module, const auto& inputs, const Tensor& out) {
    if (!module.children().empty()) {
      return;
    }
    LayerRow row{.path = module.path(),
                 .type = module.type_name(),
                 .description = module.description(),
                 .output = out.shape(),
                 .output_bytes = static_cast<std::int64_t>(out.nbytes()),
                 .parameters = module.num_parameters()};
    // A linear layer multiplies each of its rows with all of its weights, in each pass, without
    // zeros of padding or stride.
    if (row.type == "Linear") {
      const Tensor& in = inputs.front();
      const std::int64_t rows = in.numel() / std::max<std::int64_t>(in.size(-1), 1);
      const std::int64_t products = rows * in.size(-1) * out.size(-1);
      row.forward = row.filter_gradient = {products, products};
      if (!is_first) {
        row.input_gradient = {products, products};
      }
    }
    is_first = is_first && row.parameters == 0;
    row_of_path[row.path] = table.rows.size();
    table.rows.push_back(std::move(row));
  });
  const ConvRecorder recorder;
  const Tensor output = model(Tensor::zeros(input, dtype, device));
  output.backward(Tensor::zeros(output.shape(), output.dtype(), device));
  model.zero_grad();
  for (const ConvRecord& record : recorder.records()) {
    const auto found = row_of_path.find(record.module_path);
    if (found == row_of_path.end()) {
      continue;  // a convolution outside of the layers: a model's own operation
    }
    LayerRow& row = table.rows[found->second];
    // A transposed convolution's forward pass is the backward_data of its convolution.
    const bool swapped = row.type == "ConvTranspose2d";
    PassCount* count = &row.filter_gradient;
    if (record.pass == kernels::Conv2dPass::forward) {
      count = swapped ? &row.input_gradient : &row.forward;
    } else if (record.pass == kernels::Conv2dPass::backward_data) {
      count = swapped ? &row.forward : &row.input_gradient;
    }
    *count += {record.plain, record.executed};
  }
  table.parameters = model.num_parameters();
  table.parameter_bytes = table.parameters * static_cast<std::int64_t>(size_of(dtype));
  for (const LayerRow& row : table.rows) {
    table.output_bytes += row.output_bytes;
    table.forward += row.forward;
    table.input_gradient += row.input_gradient;
    table.filter_gradient += row.filter_gradient;
  }
  return table;
}

std::string first_filters(const ModelTable& table) {
  const auto first = std::find_if(table.rows.begin(), table.rows.end(),
                                  [](const LayerRow& row) { return row.type == "Conv2d"; });
  return first == table.rows.end() ? "" : first->path + ".weight";
}

std::string to_string(const ModelTable& table) {
  TextTable text({"layer", "type", "options", "output", "KiB", "parameters", "multiply-adds",
                  "executed", "skips fwd", "skips dX", "skips dW"},
                 {false, false, false, false, true, true, true, true, true, true, true});
  for (const LayerRow& row : table.rows) {
    text.add({row.path, row.type, row.description, row.output.to_string(),
              kib_text(row.output_bytes), count_text(row.parameters), count_text(row.forward.plain),
              count_text(row.forward.executed), skipped_text(row.forward),
              skipped_text(row.input_gradient), skipped_text(row.filter_gradient)});
  }
  text.rule();
  text.add({"total", "", "", "", kib_text(table.output_bytes), with_commas(table.parameters),
            with_commas(table.forward.plain), with_commas(table.forward.executed),
            skipped_text(table.forward), skipped_text(table.input_gradient),
            skipped_text(table.filter_gradient)});
  const PassCount all = table.all_passes();
  return formatted(
      "{}a training step: {} multiply-adds, {} executed, C-K-S skips {}\n"
      "memory: outputs of the layers {} KiB, parameters {} KiB and as much for their gradients\n",
      text, with_commas(all.plain), with_commas(all.executed), percent(all.skipped()),
      kib_text(table.output_bytes), kib_text(table.parameter_bytes));
}

}  // namespace cks::apps
