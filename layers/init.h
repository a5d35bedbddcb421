#pragma once
#include <cstdint>
#include <string>

#include "cks/core/tensor/random.h"
#include "cks/core/tensor/tensor.h"

/// Initialisers. Numbers are drawn on the host from a key, so that every device starts with the
/// same bits, and float32 and float64 with the same values up to rounding. All write in place, off
/// the tape, into float tensors: any other throws DtypeError.
///
///   init::kaiming_normal(net.conv1.weight, init::parameter_key(7, "conv1", "weight"));
namespace cks::init {

/// Inputs of an output, and outputs of an input, of a weight [a,...,b]:
///   in  = b * the window     Linear [out,in]: in; Conv2d [OC,FH,FW,IC/G]: FH*FW*IC/G;
///                            ConvTranspose2d [in,FH,FW,out/G]: FH*FW*out/G, as PyTorch has it
///   out = a * the window     Linear: out; Conv2d: FH*FW*OC
struct Fans {
  std::int64_t in = 1;
  std::int64_t out = 1;
};
/// Throws ShapeError if the rank is below 2.
Fans fans_of(const Shape& weight);

/// The key of a parameter: it depends on the run's seed and the parameter's own path alone.
RandomKey parameter_key(std::uint64_t seed, const std::string& module_path,
                        const std::string& name);

void constant(Tensor& tensor, double value);  // all elements
/// Uniform in [low, high).
void uniform(Tensor& tensor, double low, double high, RandomKey key);
void normal(Tensor& tensor, double mean, double stddev, RandomKey key);

enum class FanMode : std::uint8_t { fan_in, fan_out };  // which of Fans counts

struct KaimingOptions {
  FanMode fan = FanMode::fan_in;
  double slope = 0.0;  // of the leaky ReLU behind the weight: 0 is ReLU, 1 no activation
};
/// Keeps the variance of activations (fan_in) or of gradients (fan_out) through layers with ReLU:
/// variance 2 / ((1 + slope^2) * fan), so uniform in +-sqrt(6 / ((1 + slope^2) * fan)).
/// Source: He et al., "Delving Deep into Rectifiers", ICCV 2015.
void kaiming_uniform(Tensor& weight, RandomKey key, const KaimingOptions& options = {});
void kaiming_normal(Tensor& weight, RandomKey key, const KaimingOptions& options = {});

/// A compromise of both for layers with tanh or sigmoid: variance 2 * gain^2 / (fan_in + fan_out).
/// Source: Glorot and Bengio, AISTATS 2010.
void xavier_uniform(Tensor& weight, RandomKey key, double gain = 1.0);
void xavier_normal(Tensor& weight, RandomKey key, double gain = 1.0);

/// What Conv2d, ConvTranspose2d and Linear do, and PyTorch's do too: weight by kaiming_uniform with
/// slope sqrt(5), that is uniform in +-1/sqrt(fan_in), and bias, unless undefined, uniform in the
/// same range. Keys are those of "<module_path>.weight" and "<module_path>.bias".
void weight_and_bias(Tensor& weight, Tensor& bias, std::uint64_t seed,
                     const std::string& module_path);

}  // namespace cks::init
