#include "tests/kernels/conv2d/conv2d_harness.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/conv2d/conv2d.h"
#include "cks/kernels/conv2d/reference.h"

namespace cks::testing {

using kernels::Conv2dPass;
using kernels::Conv2dPlan;
using kernels::Conv2dProblem;

namespace {

std::int64_t elements(const Extents& extents) {
  return std::accumulate(extents.begin(), extents.end(), std::int64_t{1}, std::multiplies<>());
}

std::vector<double> draw(Fill fill, std::uint64_t seed, std::int64_t count) {
  std::vector<double> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = fill == Fill::small_integers ? static_cast<double>(random_integer(seed, i, -2, 2))
                                             : random_real(seed, i);
  }
  return values;
}

}  // namespace

Extents x_shape(const Conv2dProblem& p) { return {p.N, p.IH, p.IW, p.IC}; }
Extents w_shape(const Conv2dProblem& p) { return {p.OC, p.FH, p.FW, p.IC / p.G}; }
Extents y_shape(const Conv2dProblem& p) { return {p.N, p.OH, p.OW, p.OC}; }

Extents result_shape(Conv2dPass pass, const Conv2dProblem& p) {
  switch (pass) {
    case Conv2dPass::forward:
      return y_shape(p);
    case Conv2dPass::backward_data:
      return x_shape(p);
    case Conv2dPass::backward_filter:
      break;
  }
  return w_shape(p);
}

Conv2dValues make_values(const Conv2dProblem& p, Fill fill, std::uint64_t seed) {
  return {.x = draw(fill, 5 * seed, elements(x_shape(p))),
          .w = draw(fill, 5 * seed + 1, elements(w_shape(p))),
          .y = draw(fill, 5 * seed + 2, elements(y_shape(p))),
          .y_bias = draw(fill, 5 * seed + 3, p.OC),
          .x_bias = draw(fill, 5 * seed + 4, p.IC)};
}

void round_to_bfloat16(std::vector<double>& values) {
  for (double& value : values) {
    value = as_double(from_double<bfloat16>(value));
  }
}

void round_to_bfloat16(Conv2dValues& values) {
  for (std::vector<double>* tensor :
       {&values.x, &values.w, &values.y, &values.y_bias, &values.x_bias}) {
    round_to_bfloat16(*tensor);
  }
}

struct Conv2dMemory::Image {
  Image(std::int64_t pixel_count, std::int64_t channel_count, std::int64_t pixel_pitch,
        DType element_type, std::size_t offset)
      : pixels(pixel_count),
        channels(channel_count),
        pitch(pixel_pitch),
        dtype(element_type),
        // The last pixel needs no gap behind it.
        buffer(pixels == 0
                   ? 0
                   : static_cast<std::size_t>((pixels - 1) * pitch + channels) * size_of(dtype),
               offset) {}

  template <class Visit>
  void each(Visit&& visit) const {
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
      for (std::int64_t c = 0; c < channels; ++c) {
        visit(static_cast<std::size_t>(pixel * channels + c),
              static_cast<std::size_t>(pixel * pitch + c));
      }
    }
  }

  void write(const std::vector<double>& dense) {
    if (dtype == DType::float32) {
      each([&](std::size_t i, std::size_t at) {
        buffer.as<float>()[at] = static_cast<float>(dense[i]);
      });
    } else {
      each([&](std::size_t i, std::size_t at) { buffer.as<double>()[at] = dense[i]; });
    }
  }

  std::vector<double> read() const {
    std::vector<double> dense(static_cast<std::size_t>(pixels * channels));
    if (dtype == DType::float32) {
      each([&](std::size_t i, std::size_t at) {
        dense[i] = static_cast<double>(buffer.as<float>()[at]);
      });
    } else {
      each([&](std::size_t i, std::size_t at) { dense[i] = buffer.as<double>()[at]; });
    }
    return dense;
  }

  bool gaps_untouched() const {
    for (std::int64_t pixel = 0; pitch > channels && pixel + 1 < pixels; ++pixel) {
      const auto begin = static_cast<std::size_t>(pixel * pitch + channels) * size_of(dtype);
      const auto end = static_cast<std::size_t>((pixel + 1) * pitch) * size_of(dtype);
      if (!buffer.poisoned(begin, end)) {
        return false;
      }
    }
    return true;
  }

  std::int64_t pixels, channels, pitch;
  DType dtype;
  GuardedBuffer buffer;
};

Conv2dMemory::Conv2dMemory(Conv2dPass pass, const Conv2dProblem& p, const Conv2dValues& values,
                           bool with_bias, bool odd_bases)
    : pass_(pass), problem_(p) {
  const auto image = [&](const Extents& shape, std::int64_t pitch, DType dtype,
                         const std::vector<double>* dense) {
    auto made = std::make_shared<Image>(shape[0] * shape[1] * shape[2], shape[3], pitch, dtype,
                                        odd_bases ? size_of(dtype) : 0);
    if (dense != nullptr) {
      made->write(*dense);
    }
    return made;
  };
  const bool writes_x = pass == Conv2dPass::backward_data;
  const bool writes_y = pass == Conv2dPass::forward;
  const bool writes_w = pass == Conv2dPass::backward_filter;
  auto x = image(x_shape(p), p.x_pitch, p.x_type, writes_x ? nullptr : &values.x);
  auto w = image(w_shape(p), p.IC / p.G, p.w_type, writes_w ? nullptr : &values.w);
  auto y = image(y_shape(p), p.y_pitch, p.y_type, writes_y ? nullptr : &values.y);
  if (with_bias && !writes_w) {
    const std::vector<double>& bias = writes_y ? values.y_bias : values.x_bias;
    bias_ = image({1, 1, 1, writes_y ? p.OC : p.IC}, 1, p.w_type, &bias);
  }
  result_ = writes_x ? x : writes_y ? y : w;
  inputs_ = writes_x ? std::vector{y, w} : writes_y ? std::vector{x, w} : std::vector{x, y};
}

std::int64_t Conv2dMemory::run(const Conv2dPlan& plan) {
  result_->buffer.poison();
  workspace_ = std::make_shared<GuardedBuffer>(plan.workspace_bytes);
  void* workspace = plan.workspace_bytes == 0 ? nullptr : workspace_->data();
  const void* first = inputs_[0]->buffer.data();
  const void* second = inputs_[1]->buffer.data();
  const void* bias = bias_ ? bias_->buffer.data() : nullptr;
  void* result = result_->buffer.data();
  const kernels::PreparedConv2d conv =
      kernels::prepare_conv2d(problem_, plan, kernels::describe_cpu());
  return kernels::run_conv2d(conv, first, second, {.bias = bias}, result, workspace);
}

std::int64_t Conv2dMemory::run_reference() {
  result_->buffer.poison();
  workspace_.reset();
  const void* first = inputs_[0]->buffer.data();
  const void* second = inputs_[1]->buffer.data();
  const void* bias = bias_ ? bias_->buffer.data() : nullptr;
  void* result = result_->buffer.data();
  switch (pass_) {
    case Conv2dPass::forward:
      return kernels::cpu::reference_forward(problem_, first, second, {.bias = bias}, result);
    case Conv2dPass::backward_data:
      return kernels::cpu::reference_backward_data(problem_, first, second, {.bias = bias}, result);
    case Conv2dPass::backward_filter:
      break;
  }
  return kernels::cpu::reference_backward_filter(problem_, first, second, result);
}

std::vector<double> Conv2dMemory::result() const { return result_->read(); }

std::vector<unsigned char> Conv2dMemory::bytes() const {
  const auto* begin = result_->buffer.as<unsigned char>();
  return {begin, begin + result_->buffer.bytes()};
}

std::string Conv2dMemory::damage() {
  std::string text;
  if (!result_->buffer.intact()) {
    text += "wrote beside the result; ";
  }
  if (!result_->gaps_untouched()) {
    text += "wrote between the result's pixels; ";
  }
  if (!inputs_[0]->buffer.intact() || !inputs_[1]->buffer.intact() ||
      (bias_ && !bias_->buffer.intact())) {
    text += "wrote beside an input; ";
  }
  if (workspace_ && !workspace_->intact()) {
    text += "wrote beside the workspace; ";
  }
  return text;
}

std::int64_t sum_length(Conv2dPass pass, const Conv2dProblem& p) {
  // Of the taps of one axis, those that reach one input: one in stride / gcd(stride, dilation).
  const auto taps_of_class = [](std::int64_t filter, std::int64_t stride, std::int64_t dilation) {
    const std::int64_t step = stride / std::gcd(stride, dilation);
    return (filter + step - 1) / step;
  };
  switch (pass) {
    case Conv2dPass::forward:
      return p.FH * p.FW * (p.IC / p.G);
    case Conv2dPass::backward_data:
      return taps_of_class(p.FH, p.sh, p.dh) * taps_of_class(p.FW, p.sw, p.dw) * (p.OC / p.G);
    case Conv2dPass::backward_filter:
      break;
  }
  return std::max<std::int64_t>(p.N * p.OH * p.OW, 1);
}

double error_unit(Conv2dPass pass, const Conv2dProblem& p) {
  const double eps = p.x_type == DType::float64
                         ? std::numeric_limits<double>::epsilon()
                         : static_cast<double>(std::numeric_limits<float>::epsilon());
  return eps * std::sqrt(static_cast<double>(sum_length(pass, p)));  // reals lie in [-1, 1)
}

void Failures::add(const std::string& where, const std::string& what) {
  ++count_;
  if (first_.size() < 20) {
    first_.push_back(where + ": " + what);
  }
}

Failures::~Failures() {
  for (const std::string& failure : first_) {
    FAIL_CHECK(failure);
  }
  if (count_ > static_cast<std::int64_t>(first_.size())) {
    FAIL_CHECK("... and " << count_ - static_cast<std::int64_t>(first_.size()) << " more failures");
  }
}

void WalkedProblem::expect(const std::vector<double>& got, const std::string& where,
                           Failures& failures) const {
  std::vector<double> added(expected.size());
  REQUIRE(got.size() % added.size() == 0);
  for (std::size_t i = 0; i < got.size(); ++i) {
    added[i % added.size()] += got[i];
  }
  const Extents shape = result_shape(pass, problem);
  if (const Comparison same = compare(added, shape, expected, shape); !same) {
    failures.add(where, same.message);
  }
}

void each_walked_problem(const WalkedProblems& which,
                         const std::function<void(const WalkedProblem&)>& visit) {
  std::uint64_t seed = 0;
  for (const ListedProblem& listed : conv2d_problems()) {
    kernels::Conv2dSizes sizes = listed.sizes;
    const auto fitted = [&](std::int64_t channels) {
      const std::int64_t own = channels / sizes.groups;
      return std::min(which.in_eights ? (own + 7) / 8 * 8 : own, which.most_channels) *
             sizes.groups;
    };
    sizes.IC = fitted(sizes.IC);
    sizes.OC = fitted(sizes.OC);
    if (++seed % which.every != 0 || (!which.grouped && (listed.transposed || sizes.groups != 1))) {
      continue;
    }
    const kernels::Conv2dProblem p =
        listed.transposed ? kernels::make_conv_transpose2d_problem(sizes, listed.output_padding)
                          : kernels::make_conv2d_problem(sizes);
    const Conv2dValues values = make_values(p, Fill::small_integers, seed);
    for (const kernels::Conv2dPass pass : which.passes) {
      if (plain_multiply_adds(pass, p) > which.most_multiply_adds) {
        continue;
      }
      kernels::Conv2dProblem wide = p;
      wide.x_type = wide.w_type = wide.y_type = DType::float64;
      Conv2dMemory reference(pass, wide, values, false);
      reference.run_reference();
      visit({listed.name, seed, pass, p, values, reference.result()});
    }
  }
}

ThreadsScope::ThreadsScope(int threads) : before_(kernels::num_threads()) {
  kernels::set_num_threads(threads);
}
ThreadsScope::~ThreadsScope() { kernels::set_num_threads(before_); }

}  // namespace cks::testing
