#include "cks/models/autoencoder.h"

#include "cks/layers/activation.h"
#include "cks/layers/conv2d.h"

namespace cks {
namespace {

/// A filter 4x4 that halves a map, or doubles it where it is transposed.
template <class Conv>
void add_resizing(Sequential& chain, std::int64_t in_channels, std::int64_t out_channels) {
  chain.add<Conv>({.in_channels = in_channels,
                   .out_channels = out_channels,
                   .kernel_size = 4,
                   .stride = 2,
                   .padding = 1});
}

}  // namespace

Autoencoder::Autoencoder(Module* parent, std::string name, const Options& options)
    : Layer(parent, std::move(name), options) {
  if (options.image_size < 4 || options.image_size % 4 != 0) {
    throw ShapeError("Autoencoder: image_size must be a multiple of 4, got " +
                     std::to_string(options.image_size));
  }
  add_resizing<Conv2d>(encoder, options.in_channels, 16);
  encoder.add<ReLU>();
  add_resizing<Conv2d>(encoder, 16, 32);
  encoder.add<ReLU>();
  encoder.add<Conv2d>(
      {.in_channels = 32, .out_channels = options.code_channels, .kernel_size = 3, .padding = 1});

  decoder.add<Conv2d>(
      {.in_channels = options.code_channels, .out_channels = 32, .kernel_size = 3, .padding = 1});
  decoder.add<ReLU>();
  add_resizing<ConvTranspose2d>(decoder, 32, 16);
  decoder.add<ReLU>();
  add_resizing<ConvTranspose2d>(decoder, 16, options.in_channels);
}

Tensor Autoencoder::forward(const Tensor& images) { return decoder(encoder(images)); }

}  // namespace cks
