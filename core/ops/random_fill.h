#pragma once
#include "cks/core/tensor/random.h"
#include "cks/core/tensor/tensor.h"

namespace cks {

/// fill_uniform and fill_normal of core/tensor/random.h on the tensor's own device, with the step
/// read from memory there when the operation runs: a captured step that ends with count_up_(step)
/// draws other numbers each time it is repeated.
///
///   fill_normal(noise, 0.0, 1.0, key, step);
///   count_up_(step);
///
/// Element i is a function of (key, step, i) alone: the host's numbers, but for the last bits, in
/// which the devices' arithmetic differs. Raises the version.
///
/// Dtype   float32 or float64; step int64 with one element, on the tensor's device.
/// Throws  as the host's, but for CaptureError; ShapeError, DtypeError, DeviceError for `step`.
void fill_uniform(Tensor& tensor, double low, double high, RandomKey key, const Tensor& step);
void fill_normal(Tensor& tensor, double mean, double stddev, RandomKey key, const Tensor& step);

}  // namespace cks
