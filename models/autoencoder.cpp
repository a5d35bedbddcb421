#include "cks/models/autoencoder.h"

#include "cks/layers/conv2d.h"

namespace cks {
namespace {

constexpr double kRelu = 0.0;  // slopes below 0
constexpr double kNoActivation = 1.0;

/// A filter 4x4 that halves a map, or doubles it where it is transposed.
template <class Conv>
void add_resizing(Sequential& chain, const char* name, std::int64_t in_channels,
                  std::int64_t out_channels, double negative_slope) {
  chain.add<Conv>(name, {.in_channels = in_channels,
                         .out_channels = out_channels,
                         .kernel_size = 4,
                         .stride = 2,
                         .padding = 1,
                         .negative_slope = negative_slope});
}

}  // namespace

Autoencoder::Autoencoder(Module* parent, std::string name, const Options& options)
    : Layer(parent, std::move(name), options) {
  if (options.image_size < 4 || options.image_size % 4 != 0) {
    throw ShapeError("Autoencoder: image_size must be a multiple of 4, got " +
                     std::to_string(options.image_size));
  }
  // Names count the ReLUs, too: in PyTorch each is a layer of its own.
  add_resizing<Conv2d>(encoder, "0", options.in_channels, 16, kRelu);
  add_resizing<Conv2d>(encoder, "2", 16, 32, kRelu);
  encoder.add<Conv2d>(
      "4",
      {.in_channels = 32, .out_channels = options.code_channels, .kernel_size = 3, .padding = 1});

  decoder.add<Conv2d>("0", {.in_channels = options.code_channels,
                            .out_channels = 32,
                            .kernel_size = 3,
                            .padding = 1,
                            .negative_slope = kRelu});
  add_resizing<ConvTranspose2d>(decoder, "2", 32, 16, kRelu);
  add_resizing<ConvTranspose2d>(decoder, "4", 16, options.in_channels, kNoActivation);
}

}  // namespace cks
