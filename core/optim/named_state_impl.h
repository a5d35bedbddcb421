#pragma once
#include "cks/core/tensor/tensor.h"

namespace cks::optim {

/// Throws Error, listing all missing, unexpected and mis-shaped keys, unless `state` has exactly
/// the keys, shapes and dtypes of `targets`, in any order; and for a negative count. "sgd: the
/// state does not fit the parameters:" begins with `who` and ends with `of`.
void require_named(const char* who, const char* of, const NamedTensors& targets,
                   const NamedTensors& state);
/// Copies it into the targets.
void load_named(const NamedTensors& targets, const NamedTensors& state);
/// Copies of the tensors, off the tape.
NamedTensors clones(NamedTensors tensors);

}  // namespace cks::optim
