#pragma once
#include "cks/core/tensor/random.h"
#include "cks/layers/layer.h"

namespace cks {

struct DropoutOptions {
  double p = 0.5;  // probability of 0
};

/// In training, sets each element to 0 with probability p and divides the others by 1 - p; in
/// evaluation, the identity. See dropout() in core/ops/dropout.h.
///
/// Which elements go depends on the seed of initialize(), the module's path and the count of
/// training passes so far. Key and count are training state: they are no part of state_dict(), but
/// a resumed run needs them to go on as if uninterrupted.
/// Throws   Error from the constructor unless p lies in [0, 1].
class Dropout : public Layer<Dropout, DropoutOptions> {
 public:
  explicit Dropout(const Options& options = {}) : Dropout(nullptr, {}, options) {}
  Dropout(Module* parent, std::string name, const Options& options = {});
  template <class Expected = Options>
  Dropout(Module*, std::string, ...) = delete;  // for the error: see Layer

  Tensor forward(const Tensor& input) override;
  std::string description() const override;

 protected:
  void reset_parameters(std::uint64_t seed) override;
  void on_state_loaded() override;

 private:
  RandomKey key_;      // the value of key_tensor_, where the host needs it
  Tensor key_tensor_;  // int64, the bits of the key
  Tensor step_;        // int64, training passes so far
};

}  // namespace cks
