#include "cks/core/conv/conv2d.h"
#include "cks/core/conv/matmul.h"
#include "cks/core/ops/batch_norm2d.h"
#include "cks/core/ops/dropout.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/loss.h"
#include "cks/core/ops/pool2d.h"
#include "cks/core/ops/random_fill.h"
#include "cks/core/ops/softmax.h"
#include "tests/core/ops/op_table.h"

namespace cks::testing {
namespace {

using Inputs = std::vector<Tensor>;

OpInput x(const Shape& shape) { return {shape, between(-2, 2, 1)}; }
OpInput ranked(const Shape& shape) { return {shape, distinct(1)}; }
/// A parameter: the batch leaves it alone.
OpInput parameter(const Shape& shape, std::uint64_t seed) {
  return {shape, between(0.5, 1.5, seed), false};
}
OpInput optional_parameter(const Shape& shape, std::uint64_t seed) {
  OpInput input = parameter(shape, seed);
  input.is_optional = true;
  return input;
}
OpInput optional_image(const Shape& shape, std::uint64_t seed) {
  OpInput input{shape, between(-2, 2, seed)};
  input.is_optional = true;
  return input;
}
OpInput labels(const Shape& shape, std::int64_t classes) {
  return {shape, cycle(classes), true, false, DType::int64};
}

OpInput step() { return {{1}, cycle(1), false, false, DType::int64}; }

/// What numbers are drawn into for a tensor of any real dtype.
Tensor noise_for(const Tensor& x) {
  return Tensor::empty(x.shape(), x.dtype() == DType::float64 ? DType::float64 : DType::float32,
                       x.device());
}

/// Normalises with fresh running statistics, so that calls do not influence each other.
Tensor batch_norm(const Inputs& in, bool training, const BatchNorm2dOptions& options = {}) {
  const Shape channels{in[0].size(-1)};
  const DType dtype = in[0].dtype() == DType::bfloat16 ? DType::float32 : in[0].dtype();
  Tensor running_mean = Tensor::full(channels, 0.25, dtype, in[0].device());
  Tensor running_var = Tensor::full(channels, 1.5, dtype, in[0].device());
  return batch_norm2d(in[0], in[1], in[2], running_mean, running_var, training, options,
                      in.size() > 3 ? in[3] : Tensor());
}

/// Convolutions in which every option is at work.
std::vector<OpRow> convolutions() {
  const OpInput image = x({2, 5, 6, 4});
  return {
      {"conv2d",
       {image, parameter({3, 3, 2, 4}, 2), optional_parameter({3}, 3)},
       [](const Inputs& in) { return conv2d(in[0], in[1], in[2]); }},
      {"conv2d, stride, asymmetric padding, dilation, groups",
       {image, parameter({6, 3, 2, 2}, 2), optional_parameter({6}, 3)},
       [](const Inputs& in) {
         return conv2d(
             in[0], in[1], in[2],
             {.stride = {2, 3}, .padding = Padding2d(2, 1, 0, 3), .dilation = {1, 2}, .groups = 2});
       }},
      {"conv2d and leaky ReLU",
       {image, parameter({3, 3, 2, 4}, 2), optional_parameter({3}, 3)},
       [](const Inputs& in) {
         return conv2d(in[0], in[1], in[2], {.padding = 1, .negative_slope = 0.1});
       }},
      {"conv_transpose2d, stride, padding, output padding, groups",
       {image, parameter({4, 3, 2, 3}, 2), optional_parameter({6}, 3)},
       [](const Inputs& in) {
         return conv_transpose2d(
             in[0], in[1], in[2],
             {.stride = {2, 3}, .padding = 1, .output_padding = {1, 2}, .groups = 2});
       }},
  };
}

std::vector<OpRow> products_and_pools() {
  return {
      {"matmul",
       {x({3, 4}), parameter({4, 5}, 2)},
       [](const Inputs& in) { return matmul(in[0], in[1]); }},
      {"matmul with a long inner axis",
       {x({2, 700}), parameter({700, 3}, 2)},
       [](const Inputs& in) { return matmul(in[0], in[1]); }},
      {"linear",
       {x({3, 4}), parameter({5, 4}, 2), optional_parameter({5}, 3)},
       [](const Inputs& in) { return linear(in[0], in[1], in[2]); }},
      {"linear and leaky ReLU",
       {x({3, 4}), parameter({5, 4}, 2), optional_parameter({5}, 3)},
       [](const Inputs& in) { return linear(in[0], in[1], in[2], 0.1); }},
      {"linear without bias",
       {x({3, 4}), parameter({5, 4}, 2)},
       [](const Inputs& in) { return linear(in[0], in[1]); }},

      {"linear of images",
       {x({2, 3, 2, 4}), parameter({5, 4}, 2), optional_parameter({5}, 3)},
       [](const Inputs& in) { return linear(in[0], in[1], in[2]); }},
      {"linear of one row",
       {{{4}, between(-2, 2, 1), false}, parameter({5, 4}, 2)},
       [](const Inputs& in) { return linear(in[0], in[1]); }},

      {"max_pool2d", {ranked({2, 4, 6, 3})}, [](const Inputs& in) { return max_pool2d(in[0]); }},
      {"max_pool2d, overlapping and padded",
       {ranked({2, 5, 4, 5})},
       [](const Inputs& in) {
         return max_pool2d(in[0], {.kernel_size = 3, .stride = {2, 1}, .padding = {1, 0, 1, 2}});
       }},
      {"max_pool2d, dilated",
       {ranked({1, 6, 5, 2})},
       [](const Inputs& in) {
         return max_pool2d(in[0], {.kernel_size = 2, .stride = 1, .dilation = {3, 2}});
       }},
      {"max_pool2d, ceil_mode",
       {ranked({2, 5, 4, 3})},
       [](const Inputs& in) {
         return max_pool2d(in[0], {.kernel_size = 2, .stride = {2, 3}, .ceil_mode = true});
       }},
      {"avg_pool2d", {x({2, 5, 4, 3})}, [](const Inputs& in) { return avg_pool2d(in[0]); }},
      {"avg_pool2d, padding counted",
       {x({2, 5, 4, 5})},
       [](const Inputs& in) {
         return avg_pool2d(in[0], {.kernel_size = 3, .stride = 2, .padding = {1, 2, 0, 1}});
       }},
      {"avg_pool2d, padding not counted",
       {x({2, 5, 4, 1})},
       [](const Inputs& in) {
         return avg_pool2d(in[0], {.kernel_size = {2, 3},
                                   .stride = 1,
                                   .padding = {1, 0, 2, 1},
                                   .count_include_pad = false});
       }},
      {"avg_pool2d, ceil_mode, padding counted",
       {x({2, 6, 5, 3})},
       [](const Inputs& in) {
         return avg_pool2d(
             in[0],
             {.kernel_size = 3, .stride = {2, 3}, .padding = {1, 1, 0, 1}, .ceil_mode = true});
       }},
      {"avg_pool2d, ceil_mode, padding not counted",
       {x({2, 6, 5, 2})},
       [](const Inputs& in) {
         return avg_pool2d(in[0], {.kernel_size = 3,
                                   .stride = 2,
                                   .padding = 1,
                                   .count_include_pad = false,
                                   .ceil_mode = true});
       }},
      {"global_avg_pool2d",
       {x({2, 3, 4, 5})},
       [](const Inputs& in) { return global_avg_pool2d(in[0]); }},
  };
}

}  // namespace

std::vector<OpRow> layer_rows() {
  constexpr bool kNoEmptyBatch = false;
  std::vector<OpRow> rows = products_and_pools();
  const std::vector<OpRow> convolution_rows = convolutions();
  rows.insert(rows.end(), convolution_rows.begin(), convolution_rows.end());
  const std::vector<OpRow> others{
      {"batch_norm2d, training",
       {x({3, 2, 2, 3}), optional_parameter({3}, 2), optional_parameter({3}, 3)},
       [](const Inputs& in) { return batch_norm(in, true); },
       kNoEmptyBatch},
      {"batch_norm2d, evaluation",
       {x({3, 2, 2, 3}), optional_parameter({3}, 2), optional_parameter({3}, 3)},
       [](const Inputs& in) { return batch_norm(in, false); }},
      {"batch_norm2d, residual and ReLU",
       {x({3, 2, 2, 3}), optional_parameter({3}, 2), optional_parameter({3}, 3),
        optional_image({3, 2, 2, 3}, 4)},
       [](const Inputs& in) { return batch_norm(in, true, {.negative_slope = 0.0}); },
       kNoEmptyBatch},
      {"batch_norm2d, evaluation, residual and leaky ReLU",
       {x({3, 2, 2, 3}), optional_parameter({3}, 2), optional_parameter({3}, 3),
        optional_image({3, 2, 2, 3}, 4)},
       [](const Inputs& in) { return batch_norm(in, false, {.negative_slope = 0.1}); }},
      {"batch_norm2d, residual alone",
       {x({3, 2, 2, 3}), optional_parameter({3}, 2), optional_parameter({3}, 3),
        optional_image({3, 2, 2, 3}, 4)},
       [](const Inputs& in) { return batch_norm(in, true); },
       kNoEmptyBatch},
      {"batch_norm2d, without weight",
       {x({5, 4})},
       [](const Inputs& in) {
         return batch_norm({in[0], {}, {}}, true);
       },
       kNoEmptyBatch},

      {"softmax", {x({3, 5})}, [](const Inputs& in) { return softmax(in[0]); }},
      {"softmax of images", {x({2, 2, 3, 4})}, [](const Inputs& in) { return softmax(in[0]); }},
      {"softmax over rows", {x({3, 2, 3, 4})}, [](const Inputs& in) { return softmax(in[0], 1); }},
      {"log_softmax over an inner axis",
       {x({3, 2, 5, 4})},
       [](const Inputs& in) { return log_softmax(in[0], -2); }},
      {"log_softmax", {x({3, 5})}, [](const Inputs& in) { return log_softmax(in[0]); }},
      {"cross_entropy",
       {x({4, 5}), labels({4}, 5)},
       [](const Inputs& in) { return cross_entropy(in[0], in[1]); },
       kNoEmptyBatch},
      {"cross_entropy, weighted",
       {x({4, 5}), labels({4}, 5)},
       [](const Inputs& in) {
         const Tensor weights = Tensor::from_vector<double>({0.5, 2.0, 0.0, 1.25, 3.0}, {5});
         return cross_entropy(in[0], in[1], {.label_smoothing = 0.1},
                              weights.to(in[0].dtype()).to(in[0].device()));
       },
       kNoEmptyBatch},
      {"cross_entropy, smoothed",
       {x({4, 5}), labels({4}, 5)},
       [](const Inputs& in) { return cross_entropy(in[0], in[1], {.label_smoothing = 0.1}); },
       kNoEmptyBatch},
      {"cross_entropy of pixels",
       {x({2, 3, 2, 4}), labels({2, 3, 2}, 4)},
       [](const Inputs& in) { return cross_entropy(in[0], in[1]); },
       kNoEmptyBatch},
      {"cross_entropy of pixels, some ignored, smoothed",
       {x({2, 3, 2, 4}), labels({2, 3, 2}, 5)},
       [](const Inputs& in) {
         return cross_entropy(in[0], in[1], {.label_smoothing = 0.1, .ignore_index = 4});
       },
       kNoEmptyBatch},
      {"cross_entropy, all ignored",
       {x({3, 4}), labels({3}, 1)},
       [](const Inputs& in) { return cross_entropy(in[0], in[1], {.ignore_index = 0}); },
       kNoEmptyBatch},
      {"bce_with_logits",
       {x({3, 4}), {{3, 4}, between(0, 1, 2)}},
       [](const Inputs& in) { return bce_with_logits(in[0], in[1]); },
       kNoEmptyBatch},
      {"mse_loss",
       {x({3, 4}), {{3, 4}, between(-1, 1, 2)}},
       [](const Inputs& in) { return mse_loss(in[0], in[1]); },
       kNoEmptyBatch},
      {"l1_loss",
       {x({3, 4}), {{3, 4}, between(-1, 1, 2)}},
       [](const Inputs& in) { return l1_loss(in[0], in[1]); },
       kNoEmptyBatch},
      {"huber_loss",
       {x({3, 4}), {{3, 4}, between(-1, 1, 2)}},
       [](const Inputs& in) { return huber_loss(in[0], in[1], 0.5); },
       kNoEmptyBatch},
      {"dropout",
       {x({3, 7}), step()},
       [](const Inputs& in) { return dropout(in[0], 0.4, RandomKey{11}, in[1]); }},
      {"add of fill_uniform",
       {x({3, 7}), step()},
       [](const Inputs& in) {
         Tensor noise = noise_for(in[0]);
         fill_uniform(noise, -1.0, 3.0, RandomKey{11}, in[1]);
         return in[0] + noise.to(in[0].dtype());
       }},
      {"mul by fill_normal",
       {x({3, 7}), step()},
       [](const Inputs& in) {
         Tensor noise = noise_for(in[0]);
         fill_normal(noise, 1.0, 0.5, RandomKey{11}, in[1]);
         return in[0] * noise.to(in[0].dtype());
       }},
  };
  rows.insert(rows.end(), others.begin(), others.end());
  return rows;
}

}  // namespace cks::testing
