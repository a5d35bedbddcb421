#pragma once
#include <cstdint>
#include <string>

#include "cks/kernels/conv2d/problem.h"

namespace cks::web {

/// Everything that a picture of one convolution and its gradients shows, as JSON. Numbers come from
/// the library: operands are drawn from the seed, results and counts are those of conv2d() and its
/// backward pass, index ranges those of kernels/common/taps.h and kernels/conv2d/taps.h.
///
///   problem            the convolution in words
///   X, W, dY           small whole numbers, row by row; Y, dX, dW what they give
///   rows, columns      of one axis each; the picture is the product of both:
///     in, out, filter, stride, pad, dilation
///     reads[o][f]      the input that output o reads through tap f; may lie outside [0, in)
///     forward[o]       ConvV2: the live taps [begin, end)
///     classes[a]       KS-deconv: the taps of residue class a, in the order of rising outputs
///     inputs[i]        {class, j, pairs}: i = class + stride*j, and the (output, tap) that reach
///     it taps[f]          Sk-dilated: the outputs [begin, end) that tap f takes part in
///   passes             for forward, backward_data, backward_filter: method, the plan's kernel, the
///                      multiply-adds executed (counted where a product is issued), exact (V) and
///                      plain (every zero multiplied)
///
/// One image, one channel: N, IC, OC and groups of `sizes` must be 1.
/// Throws ShapeError as make_conv2d_problem(), and for other channels.
std::string conv_picture(const kernels::Conv2dSizes& sizes, std::uint64_t seed);

}  // namespace cks::web
