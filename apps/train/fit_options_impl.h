#pragma once
#include "cks/train/trainer.h"

namespace cks::detail {

/// Throws Error, naming the option and its range, unless all are lawful.
void check_options(const TrainOptions& options);

/// What a resumed run must share with the one that was saved: the caller's identity, and what fit()
/// knows itself.
TextFields run_identity(const TrainTask& task, const TrainOptions& options);

}  // namespace cks::detail
