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

/// Filter i passes channel i of its pixel on, wherever there is one: a convolution that at first
/// changes nothing, so that what lies behind it learns from the first step on. Of a part of a
/// weight, w.slice(0, 24), the other filters stay. Throws ShapeError unless the weight is
/// [OC,FH,FW,IC] with odd FH and FW.
void dirac(Tensor& weight);

/// Filters whose outputs are nearly uncorrelated and of variance 1 on images like these, from which
/// a network learns faster than from raw pixels: the directions in which windows of the images
/// vary, from the greatest, each divided by its standard deviation, then their negatives, which an
/// activation that cuts off one sign wants, too.
///
///   weight[i] = v_i / sqrt(l_i + eps), weight[OC/2 + i] = -weight[i], where v_i and l_i are
///   eigenvectors and eigenvalues of the mean of x x^T over all windows x of FH*FW*IC values
///
/// Such filters stay as they are: net.conv1.weight.set_requires_grad(false).
/// Shapes  weight [OC,FH,FW,IC], OC even and at most 2*FH*FW*IC; images [N,H,W,IC], normalised,
///         some thousand of them, on any device: takes FH*FW times their memory there.
/// Throws  ShapeError, DtypeError; Error unless eps > 0.
/// Source  Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498; Coates and
///         Ng, "Learning Feature Representations with K-means" (2012), for the patches.
void whitening(Tensor& weight, const Tensor& images, double eps = 5e-4);

/// What Conv2d, ConvTranspose2d and Linear do, and PyTorch's do too: weight by kaiming_uniform with
/// slope sqrt(5), that is uniform in +-1/sqrt(fan_in), and bias, unless undefined, uniform in the
/// same range. Keys are those of "<module_path>.weight" and "<module_path>.bias".
void weight_and_bias(Tensor& weight, Tensor& bias, std::uint64_t seed,
                     const std::string& module_path);

}  // namespace cks::init
