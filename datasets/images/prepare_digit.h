#pragma once

#include "cks/core/tensor/tensor.h"

namespace cks {

/// A picture as a digit of MNIST.
struct PreparedDigit {
  Tensor image;            // uint8 [28,28,1], light on black
  bool has_ink = false;    // false: nothing stands out from the paper; image is black
  bool was_ready = false;  // it already was as MNIST's are, and is left alone
};

/// Prepares a picture of one digit, drawn or photographed by anybody, as MNIST's were: light ink on
/// black, the ink's box scaled to 20 x 20 with its aspect kept, its centre of mass in the middle of
/// 28 x 28.
///
/// Picture     uint8 [H,W,2]: grey and alpha (ImageReadOptions::channels = 2). Where half of the
///             border or more is transparent, what is opaque is ink, whatever its colour, unless it
///             fills a box and has two shades: then it is a piece of paper. Else the picture is
///             laid on white. Edges of a scan or a table along its sides do not count.
/// Paper       is what most of the border shows; ink is darker or lighter. Its brightness may
///             change over the picture (shadows): ink is measured against the paper around it, the
///             picture with all that is thinner than a third of it closed. A band of shadow with
///             straight edges, however narrow, goes first: the ink in it or beside it is darker.
/// Ready       28 x 28 with a black border and ink in the middle: left alone.
/// Determinism the same picture gives the same bytes on every machine of the same instructions.
/// Source      the preparation: LeCun, Cortes, Burges, "The MNIST database of handwritten digits".
/// Throws      ShapeError or DtypeError, naming the operation, for another kind of tensor.
PreparedDigit prepare_digit(const Tensor& picture);

}  // namespace cks
