#pragma once
#include "cks/kernels/common/host_device.h"
#include "cks/kernels/conv2d/kernel.h"

/// A float32 as the sum of bfloat16 planes, each the rounded rest of those before.
namespace cks::kernels::hopper {

inline constexpr int kMostPlanes = 3;
/// Of both operands of a filter gradient.
constexpr int planes_of(Arithmetic arithmetic) {
  return arithmetic == Arithmetic::tf32 ? 2 : arithmetic == Arithmetic::fp32 ? 3 : 1;
}

/// Which planes of both operands to multiply, the smallest products first: of three planes all six
/// that matter, of two the last three, of one the last.
inline constexpr int kPlaneProducts = 6;
constexpr CKS_HOST_DEVICE int first_plane_product(int count) {
  return count == 3 ? 0 : count == 2 ? 3 : 5;
}
constexpr CKS_HOST_DEVICE int left_plane(int product) {
  constexpr int kPlane[] = {2, 0, 1, 1, 0, 0};
  return kPlane[product];
}
constexpr CKS_HOST_DEVICE int right_plane(int product) {
  constexpr int kPlane[] = {0, 2, 1, 0, 1, 0};
  return kPlane[product];
}

}  // namespace cks::kernels::hopper
