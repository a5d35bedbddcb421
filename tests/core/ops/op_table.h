#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cks/core/tensor/tensor.h"

/// Every operation with sample inputs. contract_test.cpp asks the same of each of them.
///
/// A new operation is one row: in the file of its kind (op_table_elementwise.cpp,
/// op_table_shape.cpp, op_table_layers.cpp), or in a new op_table_<kind>.cpp whose function
/// op_table() in op_table.cpp then calls. A row for each way the gradient branches: {"conv2d,
/// stride 2", {...}, [](const auto& in) {...}}.
namespace cks::testing {

/// One tensor argument.
struct OpInput {
  Shape shape;
  /// Element i; see below for the usual ones. Keep away from kinks of the function.
  std::function<double(std::int64_t)> value;
  /// The first axis is the batch: it may have any extent, the same in all batched inputs.
  bool batched = true;
  /// Real inputs take the dtype of the run and require gradients; others keep this dtype.
  bool is_real = true;
  DType dtype = DType::float64;
  bool is_optional = false;  // undefined is allowed
};

struct OpRow {
  std::string name;  // unique; begins with the operation's name in messages
  std::vector<OpInput> inputs;
  std::function<Tensor(const std::vector<Tensor>&)> call;
  /// Whether a batch of 0 is allowed. Otherwise it must throw ShapeError.
  bool takes_empty_batch = true;
  /// Greatest error of float32 results and gradients, relative to the largest element.
  double float32_tolerance = 1e-5;
};

/// Uniform in [low, high).
std::function<double(std::int64_t)> between(double low, double high, std::uint64_t seed);
/// Uniform in [-2,-0.2) and [0.2,2): for functions with a kink at 0.
std::function<double(std::int64_t)> away_from_zero(std::uint64_t seed);
/// In [-2,2), no two alike within 900 elements, nor with another seed below 10: for functions that
/// choose.
std::function<double(std::int64_t)> distinct(std::uint64_t seed);
/// 0, 1, ..., count-1, 0, 1, ...
std::function<double(std::int64_t)> cycle(std::int64_t count);

const std::vector<OpRow>& op_table();

std::vector<OpRow> elementwise_rows();
std::vector<OpRow> shape_rows();
std::vector<OpRow> layer_rows();

}  // namespace cks::testing
