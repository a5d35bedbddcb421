#pragma once
#include "cks/layers/sequential.h"

namespace cks {

struct AutoencoderOptions {
  std::int64_t in_channels = 1;
  std::int64_t image_size = 28;    // rows and columns; a multiple of 4, checked here already
  std::int64_t code_channels = 4;  // of the code [N,image_size/4,image_size/4,code_channels]
};

/// A convolutional autoencoder: the encoder squeezes an image into a small code, the decoder draws
/// it again, and the loss is the mean squared error to the image itself, so it learns without
/// labels (Hinton and Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks",
/// Science 2006; with convolutions, Masci, Meier, Ciresan and Schmidhuber, "Stacked Convolutional
/// Auto-Encoders for Hierarchical Feature Extraction", ICANN 2011).
///
/// The decoder grows its maps by transposed convolutions. Read as a convolution, each works on a
/// map three quarters of which are stride-inserted zeros. KS-deconv never inserts them: a filter
/// 4x4 with stride 2 falls apart into four dense filters 2x2, one for each parity of the result's
/// row and column.
///
///   step                                    result for a 28x28 image    parameters
///   input                                   [N,28,28,1]
///   encoder: conv 4x4, stride 2, relu       [N,14,14,16]                       272
///            conv 4x4, stride 2, relu       [N,7,7,32]                       8,224
///            conv 3x3: the code             [N,7,7,4]                        1,156
///   decoder: conv 3x3, relu                 [N,7,7,32]                       1,184
///            transposed 4x4, stride 2, relu [N,14,14,16]                     8,208
///            transposed 4x4, stride 2       [N,28,28,1]                        257
///                                                               in all      19,301
///
/// What skipping saves in one training step, in multiply-adds of the convolutions: ConvV2 13.6 %,
/// KS-deconv 76.4 %, Sk-dilated 13.6 %. Together 53.4 %. (KS-deconv is the forward pass of a
/// transposed convolution and the input gradient of the others; ConvV2 the other way round.)
class Autoencoder : public Layer<Autoencoder, AutoencoderOptions> {
 public:
  explicit Autoencoder(const Options& options = {}) : Autoencoder(nullptr, {}, options) {}
  /// Throws ShapeError for an image size that two halvings and two doublings do not bring back.
  Autoencoder(Module* parent, std::string name, const Options& options = {});
  template <class Expected = Options>
  Autoencoder(Module*, std::string, ...) = delete;  // for the error: see Layer

  /// Images [N,H,W,in_channels], H and W multiples of 4, to images of the same shape. Values are
  /// not limited: train it on normalised images.
  Tensor forward(const Tensor& images) override { return decoder(encoder(images)); }

  Sequential encoder{this, "encoder"};
  Sequential decoder{this, "decoder"};
};

}  // namespace cks
