#pragma once
#include "cks/core/tensor/tensor.h"

namespace cks {

/// What eigh() finds.
struct SymmetricEigen {
  Tensor values;   // [n], from the least on
  Tensor vectors;  // [n,n]; column i, of length 1, belongs to value i
};

/// Eigenvalues and eigenvectors of a symmetric matrix, of which the lower triangle is read:
/// matrix = vectors diag(values) vectors^T. By Jacobi's rotations in float64, for matrices of some
/// hundred rows at most: n^3 steps for each of about ten sweeps. Of a vector and its negative it is
/// the one whose element of greatest magnitude is positive.
///
/// Shapes  matrix [n,n].
/// Dtype   float32 or float64; the results likewise.
/// Device  computed on the host, which waits for the matrix, and moved to its device. Off the tape.
/// Throws  ShapeError, DtypeError; Error for an element that is not finite; CaptureError inside a
///         captured step.
/// Source  Golub and Van Loan, "Matrix Computations", 8.5: cyclic Jacobi.
SymmetricEigen eigh(const Tensor& matrix);

}  // namespace cks
