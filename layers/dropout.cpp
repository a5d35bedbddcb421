#include "cks/layers/dropout.h"

#include "cks/core/autograd/autograd.h"
#include "cks/core/ops/dropout.h"
#include "cks/core/ops/forward_pass.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/layers/base/options_impl.h"

namespace cks {

Dropout::Dropout(Module* parent, std::string name, const Options& options)
    : Layer(parent, std::move(name), options) {
  layers::OptionCheck(*this, "Dropout").in_unit_interval("p", options.p);
  register_training_state("key", key_tensor_, Tensor::empty({}, DType::int64));
  register_training_state("step", step_, Tensor::empty({}, DType::int64));
  Dropout::reset_parameters(0);
}

void Dropout::reset_parameters(std::uint64_t seed) {
  key_ = make_random_key(seed, RandomPurpose::dropout, path());
  const std::vector<std::int64_t> bits = {static_cast<std::int64_t>(key_.value)};
  key_tensor_.copy_(Tensor::from_vector(bits, {}));
  init::constant(step_, 0.0);
}

void Dropout::on_state_loaded() {
  key_.value = static_cast<std::uint64_t>(key_tensor_.to_vector<std::int64_t>().front());
}

Tensor Dropout::forward(const Tensor& input) {
  if (!training()) {
    return input;
  }
  ForwardPass::count_now(step_);  // if this pass has been here before
  Tensor result = dropout(input, options().p, key_, step_);
  ForwardPass::count_at_end(step_);
  return result;
}

std::string Dropout::description() const { return formatted("probability {:g}", options().p); }

}  // namespace cks
