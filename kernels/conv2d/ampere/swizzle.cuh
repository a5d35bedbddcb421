#pragma once

/// Where in a tile of shared memory a byte of a row lies: chunks of a row change places with each
/// other so that neither copies nor reads of products meet in a bank.
namespace cks::kernels::ampere {

/// Rows of 64 bytes, read 8 rows x 16 bytes at a time (load_matrices).
__device__ __forceinline__ int place_in_64(int row, int byte) {
  return row * 64 + (byte ^ ((row >> 1 & 3) << 4));
}
/// Rows of kRowBytes, a multiple of 128, read likewise.
template <int kRowBytes>
__device__ __forceinline__ int place_for_matrices(int row, int byte) {
  return row * kRowBytes + (byte ^ ((row & 7) << 4));
}
/// Rows of kRowBytes, a multiple of 128, read 4 rows x 32 bytes at a time, 4 or 8 bytes a thread.
template <int kRowBytes>
__device__ __forceinline__ int place_for_words(int row, int byte) {
  return row * kRowBytes + (byte ^ ((row & 3) << 5));
}

}  // namespace cks::kernels::ampere
