#pragma once
#include <map>
#include <string>

#include "cks/core/io/safetensors.h"
#include "cks/layers/module.h"
#include "tests/support/tensors.h"

/// Golden values: what PyTorch computed in float64 (make_golden.py), and the numbers that both
/// sides make from an index (scripts/torch_twins.py).
namespace cks::golden {

/// One file of this folder.
class Golden {
 public:
  explicit Golden(const std::string& name)
      : file_(load_safetensors(std::string(CKS_GOLDEN_DIR) + "/" + name + ".safetensors")) {
    for (const auto& [key, tensor] : file_.tensors) {
      tensors_.emplace(key, tensor);
    }
  }
  bool has(const std::string& key) const { return tensors_.contains(key); }
  const Tensor& operator[](const std::string& key) const {
    const auto found = tensors_.find(key);
    if (found == tensors_.end()) {
      throw Error("golden file: no tensor \"" + key + "\"");
    }
    return found->second;
  }

 private:
  SafetensorsFile file_;
  std::map<std::string, Tensor> tensors_;
};

/// random_real() of scripts/torch_twins.py: a real in (-1, 1) with 24 significant bits, the same
/// number in float32 and float64, from bits of SplitMix64.
inline double formula_real(std::uint64_t seed, std::uint64_t index) {
  const auto steps = static_cast<double>(testing::random_bits(seed, index) >> 41);  // below 2^23
  return (2.0 * steps + 1.0) / 8388608.0 - 1.0;
}

inline Tensor formula_tensor(const Shape& shape, std::uint64_t seed, DType dtype = DType::float64) {
  std::vector<double> values(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = formula_real(seed, i);
  }
  return Tensor::from_vector(values, shape).to(dtype);
}

/// Greatest errors seen, for the report that a test prints.
struct Errors {
  double float64 = 0.0;  // relative to max(1, the largest element)
  double float32 = 0.0;  // in units of the tolerance
};

inline double largest(const Tensor& tensor) {
  double value = 0.0;
  for (const double element : testing::doubles(tensor)) {
    value = std::max(value, std::abs(element));
  }
  return value;
}

/// Compares in float64: |got - expected| <= 1e-9 * max(1, largest |expected|).
inline testing::Comparison compare64(const Tensor& got, const Tensor& expected, Errors& errors) {
  const double scale = std::max(1.0, largest(expected));
  const auto result = testing::compare(got, expected, {.absolute = 1e-9 * scale});
  errors.float64 = std::max(errors.float64, result.max_error / scale);
  return result;
}

/// Compares a float32 twin within an absolute tolerance.
inline testing::Comparison compare32(const Tensor& got, const Tensor& expected, double tolerance,
                                     Errors& errors) {
  const auto result = testing::compare(got, expected, {.absolute = tolerance});
  errors.float32 = std::max(errors.float32, result.max_error / tolerance);
  return result;
}

/// formula_state() of scripts/torch_twins.py.
inline void load_formula_state(Module& module, std::uint64_t seed) {
  NamedTensors state = module.state_dict();
  for (auto& [name, tensor] : state) {
    const std::uint64_t own_seed = seed++;
    if (name.find("running") != std::string::npos ||
        name.find("num_batches") != std::string::npos) {
      continue;
    }
    std::vector<double> values = testing::doubles(formula_tensor(tensor.shape(), own_seed));
    const bool scale = name.size() >= 6 && name.compare(name.size() - 6, 6, "weight") == 0;
    for (double& value : values) {
      if (tensor.rank() > 1) {
        const std::int64_t fan_in = tensor.numel() / tensor.size(0);
        value *= std::sqrt(6.0 / static_cast<double>(fan_in));
      } else {
        value = scale ? 1.0 + 0.25 * value : 0.125 * value;
      }
    }
    tensor = Tensor::from_vector(values, tensor.shape());
  }
  module.load_state_dict(state);
}

}  // namespace cks::golden
