#pragma once
#include <string>
#include <vector>

#include "cks/train/trainer.h"

/// What a training step and an evaluation share.
namespace cks::detail {

/// The caller's loss, or cross-entropy with label smoothing.
Tensor mean_loss(const LossFunction& loss, const Tensor& output, const Batch& batch,
                 double label_smoothing);

/// Where the parameters live.
Device device_of(const Module& model);
Batch on_device(Batch batch, Device device);

/// Module, pass and problem of a record: what a plan was chosen for.
std::string plan_key(const ConvRecord& record);
/// Adds sums of the same convolution together.
void merge_records(std::vector<ConvRecord>& into, const std::vector<ConvRecord>& from);

}  // namespace cks::detail
