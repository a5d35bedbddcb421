#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cks/layers/module.h"

namespace cks::apps {

/// Multiply-adds of one pass of a layer.
struct PassCount {
  std::int64_t plain = 0;     // with every zero of padding and stride multiplied
  std::int64_t executed = 0;  // issued by the plans in use
  /// 1 - executed / plain; 0 where nothing is multiplied.
  double skipped() const {
    return plain == 0 ? 0.0 : 1.0 - static_cast<double>(executed) / static_cast<double>(plain);
  }
  PassCount& operator+=(const PassCount& other) {
    plain += other.plain;
    executed += other.executed;
    return *this;
  }
};

/// One leaf layer of a network.
struct LayerRow {
  std::string path;
  std::string type;
  std::string description;
  Shape output;
  std::int64_t output_bytes = 0;  // kept from the forward pass to the backward pass, as a rule
  std::int64_t parameters = 0;
  PassCount forward{};
  PassCount input_gradient{};  // stays 0 where nobody needs it: the first layer
  PassCount filter_gradient{};
};

struct ModelTable {
  std::vector<LayerRow> rows;  // in the order in which the layers run
  std::int64_t parameters = 0;
  std::int64_t parameter_bytes = 0;
  std::int64_t output_bytes = 0;
  PassCount forward, input_gradient, filter_gradient;

  PassCount all_passes() const;
};

/// Runs one forward and one backward pass of zeros through the model, in evaluation mode, and
/// counts what convolutions and linear layers multiply. Parameters, buffers and the mode stay as
/// they were, gradients are forgotten.
ModelTable trace_model(Module& model, const Shape& input);

/// The key of the filters of the convolution that runs first; empty if there is none.
std::string first_filters(const ModelTable& table);

/// The table for people, with totals.
std::string to_string(const ModelTable& table);

}  // namespace cks::apps
